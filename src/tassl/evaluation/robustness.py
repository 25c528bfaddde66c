"""How far scores move when the same models see the same test subjects in changed images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from tassl.evaluation.statistics import (
    CHECK_RESAMPLES,
    Estimate,
    Scores,
    adjust_holm,
    average,
    estimate,
    score_draws,
    subject_weights,
)

MEAN = "mean of all"


@dataclass(frozen=True)
class Drop:
    """One arm under one change of the test images.

    Args:
        arm: Its name.
        kind: What was changed.
        severity: How much.
        plain: Score on the images as they are.
        changed: Score on the changed images.
        difference: Changed minus plain, on the same subjects.
        against: The same less that of the reference arm, None for itself.
        p_adjusted: Of the difference, after Holm over all differences of the table.
    """

    arm: str
    kind: str
    severity: int
    plain: float
    changed: float
    difference: Estimate
    against: Estimate | None
    p_adjusted: float = 1.0


Changed = Mapping[str, Mapping[tuple[str, int], pd.DataFrame]]  # by arm, then kind and severity


def measure_drops(
    plain: Mapping[str, pd.DataFrame],
    changed: Changed,
    metric: str,
    confidence: float,
    *,
    reference: str,
    means: bool = False,
    seed: int = 0,
) -> list[Drop]:
    """Compare predictions of changed images with those of the same images as they are.

    Args:
        plain: Predictions of each arm.
        changed: The same of the same images, for every change.
        metric: Key in `METRICS`.
        confidence: Level of the intervals.
        reference: Arm that the falls of the others are compared with.
        means: Whether the mean over all kinds of each severity comes last.
        seed: Of the resamples.
    """
    weights = subject_weights(next(iter(plain.values())).subject, CHECK_RESAMPLES, seed)
    before = {arm: score_draws([table], metric, weights) for arm, table in plain.items()}
    after = {
        arm: {change: score_draws([t], metric, weights) for change, t in tables.items()}
        for arm, tables in changed.items()
    }
    if means:
        after = {arm: scores | _average(scores) for arm, scores in after.items()}
    drops = []
    for arm, scores in after.items():
        for (kind, severity), score in scores.items():
            fall = score.minus(before[arm])
            other = after[reference][kind, severity].minus(before[reference])
            drops.append(
                Drop(
                    arm,
                    kind,
                    severity,
                    float(before[arm].observed[0]),
                    float(score.observed[0]),
                    estimate(fall, confidence),
                    estimate(fall.minus(other), confidence) if arm != reference else None,
                )
            )
    adjusted = adjust_holm([drop.difference.p for drop in drops])
    return [replace(drop, p_adjusted=float(p)) for drop, p in zip(drops, adjusted, strict=True)]


def _average(scores: Mapping[tuple[str, int], Scores]) -> dict[tuple[str, int], Scores]:
    """The means over the kinds of each severity."""
    return {
        (MEAN, severity): average([own for (_, other), own in scores.items() if other == severity])
        for severity in sorted({severity for _, severity in scores})
    }
