"""From predictions to a results table, and from that to a verdict in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from tassl.evaluation.metrics import METRICS
from tassl.evaluation.protocol import Protocol
from tassl.evaluation.statistics import (
    POWER,
    Estimate,
    Scores,
    adjust_holm,
    estimate,
    score_draws,
    subject_weights,
)

HELPS, NO_EVIDENCE, HURTS = "helps", "no evidence", "hurts"
FEWEST_SUBJECTS = 20


@dataclass(frozen=True)
class Arm:
    """One way to use the labels.

    Args:
        name: As it stands in tables.
        method: Pretext method, "" for a baseline.
        adaptation: "finetune", "frozen" or "pixels".
    """

    name: str
    method: str
    adaptation: str


@dataclass(frozen=True)
class Finding:
    """A pretrained arm against the best baseline at one budget.

    Args:
        budget: Label budget.
        arm: Name of the pretrained arm.
        reference: Name of the baseline with the best mean.
        difference: Arm minus reference, on the task's first metric.
        p_adjusted: After Holm over all findings of the study.
        verdict: "helps", "no evidence" or "hurts".
    """

    budget: str
    arm: str
    reference: str
    difference: Estimate
    p_adjusted: float
    verdict: str


Predictions = Mapping[tuple[str, str], Sequence[pd.DataFrame]]


def score_all(
    predictions: Predictions, metrics: Sequence[str], protocol: Protocol, seed: int
) -> dict[tuple[str, str, str], Scores]:
    """Score every (arm, budget, metric); all share the same resamples of subjects."""
    first = next(iter(predictions.values()))[0]
    weights = subject_weights(first.subject, protocol.resamples, seed)
    return {
        (arm, budget, metric): score_draws(tables, metric, weights)
        for (arm, budget), tables in predictions.items()
        for metric in metrics
    }


def compare(
    scores: Mapping[tuple[str, str, str], Scores],
    arms: Sequence[Arm],
    metric: str,
    protocol: Protocol,
) -> list[Finding]:
    """Compare every pretrained arm with the best baseline of its budget.

    The baseline is the best of several, picked on the same subjects. That makes *helps* harder
    to reach and *hurts* easier, so the probability of a loss is multiplied by their number.
    """
    budgets = list(dict.fromkeys(budget for _, budget, _ in scores))
    baselines = [arm.name for arm in arms if not arm.method]
    pretrained = [arm.name for arm in arms if arm.method]
    drafts: list[tuple[str, str, str, Estimate]] = []
    for budget in budgets:
        here = {arm.name: scores[arm.name, budget, metric] for arm in arms}
        best = max(baselines, key=lambda name: here[name].observed.mean())
        pairs = [here[name].minus(here[best]) for name in pretrained]
        for name, pair in zip(pretrained, pairs, strict=True):
            drafts.append((budget, name, best, estimate(pair, protocol.confidence, pairs)))
    picked = [d.p * (len(baselines) if d.value < 0 else 1) for *_, d in drafts]
    return [
        Finding(budget, arm, best, gap, float(p), _word(gap, p, protocol.alpha))
        for (budget, arm, best, gap), p in zip(drafts, adjust_holm(picked), strict=True)
    ]


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
        arm, own = by_name[name], estimate(values, confidence)
        row = {
            "arm": name,
            "method": arm.method,
            "adaptation": arm.adaptation,
            "budget": budget,
            "metric": measured,
            "mean": own.value,
            "low": max(0.0, own.low),
            "high": min(1.0, own.high),
            "draws": len(values.observed),
            "test_subjects": values.subjects,
        }
        finding = found.get((name, budget)) if measured == metric else None
        rows.append(row | (_describe(finding) if finding else {}))
    return pd.DataFrame(rows)


def conclude(
    findings: Sequence[Finding], metric: str, unit: str, subjects: int
) -> dict[str, object]:
    """The verdict: one entry per budget, and all of it in words under "sentence"."""
    budgets = []
    for budget in dict.fromkeys(finding.budget for finding in findings):
        here = [finding for finding in findings if finding.budget == budget]
        word = _overall([finding.verdict for finding in here])
        shown = max((f for f in here if f.verdict == word), key=lambda f: f.difference.value)
        budgets.append(asdict(shown))
    caution = ""
    if subjects < FEWEST_SUBJECTS:
        caution = f" Only {_count(subjects, 'test subjects')}: too few to support a claim."
    return {
        "sentence": _sentence(budgets, METRICS[metric].title, unit) + caution,
        "budgets": budgets,
        "metric": metric,
        "test_subjects": subjects,
    }


def _word(difference: Estimate, p: float, alpha: float) -> str:
    if p < alpha:
        return HELPS if difference.value > 0 else HURTS
    return NO_EVIDENCE


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
    }


def _sentence(budgets: Sequence[dict], metric: str, unit: str) -> str:
    """Where pretraining helps or hurts and by how much, and where nothing can be said."""
    parts = []
    for word in (HELPS, HURTS):
        here = [b for b in budgets if b["verdict"] == word]
        if here:
            most = max(here, key=lambda b: abs(b["difference"]["value"]))
            gap = most["difference"]
            where = f", most with {_labels([most], unit)}" if len(here) > 1 else ""
            parts.append(
                f"Pretraining {word} with {_labels(here, unit)}{where}: {most['arm']} against "
                f"{most['reference']}, {gap['value']:+.3f} {metric} "
                f"[{gap['low']:+.3f}, {gap['high']:+.3f}]."
            )
    silent = [b for b in budgets if b["verdict"] == NO_EVIDENCE]
    if silent:
        limit = np.median([b["difference"]["detectable"] for b in silent])
        parts.append(
            f"No evidence of a difference with {_labels(silent, unit)} "
            f"(one of {limit:.3f} {metric} would have been found with {POWER:.0%} power)."
        )
    if all(b["verdict"] != HELPS for b in budgets):
        parts.append("On this evidence, do not pretrain.")
    return " ".join(parts)


def _labels(budgets: Sequence[dict], unit: str) -> str:
    numbers = [b["budget"] for b in budgets if b["budget"] != "all"]
    counted = [_count(_join(numbers), unit)] if numbers else []
    return " and ".join(counted + ["all labels"] * (len(numbers) < len(budgets)))


def _count(number: object, unit: str) -> str:
    """A number of subjects with its unit, as in "1 subject per class"."""
    return f"{number} {unit.replace('subjects', 'subject') if str(number) == '1' else unit}"


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
