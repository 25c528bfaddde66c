"""Scores of class probabilities: columns `score_0`, `score_1`, ... and `label`.

Scores of one class against the rest are those of class 1 where there are two classes, else the
mean over all. A resample in which a class is absent gives NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tassl.evaluation.columns import columns_of, divide

BINS = 15

# Scores (row,), whether each is positive (row,), weights (resample, row) -> (resample,).
Binary = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def auroc(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Area under the receiver operating curve."""
    return _against_rest(binary_auroc, table, weights)


def binary_auroc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Probability that a positive outranks a negative, ties counting half."""
    positives, negatives = _rank(scores, positive, weights)
    above = np.cumsum(negatives, 1) - negatives / 2
    total, rest = positives.sum(1), negatives.sum(1)
    return divide((positives * (rest[:, None] - above)).sum(1), total * rest)


def auprc(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Area under the precision-recall curve, as average precision."""
    return _against_rest(binary_auprc, table, weights)


def binary_auprc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over the positives of the precision at the threshold of each."""
    positives, negatives = _rank(scores, positive, weights)
    found = np.cumsum(positives, 1)
    precision = np.nan_to_num(divide(found, found + np.cumsum(negatives, 1)))
    return divide((positives * precision).sum(1), positives.sum(1))


def sensitivity_at(specificity: float) -> Callable[[pd.DataFrame, np.ndarray], np.ndarray]:
    """The largest sensitivity of a threshold of at least this specificity, on the same images."""

    def binary(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
        positives, negatives = _rank(scores, positive, weights)
        total, rest = positives.sum(1), negatives.sum(1)
        allowed = np.cumsum(negatives, 1) <= (1 - specificity) * rest[:, None] + 1e-9
        share = divide((positives * allowed).sum(1), total)  # thresholds fall: a prefix is allowed
        return np.where(rest > 0, share, np.nan)

    return lambda table, weights: _against_rest(binary, table, weights)


def balanced_accuracy(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Mean over the classes of the share of their images that is found."""
    counts = _confusion(table, weights)[:, np.unique(table.label)]
    found = np.unique(table.label)
    hits = counts[:, np.arange(len(found)), found]
    return divide(hits, counts.sum(2)).mean(1)


def f1(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall, at the class of the highest score."""
    counts = _confusion(table, weights)
    hits = np.diagonal(counts, axis1=1, axis2=2)
    each = np.nan_to_num(divide(2 * hits, counts.sum(1) + counts.sum(2)))
    return each[:, 1] if each.shape[1] == 2 else each.mean(1)


def kappa(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Agreement beyond chance, each error weighed by the squared distance of its classes."""
    counts = _confusion(table, weights)
    numbers = np.arange(counts.shape[1])
    cost = (numbers[:, None] - numbers) ** 2
    chance = counts.sum(2)[:, :, None] * counts.sum(1)[:, None] / counts.sum((1, 2))[:, None, None]
    return 1 - divide((counts * cost).sum((1, 2)), (chance * cost).sum((1, 2)))


def brier_per_image(table: pd.DataFrame) -> np.ndarray:
    """Half the squared distance of the probabilities from the truth, (row,), in [0, 1]."""
    scores = columns_of(table, "score_")
    return ((scores - np.eye(scores.shape[1])[table.label]) ** 2).sum(1) / 2


def calibration_error(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Gap between confidence and accuracy, over even bins of confidence weighed by their images."""
    curve = measure_reliability(table, weights)
    gaps = np.nan_to_num(np.abs(curve.confidence - curve.accuracy))
    return (curve.share * gaps).sum(1)


@dataclass(frozen=True)
class Reliability:
    """A reliability curve, (resample, bin) each; NaN in bins without images.

    Args:
        confidence: Mean highest probability.
        accuracy: Share of the images whose class has it.
        share: Of all images.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    share: np.ndarray


def measure_reliability(table: pd.DataFrame, weights: np.ndarray) -> Reliability:
    """How often the class of the highest probability is right, by that probability."""
    scores = columns_of(table, "score_")
    surest, right = scores.max(1), scores.argmax(1) == table.label.to_numpy()
    member = np.eye(BINS)[bin_surety(surest)]
    counts = weights @ member
    return Reliability(
        divide(weights @ (member * surest[:, None]), counts),
        divide(weights @ (member * right[:, None]), counts),
        counts / counts.sum(1, keepdims=True),
    )


def bin_surety(surest: np.ndarray) -> np.ndarray:
    """Number of the even bin that each probability is in; a bin has its upper end."""
    return np.clip(np.ceil(surest * BINS).astype(int) - 1, 0, BINS - 1)


def _against_rest(score: Binary, table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    scores, labels = columns_of(table, "score_"), table.label.to_numpy()
    classes = [1] if scores.shape[1] == 2 else range(scores.shape[1])
    return np.mean([score(scores[:, c], labels == c, weights) for c in classes], axis=0)


def _rank(
    scores: np.ndarray, positive: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weight of positives and of negatives at each distinct score, highest first."""
    order = np.argsort(-scores, kind="stable")
    _, starts = np.unique(-scores[order], return_index=True)
    ordered = weights[:, order]
    positives = np.add.reduceat(ordered * positive[order], starts, axis=1)
    return positives, np.add.reduceat(ordered * ~positive[order], starts, axis=1)


def _confusion(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Images by true and by predicted class, (resample, class, class)."""
    scores, labels = columns_of(table, "score_"), table.label.to_numpy()
    said = np.eye(scores.shape[1])[scores.argmax(1)]
    own = [labels == c for c in range(scores.shape[1])]
    return np.stack([weights[:, rows] @ said[rows] for rows in own], axis=1)
