"""The scores of each region by itself, on the images that show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tassl.evaluation.segmentation import NAMES
from tassl.evaluation.statistics import (
    CHECK_RESAMPLES,
    Estimate,
    estimate,
    score_draws,
    subject_weights,
)

METRICS = ("dice", *NAMES)


@dataclass(frozen=True)
class RegionScore:
    """One arm on one region.

    Args:
        arm: Its name.
        region: Its name.
        metric: Key in `tassl.evaluation.metrics.METRICS`.
        shown: Test images that show the region.
        score: Mean over them and over draws.
    """

    arm: str
    region: str
    metric: str
    shown: int
    score: Estimate


def score_regions(
    predictions: Mapping[str, Sequence[pd.DataFrame]],
    names: Sequence[str],
    confidence: float,
    seed: int = 0,
) -> list[RegionScore]:
    """Score every arm on every region that some test image shows.

    Args:
        predictions: Tables of every draw by arm, all of the same rows.
        names: Of the regions, in the order of their columns.
        confidence: Level of the intervals.
        seed: Of the resamples.
    """
    first = next(iter(predictions.values()))[0]
    weights, scores = subject_weights(first.subject, CHECK_RESAMPLES, seed), []
    for number, region in enumerate(names, 1):
        rows = np.flatnonzero(first[f"{NAMES[0]}_{number}"].notna())
        if not len(rows):
            continue
        columns = {f"{metric}_{number}": f"{metric}_1" for metric in METRICS}
        for arm, tables in predictions.items():
            own = [
                table.iloc[rows][["subject", *columns]].rename(columns=columns) for table in tables
            ]
            for metric in METRICS:
                found = score_draws(own, metric, weights[:, rows])
                value = estimate(found, confidence, skewed=True)
                scores.append(RegionScore(arm, region, metric, len(rows), value))
    return scores
