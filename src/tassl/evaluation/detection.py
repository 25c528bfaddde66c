"""Scores of predicted boxes: average precision, and the free-response curve.

Each image of a prediction table has lists: `scores` and `classes` of its predicted boxes, and
`hits`, whether each of them is right at each of `OVERLAPS`. Columns `count_0`, ... tell how many
boxes of each class the reference shows. Which box is right does not depend on other images, so a
resample of subjects only counts anew.

Classes that the reference never shows are left out. Source: Lin et al., ECCV 2014,
arXiv:1405.0312 (matching and the 101 points of recall, as in pycocotools); Baumgartner et al.,
MICCAI 2021, arXiv:2106.00817 (overlaps of 0.1 to 0.5 for medical images).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from tassl.evaluation.columns import columns_of, divide, mean_known

OVERLAPS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
LOOSEST, USUAL = 0.1, 0.3
ALARMS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
RECALLS = np.linspace(0, 1, 101)
MOST_NUMBERS = 2**21  # that are held at a time


class Ranking(NamedTuple):
    """Predicted boxes of one class under some resamples, the surest first.

    Args:
        found: Weight of all boxes up to each one, (resample, box).
        weights: Weight of each box, (resample, box).
        hits: Whether each is right at each of `OVERLAPS`, (box, overlap).
        total: Weight of the boxes in the reference, (resample,).
        images: Weight of all images, (resample,).
    """

    found: np.ndarray
    weights: np.ndarray
    hits: np.ndarray
    total: np.ndarray
    images: np.ndarray

    def at_hits(self, overlap: float) -> tuple[np.ndarray, np.ndarray]:
        """Right boxes and all boxes up to each right one, (resample, right box)."""
        right = np.flatnonzero(self.hits[:, OVERLAPS.index(overlap)])
        return self.weights[:, right].cumsum(1), self.found[:, right]


def match_boxes(
    found: np.ndarray, classes: np.ndarray, truth: np.ndarray, truth_classes: np.ndarray
) -> np.ndarray:
    """Tell which predicted boxes of an image are right.

    Boxes are taken from the surest on; each takes the box of its class that it overlaps most, of
    those that are not taken yet.

    Args:
        found: (box, 2 * dims) low and high corners, the surest first.
        classes: Class of each.
        truth: (box, 2 * dims) of the reference.
        truth_classes: Class of each.

    Returns:
        (box, overlap), for each of `OVERLAPS`.
    """
    least = np.array(OVERLAPS)[:, None]
    hits = np.zeros((len(found), len(OVERLAPS)), dtype=bool)
    free = np.ones((len(OVERLAPS), len(truth)), dtype=bool)
    shared = np.where(classes[:, None] == truth_classes, overlap_boxes(found, truth), 0.0)
    for hit, line in zip(hits, shared, strict=True):
        if not line.any():
            continue
        open_ = np.where(free & (line >= least), line, -1.0)
        best = len(truth) - 1 - open_[:, ::-1].argmax(1)  # the last of equals, as pycocotools
        hit[:] = open_.max(1) > 0
        free[hit, best[hit]] = False
    return hits


def overlap_boxes(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (n, 2 * dims) and (m, 2 * dims), (n, m)."""
    dims = one.shape[1] // 2
    low = np.maximum(one[:, None, :dims], other[:, :dims])
    high = np.minimum(one[:, None, dims:], other[:, dims:])
    shared = (high - low).clip(0).prod(-1)
    sizes = [(boxes[:, dims:] - boxes[:, :dims]).prod(-1) for boxes in (one, other)]
    return shared / np.maximum(sizes[0][:, None] + sizes[1] - shared, 1e-12)


@dataclass(frozen=True)
class Sure:
    """The boxes of every image that are sure enough.

    Args:
        threshold: How sure they are at least.
        truth: Of each image (box, class and corners) in the reference.
        boxes: The same, predicted.
        right: How many of these are right at `USUAL`, (image,).
    """

    threshold: float
    truth: list[np.ndarray]
    boxes: list[np.ndarray]
    right: np.ndarray

    @property
    def wanted(self) -> np.ndarray:
        """Boxes in the reference, (image,)."""
        return np.array([len(boxes) for boxes in self.truth])

    @property
    def wrong(self) -> np.ndarray:
        """Predicted boxes that are not right, (image,)."""
        return np.array([len(boxes) for boxes in self.boxes]) - self.right

    @property
    def f1(self) -> np.ndarray:
        """F1 of each image, 1 where nothing is wanted and nothing found, (image,)."""
        return (2 * self.right + 1e-9) / (self.wanted + self.right + self.wrong + 1e-9)


