"""Paired comparison of pilots that were scored on the same parts.

Folds and repeats share subjects, so the plain variance of a mean over them is far too small.

Source: Nadeau & Bengio, Machine Learning 2003, 10.1023/A:1024068626366, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import stats

from tassl.scouting.yardstick import FROZEN, TUNED, Scores

CONFIDENCE = 0.95  # that a pilot is worse, before it is dropped
DECIDING = (FROZEN, TUNED)  # neighbours are told, and decide nothing: no study uses them


def pick_scores(scores: Scores, parts: int) -> np.ndarray:
    """Scores of the better way to use the features, NaN on parts that it was not tried on.

    Ways are compared on the parts that all of them saw.

    Args:
        scores: By way; shorter ones are of the first parts.
        parts: Number of parts.
    """
    ways = [np.array(scores[way]) for way in DECIDING if way in scores]
    shared = min(map(len, ways))
    best = max(ways, key=lambda values: np.nanmean(values[:shared]))
    return np.concatenate([best, np.full(parts - len(best), np.nan)])


def pick_floor(floors: Mapping[str, Scores], parts: int) -> tuple[str, np.ndarray]:
    """The best of what needs no pretraining, and its scores."""
    picked = {name: pick_scores(scores, parts) for name, scores in floors.items()}
    shared = np.isfinite(np.stack(list(picked.values()))).all(0)
    name = max(picked, key=lambda name: picked[name][shared].mean())
    return name, picked[name]


def widen(count: int, folds: int) -> float:
    """What the plain variance of scores is multiplied by to be that of their mean."""
    return 1 / count + 1 / (folds - 1)


def is_worse(one: np.ndarray, other: np.ndarray, folds: int) -> bool:
    """Whether the first is worse on the same parts by the corrected resampled t-test."""
    differences = one - other
    differences = differences[np.isfinite(differences)]
    count = len(differences)
    if count < 2:
        return False
    error = np.sqrt(widen(count, folds) * differences.var(ddof=1))
    reach = stats.t.ppf(CONFIDENCE, count - 1) * error
    return bool(differences.mean() + reach < 0)
