"""Metrics as functions of subject weights, so that one call scores every bootstrap resample.

A prediction table has one row per test image. Weights are (resample, row): how often the row's
subject was drawn; a row of ones is the plain metric.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Metric:
    """A score of a prediction table.

    Args:
        title: As the field writes it.
        score: (table, weights (resample, row)) to (resample,).
        source: Definition.
    """

    title: str
    score: Callable[[pd.DataFrame, np.ndarray], np.ndarray]
    source: str


def columns_of(table: pd.DataFrame, prefix: str) -> np.ndarray:
    """The numbered columns with this prefix, in order of their numbers."""
    names = [name for name in table.columns if name.startswith(prefix)]
    return table[sorted(names, key=lambda name: int(name.removeprefix(prefix)))].to_numpy()


def auroc(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Area under the receiver operating curve; macro one-versus-rest beyond two classes.

    A resample in which a class is absent gives NaN.
    """
    scores, labels = columns_of(table, "score_"), table.label.to_numpy()
    if scores.shape[1] == 2:
        return binary_auroc(scores[:, 1], labels == 1, weights)
    each = [binary_auroc(scores[:, c], labels == c, weights) for c in range(scores.shape[1])]
    return np.mean(each, axis=0)


def binary_auroc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Probability that a positive outranks a negative, ties counting half."""
    order = np.argsort(scores, kind="stable")
    _, starts = np.unique(scores[order], return_index=True)
    positives = np.add.reduceat(weights[:, order] * positive[order], starts, axis=1)
    negatives = np.add.reduceat(weights[:, order] * ~positive[order], starts, axis=1)
    below = np.cumsum(negatives, 1) - negatives / 2
    pairs = positives.sum(1) * negatives.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (positives * below).sum(1) / pairs


def balanced_accuracy(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Mean over the classes of the share of their images that is found."""
    scores, labels = columns_of(table, "score_"), table.label.to_numpy()
    right = scores.argmax(1) == labels
    recalls = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for c in np.unique(labels):
            recalls.append((weights @ (right & (labels == c))) / (weights @ (labels == c)))
    return np.mean(recalls, axis=0)


def dice(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Mean over images of the mean Dice over the foreground classes present in the reference.

    An image whose reference is empty scores 1 if nothing is predicted, else 0.
    """
    return (weights @ dice_per_image(table)) / weights.sum(1)


def dice_per_image(table: pd.DataFrame) -> np.ndarray:
    """One Dice per image: the mean over its classes, as `dice` defines it."""
    return np.nanmean(columns_of(table, "dice_"), axis=1)


def dice_of_masks(predicted: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    """Dice of every foreground class of one image.

    Args:
        predicted: Class numbers, (*space).
        truth: Class numbers, (*space).
        classes: Number of classes, background included.

    Returns:
        (classes - 1,): NaN for a class absent from the reference. Where the whole reference is
        empty, 1 for classes that are not predicted and 0 for those that are.
    """
    size = lambda mask: np.bincount(mask.ravel(), minlength=classes)[1:].astype(float)  # noqa: E731
    overlap = size(np.where(predicted == truth, truth, 0))
    given, found = size(truth), size(predicted)
    if not given.any():
        return np.where(found > 0, 0.0, 1.0)
    scores = 2 * overlap / np.maximum(given + found, 1)
    return np.where(given > 0, scores, np.nan)


METRICS: dict[str, Metric] = {
    "auroc": Metric("AUROC", auroc, "Hanley & McNeil 1982; macro one-versus-rest"),
    "balanced_accuracy": Metric("Balanced accuracy", balanced_accuracy, "Brodersen et al. 2010"),
    "dice": Metric("Dice", dice, "Dice 1945; per image first, as in arXiv:2206.01653"),
}


def score_once(table: pd.DataFrame, metric: str) -> float:
    """The plain metric of a prediction table, every row counting once."""
    return float(METRICS[metric].score(table, np.ones((1, len(table))))[0])