def cut_at_best(table: pd.DataFrame) -> Sure:
    """Keep the boxes above the threshold at which F1 over all images is best."""
    wanted = int(columns_of(table, "count_").sum())
    width = sum(map(len, table.boxes)) // max(1, wanted)
    place = OVERLAPS.index(USUAL)
    hits = [np.asarray(hit, dtype=bool).reshape(-1, len(OVERLAPS))[:, place] for hit in table.hits]
    scores = np.concatenate(list(table.scores))
    order = np.argsort(-scores, kind="stable")
    f1 = 2 * np.concatenate(hits)[order].cumsum() / (np.arange(1, len(order) + 1) + wanted)
    threshold = float(scores[order][f1.argmax()]) if len(scores) else 1.0
    kept = [np.asarray(own) >= threshold for own in table.scores]
    found = [
        np.column_stack([classes, np.reshape(corners, (-1, width - 1))])[keep]
        for classes, corners, keep in zip(table.classes, table.found, kept, strict=True)
    ]
    truth = [np.reshape(boxes, (-1, width)) for boxes in table.boxes]
    right = np.array([hit[keep].sum() for hit, keep in zip(hits, kept, strict=True)])
    return Sure(threshold, truth, found, right)


def average_precision(*overlaps: float) -> Callable[[pd.DataFrame, np.ndarray], np.ndarray]:
    """A score: average precision, its mean over classes and over these of `OVERLAPS`."""

    def score(ranking: Ranking) -> np.ndarray:
        return np.mean([_average_precision(ranking, overlap) for overlap in overlaps], axis=0)

    return lambda table, weights: _over_classes(table, weights, score)


def sensitivity_at(*alarms: float) -> Callable[[pd.DataFrame, np.ndarray], np.ndarray]:
    """A score: share of the objects found at a number of false alarms per image.

    Found is what a box overlaps by `LOOSEST`. Several numbers are averaged, as is the mean over
    classes, each with false alarms of its own.

    Source:
        Bunch et al., Proc. SPIE 1977; Setio et al., Med. Image Anal. 2017, arXiv:1612.08012 (mean
        over 1/8 to 8).
    """

    def score(ranking: Ranking) -> np.ndarray:
        right, found = ranking.at_hits(LOOSEST)
        reached = [
            np.where(found - right <= rate * ranking.images[:, None], right, 0).max(1, initial=0)
            for rate in alarms
        ]
        return divide(np.mean(reached, axis=0), ranking.total)

    return lambda table, weights: _over_classes(table, weights, score)


def _average_precision(ranking: Ranking, overlap: float) -> np.ndarray:
    """Mean over `RECALLS` of the best precision at that recall or a higher one.

    Precision peaks at right boxes, so only those are looked at.
    """
    right, found = ranking.at_hits(overlap)
    precision = np.nan_to_num(divide(right, found))
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    best = np.pad(best, ((0, 0), (0, 1)))  # what is never reached
    recall = divide(right, ranking.total[:, None])
    means = [line[np.searchsorted(r, RECALLS)].mean() for line, r in zip(best, recall, strict=True)]
    return np.where(ranking.total > 0, means, np.nan)


def _over_classes(
    table: pd.DataFrame, weights: np.ndarray, score: Callable[[Ranking], np.ndarray]
) -> np.ndarray:
    """Mean of a score over the classes that the reference shows, (resample,)."""
    each = [
        np.concatenate([score(ranking) for ranking in rankings])
        for rankings in _rank_classes(table, weights)
    ]
    return mean_known(np.stack(each, axis=-1))


def _rank_classes(table: pd.DataFrame, weights: np.ndarray) -> Iterator[Iterator[Ranking]]:
    """The rankings of every class, for a few resamples at a time."""
    counts = columns_of(table, "count_")
    rows = np.repeat(np.arange(len(table)), [len(scores) for scores in table.scores])
    scores, classes = (np.concatenate(list(table[name])) for name in ("scores", "classes"))
    hits = np.concatenate(list(table.hits)).astype(bool).reshape(-1, len(OVERLAPS))
    for c in range(counts.shape[1]):
        own = np.flatnonzero(classes == c)
        own = own[np.argsort(-scores[own], kind="stable")]
        yield _rank(weights, rows[own], hits[own], counts[:, c])


def _rank(
    weights: np.ndarray, rows: np.ndarray, hits: np.ndarray, counts: np.ndarray
) -> Iterator[Ranking]:
    size = max(1, MOST_NUMBERS // max(1, len(rows)))
    for start in range(0, len(weights), size):
        part = weights[start : start + size]
        own = part[:, rows]
        yield Ranking(own.cumsum(1), own, hits, part @ counts, part.sum(1))
