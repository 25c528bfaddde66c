"""From predictions to a results table, and from that to a verdict in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from tassl.evaluation.effects import Effect, measure_effect
from tassl.evaluation.efficiency import Saving
from tassl.evaluation.finding import (
    FEWEST_DRAWS,
    HELPS,
    HURTS,
    NO_EVIDENCE,
    OVERALL,
    Arm,
    Finding,
)
from tassl.evaluation.metrics import METRICS
from tassl.evaluation.protocol import Protocol
from tassl.evaluation.sentence import Told, tell
from tassl.evaluation.statistics import (
    Estimate,
    Scores,
    adjust_holm,
    estimate,
    score_draws,
    subject_weights,
)

SIDE_RESAMPLES = 200  # of metrics that decide nothing


Predictions = Mapping[tuple[str, str], Sequence[pd.DataFrame]]


def score_all(
    predictions: Predictions, metrics: Sequence[str], protocol: Protocol, seed: int
) -> dict[tuple[str, str, str], Scores]:
    """Score every (arm, budget, metric); all share the same resamples of subjects.

    Metrics after the first take fewer of them, and those that no image counts for are left out.
    """
    first = next(iter(predictions.values()))[0]
    weights = subject_weights(first.subject, protocol.resamples, seed)
    scores = {
        (arm, budget, metric): score_draws(
            tables, metric, weights if metric == metrics[0] else weights[:SIDE_RESAMPLES]
        )
        for (arm, budget), tables in predictions.items()
        for metric in metrics
    }
    return {key: found for key, found in scores.items() if found.left_out < len(first)}


def compare(
    scores: Mapping[tuple[str, str, str], Scores],
    arms: Sequence[Arm],
    metric: str,
    protocol: Protocol,
) -> list[Finding]:
    """Compare every pretrained arm with the best baseline of its budget.

    Differences are arm minus baseline as they stand; what is good follows from the metric. Areas of
    curves are compared like a further budget, in the same family of tests: a study without an
    effect then claims one with probability `alpha` at most, wherever it looks.

    The baseline is the best of several, picked on the same subjects. That makes *helps* harder
    to reach and *hurts* easier, so the probability of a loss is multiplied by their number.
    """
    budgets = list(dict.fromkeys(budget for _, budget, _ in scores))
    card = METRICS[metric]
    baselines = [arm.name for arm in arms if not arm.method]
    pretrained = [arm.name for arm in arms if arm.method]
    several = len(budgets) * len(pretrained)
    drafts: list[tuple[str, str, str, Estimate]] = []
    effects: list[Effect | None] = []
    for budget in budgets:
        here = {arm.name: scores[arm.name, budget, metric] for arm in arms}
        best = max(baselines, key=lambda name: card.merit(here[name].observed.mean()))
        pairs = [here[name].minus(here[best]) for name in pretrained]
        for name, pair in zip(pretrained, pairs, strict=True):
            gap = estimate(pair, protocol.confidence, pairs, comparisons=several)
            drafts.append((budget, name, best, gap))
            gaps = pair.by_subject
            found = None if gaps is None else measure_effect(gaps, card.sign, protocol.confidence)
            effects.append(found)
    picked = [d.p * (len(baselines) if card.merit(d.value) < 0 else 1) for *_, d in drafts]
    ranks = adjust_holm([found.p if found else np.nan for found in effects])
    draws = min(len(values.observed) for values in scores.values())
    alpha = protocol.alpha if draws >= FEWEST_DRAWS else 0.0
    findings = []
    for draft, p, found, rank in zip(drafts, adjust_holm(picked), effects, ranks, strict=True):
        word = _word(card.merit(draft[-1].value), p, alpha)
        other = _word(found.superiority - 0.5, rank, alpha) if found else word
        rank = float(rank) if found else None
        findings.append(Finding(*draft, float(p), word, found, rank, word != other))
    return findings


def tabulate(
    scores: Mapping[tuple[str, str, str], Scores],
    arms: Sequence[Arm],
    findings: Sequence[Finding],
    metric: str,
    confidence: float,
) -> pd.DataFrame:
    """The results table: one row per arm, budget and metric."""
    by_name = {arm.name: arm for arm in arms}
    found = {(finding.arm, finding.budget): finding for finding in findings}
    rows = []
    for (name, budget, measured), values in scores.items():
        like = [other for (_, *where), other in scores.items() if where == [budget, measured]]
        arm, own = by_name[name], estimate(values, confidence, like, skewed=True)
        bounds = METRICS[measured].bounds
        row = {
            "arm": name,
            "method": arm.method,
            "adaptation": arm.adaptation,
            "budget": budget,
            "metric": measured,
            "mean": own.value,
            "low": np.clip(own.low, *bounds),
            "high": np.clip(own.high, *bounds),
            "draws": len(values.observed),
            "test_subjects": values.subjects,
            "left_out": values.left_out,
        }
        finding = found.get((name, budget)) if measured == metric else None
        rows.append(row | (_describe(finding) if finding else {}))
    return pd.DataFrame(rows)


def conclude(
    findings: Sequence[Finding],
    metric: str,
    unit: str,
    subjects: int,
    measured_in: str = "",
    savings: Sequence[Saving] = (),
    draws: int = FEWEST_DRAWS,
) -> dict[str, object]:
    """The verdict: one entry per budget, one over all, and all of it in words under "sentence".

    Args:
        findings: Of every budget and pretrained arm.
        metric: What they compare.
        unit: What a label budget counts.
        subjects: Number of test subjects.
        measured_in: Unit of the metric, where it has one.
        savings: Labels saved, of every arm.
        draws: Label subsets per budget.
    """
    shown = {
        budget: _choose([finding for finding in findings if finding.budget == budget], metric)
        for budget in dict.fromkeys(finding.budget for finding in findings)
    }
    whole = shown.pop(OVERALL, None)
    saved = [saving for saving in savings if whole and saving.arm == whole.arm]
    told = Told(list(shown.values()), whole, saved, findings, metric, unit, measured_in)
    return {
        "sentence": tell(told, subjects, draws),
        "budgets": [asdict(finding) for finding in shown.values()],
        "overall": whole and asdict(whole) | {"savings": [asdict(saving) for saving in saved]},
        "metric": metric,
        "measured_in": measured_in,
        "test_subjects": subjects,
        "comparisons": len(findings),
    }


def _word(gain: float, p: float, alpha: float) -> str:
    if p < alpha:
        return HELPS if gain > 0 else HURTS
    return NO_EVIDENCE


def _choose(findings: Sequence[Finding], metric: str) -> Finding:
    """The finding that decides the word of a budget: the best of those that say it."""
    word = _overall([finding.verdict for finding in findings])
    said = [finding for finding in findings if finding.verdict == word]
    return max(said, key=lambda finding: METRICS[metric].merit(finding.difference.value))


def _overall(words: Sequence[str]) -> str:
    """Helps if any arm helps; hurts only if every arm hurts."""
    if HELPS in words:
        return HELPS
    return HURTS if set(words) == {HURTS} else NO_EVIDENCE


def _describe(finding: Finding) -> dict[str, object]:
    return {
        "reference": finding.reference,
        "difference": finding.difference.value,
        "difference_low": finding.difference.low,
        "difference_high": finding.difference.high,
        "p_adjusted": finding.p_adjusted,
        "detectable": finding.difference.detectable,
        "verdict": finding.verdict,
    } | ({"wilcoxon": finding.wilcoxon} | _name_effect(finding.effect) if finding.effect else {})


def _name_effect(effect: Effect) -> dict[str, object]:
    names = ("superiority", "superiority_low", "superiority_high")
    shares = (effect.superiority, effect.low, effect.high)
    return {"dz": effect.dz, **dict(zip(names, shares, strict=True))}
