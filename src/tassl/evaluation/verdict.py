"""From predictions to a results table, and from that to a verdict in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from tassl.evaluation.metrics import METRICS, show_score
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
SIDE_RESAMPLES = 200  # of metrics that decide nothing


@dataclass(frozen=True)
class Arm:
    """One way to use the labels.

    Args:
        name: As it stands in tables.
        method: Pretext method, "" for a baseline.
        adaptation: "finetune", "frozen" or "pixels".
        weights: Natural-image weights that a baseline starts from, "" for random ones.
        semi: Whether a baseline learns from unlabelled images as it is fitted.
    """

    name: str
    method: str
    adaptation: str
    weights: str = ""
    semi: bool = False


@dataclass(frozen=True)
class Finding:
    """A pretrained arm against the best baseline at one budget.

    Args:
        budget: Label budget.
        arm: Name of the pretrained arm.
        reference: Name of the baseline with the best mean.
        difference: Arm minus reference, on the task's first metric; below zero is better where
            less of the metric is.
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

    Differences are arm minus baseline as they stand; what is good follows from the metric.

    The baseline is the best of several, picked on the same subjects. That makes *helps* harder
    to reach and *hurts* easier, so the probability of a loss is multiplied by their number.
    """
    budgets = list(dict.fromkeys(budget for _, budget, _ in scores))
    merit = METRICS[metric].merit
    baselines = [arm.name for arm in arms if not arm.method]
    pretrained = [arm.name for arm in arms if arm.method]
    drafts: list[tuple[str, str, str, Estimate]] = []
    for budget in budgets:
        here = {arm.name: scores[arm.name, budget, metric] for arm in arms}
        best = max(baselines, key=lambda name: merit(here[name].observed.mean()))
        pairs = [here[name].minus(here[best]) for name in pretrained]
        for name, pair in zip(pretrained, pairs, strict=True):
            drafts.append((budget, name, best, estimate(pair, protocol.confidence, pairs)))
    picked = [d.p * (len(baselines) if merit(d.value) < 0 else 1) for *_, d in drafts]
    return [
        Finding(budget, arm, best, gap, float(p), _word(gap, p, protocol.alpha, merit))
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
    findings: Sequence[Finding], metric: str, unit: str, subjects: int, measured_in: str = ""
) -> dict[str, object]:
    """The verdict: one entry per budget, and all of it in words under "sentence".

    Args:
        findings: Of every budget and pretrained arm.
        metric: What they compare.
        unit: What a label budget counts.
        subjects: Number of test subjects.
        measured_in: Unit of the metric, where it has one.
    """
    merit = METRICS[metric].merit
    budgets = []
    for budget in dict.fromkeys(finding.budget for finding in findings):
        here = [finding for finding in findings if finding.budget == budget]
        word = _overall([finding.verdict for finding in here])
        shown = max((f for f in here if f.verdict == word), key=lambda f: merit(f.difference.value))
        budgets.append(asdict(shown))
    caution = ""
    if subjects < FEWEST_SUBJECTS:
        caution = f" Only {_count(subjects, 'test subjects')}: too few to support a claim."
    return {
        "sentence": _sentence(budgets, metric, unit, measured_in) + caution,
        "budgets": budgets,
        "metric": metric,
        "measured_in": measured_in,
        "test_subjects": subjects,
    }


def _word(difference: Estimate, p: float, alpha: float, merit: Callable[[float], float]) -> str:
    if p < alpha:
        return HELPS if merit(difference.value) > 0 else HURTS
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


def _sentence(budgets: Sequence[dict], metric: str, unit: str, measured_in: str) -> str:
    """Where pretraining helps or hurts and by how much, and where nothing can be said."""
    card, parts = METRICS[metric], []
    title = f"{measured_in if card.in_unit else ''} {card.title}".strip()
    wish = "" if card.sign > 0 else " (lower is better)"
    for word in (HELPS, HURTS):
        here = [b for b in budgets if b["verdict"] == word]
        if here:
            most = max(here, key=lambda b: abs(b["difference"]["value"]))
            gap = most["difference"]
            where = f", most with {_labels([most], unit)}" if len(here) > 1 else ""
            parts.append(
                f"Pretraining {word} with {_labels(here, unit)}{where}: {most['arm']} against "
                f"{most['reference']}, {show_score(gap['value'], '+')} {title} "
                f"[{show_score(gap['low'], '+')}, {show_score(gap['high'], '+')}]{wish}."
            )
    silent = [b for b in budgets if b["verdict"] == NO_EVIDENCE]
    if silent:
        limit = np.median([b["difference"]["detectable"] for b in silent])
        parts.append(
            f"No evidence of a difference with {_labels(silent, unit)} "
            f"(one of {show_score(limit)} {title} would have been found with {POWER:.0%} power)."
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
