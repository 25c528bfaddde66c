"""The score of each finding by itself, where an image may show several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tassl.evaluation.multilabel import split_findings
from tassl.evaluation.statistics import (
    CHECK_RESAMPLES,
    Estimate,
    estimate,
    score_draws,
    subject_weights,
)

METRIC = "auroc"


@dataclass(frozen=True)
class FindingScore:
    """One arm on one finding.

    Args:
        arm: Its name.
        finding: Its name.
        known: Test images of which the answer is known.
        shown: Those of them that show it.
        score: AUROC, mean over draws; None where all show it or none does, and so there is none.
    """

    arm: str
    finding: str
    known: int
    shown: int
    score: Estimate | None


def score_findings(
    predictions: Mapping[str, Sequence[pd.DataFrame]],
    names: Sequence[str],
    confidence: float,
    seed: int = 0,
) -> list[FindingScore]:
    """Score every arm on every finding.

    Args:
        predictions: Tables of every draw by arm, all of the same rows.
        names: Of the findings, in the order of their columns.
        confidence: Level of the intervals.
        seed: Of the resamples.
    """
    first = next(iter(predictions.values()))[0]
    weights = subject_weights(first.subject, CHECK_RESAMPLES, seed)
    return [
        _score(arm, name, parts, weights, confidence)
        for arm, tables in predictions.items()
        for name, parts in zip(names, zip(*map(split_findings, tables), strict=True), strict=True)
    ]


def _score(
    arm: str,
    name: str,
    parts: Sequence[tuple[np.ndarray, pd.DataFrame]],
    weights: np.ndarray,
    confidence: float,
) -> FindingScore:
    """Score the draws of an arm, each given as rows and their table of two classes."""
    rows, tables = parts[0][0], [table for _, table in parts]
    shown, score = int(tables[0].label.sum()), None
    if 0 < shown < len(rows):
        score = estimate(score_draws(tables, METRIC, weights[:, rows]), confidence, skewed=True)
    return FindingScore(arm, name, len(rows), shown, score)
