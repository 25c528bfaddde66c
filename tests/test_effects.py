"""Paired effects by subject, and what the verdict says where Wilcoxon's test disagrees."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tassl.evaluation.effects import measure_effect
from tassl.evaluation.finding import HELPS, NO_EVIDENCE, Arm
from tassl.evaluation.protocol import Protocol
from tassl.evaluation.statistics import Scores
from tassl.evaluation.verdict import compare, conclude

ARMS = [Arm("scratch", "", "finetune"), Arm("mae (fine-tuned)", "mae", "finetune")]


def wilcoxon_by_hand(gaps: list[float]) -> float:
    """Two-sided, exact: every pattern of signs of distinct ranks is as likely."""
    ranks = np.argsort(np.argsort(np.abs(gaps))) + 1
    observed = sum(rank for rank, gap in zip(ranks, gaps, strict=True) if gap > 0)
    total = sum(ranks)
    sums = [
        sum(rank for rank, up in zip(ranks, signs, strict=True) if up)
        for signs in itertools.product([False, True], repeat=len(gaps))
    ]
    extreme = abs(observed - total / 2)
    return float(np.mean([abs(value - total / 2) >= extreme for value in sums]))


@pytest.mark.parametrize("seed", range(5))
def test_wilcoxon_against_all_patterns_of_signs(seed: int):
    gaps = np.random.default_rng(seed).normal(0.4, 1, 9)
    found = measure_effect(gaps, 1, 0.95)
    assert found is not None
    assert found.p == pytest.approx(wilcoxon_by_hand(gaps.tolist()))
    assert found.dz == pytest.approx(gaps.mean() / gaps.std(ddof=1))


def test_superiority_counts_ties_half_and_follows_the_metric():
    gaps = np.array([0.2, 0.1, 0.0, -0.3, np.nan])
    up, down = (measure_effect(gaps, sign, 0.95) for sign in (1, -1))
    assert (up.superiority, down.superiority) == (0.625, 0.375)
    assert up.low < 0.625 < up.high
    assert (down.low, down.high) == pytest.approx((1 - up.high, 1 - up.low))


def test_wilsons_interval_solves_its_equation():
    """Its ends are the shares from which the observed one is just z standard errors away."""
    found = measure_effect(np.array([1.0] * 14 + [-1.0] * 6), 1, 0.95)
    for end in (found.low, found.high):
        assert abs(0.7 - end) / np.sqrt(end * (1 - end) / 20) == pytest.approx(1.96, abs=1e-3)


def test_degenerate_differences():
    assert measure_effect(np.array([0.1]), 1, 0.95) is None
    assert measure_effect(np.full(4, np.nan), 1, 0.95) is None
    nothing = measure_effect(np.zeros(30), 1, 0.95)
    assert (nothing.dz, nothing.superiority, nothing.p) == (None, 0.5, 1.0)
    alike = measure_effect(np.full(30, 0.1), 1, 0.95)
    assert (alike.dz, alike.superiority) == (None, 1.0)
    assert alike.high == pytest.approx(1)
    assert alike.p < 0.001


def judge(gaps: np.ndarray, draw: float = 0.0) -> tuple[list, str]:
    """One budget at which subjects differ by `gaps`, and draws by `draw` more or less."""
    rng = np.random.default_rng(0)
    counts = rng.multinomial(len(gaps), np.full(len(gaps), 1 / len(gaps)), size=500) / len(gaps)
    base = rng.normal(0.5, 0.1, len(gaps))
    scores = {}
    for arm in ARMS:
        moved = np.array([[-draw], [0.0], [draw]]) + gaps if arm.method else np.zeros((3, 1))
        values = base + moved
        scores[arm.name, "5", "dice"] = Scores(
            values.mean(1), counts @ values.T, len(gaps), by_subject=values.mean(0)
        )
    findings = compare(scores, ARMS, "dice", Protocol())
    return findings, conclude(findings, "dice", "subjects", len(gaps))["sentence"]


def test_agreement_is_not_mentioned():
    gaps = np.random.default_rng(1).normal(0.05, 0.05, 60)
    (finding,), sentence = judge(gaps)
    assert finding.verdict == HELPS
    assert not finding.disputed
    assert "Wilcoxon" not in sentence


def test_draws_that_vary_are_a_disagreement():
    gaps = np.random.default_rng(1).normal(0.05, 0.05, 60)
    (finding,), sentence = judge(gaps, draw=0.2)
    assert finding.verdict == NO_EVIDENCE
    assert finding.wilcoxon < 0.05
    assert "takes the draws as they are, comes to another verdict with 5 subjects." in sentence


def test_a_mean_that_few_subjects_carry_is_a_disagreement():
    gaps = np.r_[np.full(10, 0.5), np.full(50, -0.001)]
    (finding,), sentence = judge(gaps)
    assert (finding.verdict, finding.disputed) == (HELPS, True)
    assert finding.effect.superiority == pytest.approx(10 / 60)
    assert "comes to another verdict with 5 subjects." in sentence
