"""Scores of several findings per image: columns `score_0`, ... and `finding_0`, ... of 1, 0 or NaN.

Every score is the mean over findings, each on the images where its answer is known. A finding that
all of them show, or none, has no ranking and is left out of the mean; in a resample as well, the
same for all arms.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from tassl.evaluation.classification import (
    BINS,
    Binary,
    bin_surety,
    binary_auprc,
    binary_auroc,
)
from tassl.evaluation.columns import columns_of, divide, mean_known


def mean_auroc(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Area under the receiver operating curve."""
    return _over_findings(binary_auroc, table, weights)


def mean_auprc(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Area under the precision-recall curve, as average precision."""
    return _over_findings(binary_auprc, table, weights)


def mean_calibration_error(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Gap between the probability of a finding and how often it is shown, over even bins."""
    return _over_findings(_calibration_error, table, weights)


def brier_per_image(table: pd.DataFrame) -> np.ndarray:
    """Squared distance of the probabilities from the known answers, mean over findings, (row,)."""
    return mean_known((columns_of(table, "score_") - columns_of(table, "finding_")) ** 2)


def split_findings(table: pd.DataFrame) -> Iterator[tuple[np.ndarray, pd.DataFrame]]:
    """For each finding the rows where it is known, and their table as one of two classes."""
    scores, answers = columns_of(table, "score_"), columns_of(table, "finding_")
    for score, answer in zip(scores.T, answers.T, strict=True):
        rows = np.flatnonzero(np.isfinite(answer))
        own = {
            "score_0": 1 - score[rows],
            "score_1": score[rows],
            "label": answer[rows].astype(int),
        }
        yield rows, table[["subject"]].iloc[rows].assign(**own)


def _over_findings(score: Binary, table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    found = []
    for rows, own in split_findings(table):
        shown, counted = own.label.to_numpy() == 1, weights[:, rows]
        ranked = (counted @ shown > 0) & (counted @ ~shown > 0)
        value = np.full(len(weights), np.nan)
        if ranked.any():
            value[ranked] = score(own.score_1.to_numpy(), shown, counted[ranked])
        found.append(value)
    return mean_known(np.stack(found, axis=1))


def _calibration_error(scores: np.ndarray, shown: np.ndarray, weights: np.ndarray) -> np.ndarray:
    gaps = weights @ (np.eye(BINS)[bin_surety(scores)] * (scores - shown)[:, None])
    return divide(np.abs(gaps).sum(1), weights.sum(1))
