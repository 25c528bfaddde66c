"""How far scores move when the same models see the same test subjects in changed images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tassl.evaluation.statistics import (
    Estimate,
    Scores,
    estimate,
    score_draws,
    subject_weights,
)

RESAMPLES = 500
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
    """

    arm: str
    kind: str
    severity: int
    plain: float
    changed: float
    difference: Estimate
    against: Estimate | None


Changed = Mapping[str, Mapping[tuple[str, int], pd.DataFrame]]  # by arm, then kind and severity


def measure_drops(
    plain: Mapping[str, pd.DataFrame],
    changed: Changed,
    metric: str,
    confidence: float,
    *,
    reference: str,
    seed: int = 0,
) -> list[Drop]:
    """Compare predictions of changed images with those of the same images as they are.

    The mean over all kinds of a severity comes last, where there are several.

    Args:
        plain: Predictions of each arm.
        changed: The same, of some of the images, for every change.
        metric: Key in `METRICS`.
        confidence: Level of the intervals.
        reference: Arm that the falls of the others are compared with.
        seed: Of the resamples.
    """
    first = next(iter(next(iter(changed.values())).values()))
    weights = subject_weights(first.subject, RESAMPLES, seed)
    before = {
        arm: score_draws([table.set_index("id").loc[first.id].reset_index()], metric, weights)
        for arm, table in plain.items()
    }
    after = {
        arm: _add_means({k: score_draws([t], metric, weights) for k, t in tables.items()})
        for arm, tables in changed.items()
    }
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
    return drops


def _add_means(scores: dict[tuple[str, int], Scores]) -> dict[tuple[str, int], Scores]:
    """The scores with their means over the kinds of each severity."""
    means = {}
    for severity in sorted({severity for _, severity in scores}):
        own = [score for (_, other), score in scores.items() if other == severity]
        if len(own) > 1:
            means[MEAN, severity] = Scores(
                np.mean([score.observed for score in own], axis=0),
                np.mean([score.resampled for score in own], axis=0),
                own[0].subjects,
            )
    return scores | means
