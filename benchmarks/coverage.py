"""Do the intervals cover, and how often is a verdict false? Simulated studies, no images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from benchmarks.figures import Figure
from tassl.evaluation.protocol import Protocol
from tassl.evaluation.statistics import estimate
from tassl.evaluation.verdict import HELPS, HURTS, Arm, Predictions, compare, score_all

ARMS = (
    Arm("scratch", "", "finetune"),
    Arm("random (frozen)", "", "frozen"),
    Arm("a (fine-tuned)", "a", "finetune"),
    Arm("b (fine-tuned)", "b", "finetune"),
)
BUDGETS = ("5", "10", "25", "100", "all")
STUDIES, SUBJECTS, EFFECT = 400, 100, 0.05
PROTOCOL = replace(Protocol(), resamples=400)


def measure() -> Iterator[Figure]:
    """Coverage of both intervals, false verdicts without an effect, power with one."""
    covered, paired, false, found = [], [], [], []
    for study in range(STUDIES):
        predictions, truth = _draw(study, 0.0)
        scores = score_all(predictions, ("dice",), PROTOCOL, study)
        findings = compare(scores, ARMS, "dice", PROTOCOL)
        false.append(any(finding.verdict in (HELPS, HURTS) for finding in findings))
        own = estimate(scores["a (fine-tuned)", "10", "dice"], PROTOCOL.confidence)
        covered.append(own.low <= truth <= own.high)
        base = scores["scratch", "10", "dice"]
        gaps = [scores[arm.name, "10", "dice"].minus(base) for arm in ARMS if arm.method]
        against = estimate(gaps[0], PROTOCOL.confidence, gaps)
        paired.append(against.low <= 0 <= against.high)
        if study % 4 == 0:
            predictions, _ = _draw(study, EFFECT)
            scores = score_all(predictions, ("dice",), PROTOCOL, study)
            words = [f.verdict for f in compare(scores, ARMS, "dice", PROTOCOL) if f.arm[0] == "a"]
            found.append(words.count(HELPS) / len(words))
    yield Figure("95% interval of a mean misses the truth", 1 - np.mean(covered), "", 0.07)
    yield Figure("95% interval of a paired difference misses zero", 1 - np.mean(paired), "", 0.07)
    yield Figure("studies without an effect that find one", float(np.mean(false)), "", 0.05)
    yield Figure(
        f"power for a difference of {EFFECT} ({PROTOCOL.draws} draws)", float(np.mean(found)), ""
    )


def _draw(seed: int, effect: float) -> tuple[Predictions, float]:
    """One study: subject, draw, arm-by-subject and residual effects; arm `a` has the effect."""
    rng = np.random.default_rng((seed, 7))
    mean = 0.6
    subjects = rng.normal(0, 0.12, SUBJECTS)
    names = [f"s{k:03d}" for k in range(SUBJECTS)]
    predictions: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for budget in BUDGETS:
        for arm in ARMS:
            own = rng.normal(0, 0.04, SUBJECTS)
            for _ in range(PROTOCOL.draws):
                noise = rng.normal(0, 0.015) + rng.normal(0, 0.04, SUBJECTS)
                value = mean + effect * (arm.method == "a") + subjects + own + noise
                table = pd.DataFrame({"subject": names, "dice_1": value})
                predictions.setdefault((arm.name, budget), []).append(table)
    return predictions, mean
