"""Has a pretraining come to a plateau? Judged by trends, with their noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tassl.health import Epoch

FEWEST_EPOCHS, WINDOW = 10, 1 / 3  # of the trend; share of the epochs so far
LEAST_GAIN = 0.03  # of the loss, and of its whole fall so far
LEAST_CHANGE = 0.05  # of spread and effective rank
CONFIDENCE = 0.95


def has_plateaued(history: Sequence[Epoch], *, steady: bool) -> bool:
    """Whether the last third of the epochs brought next to nothing.

    Where the loss means the same all along, even the upper end of the interval of its fall must
    be small beside the loss and beside its fall so far. Elsewhere spread and effective rank of the
    features must have stood still. A noisy course gives a wide interval, and is let go on.

    Args:
        history: All epochs so far; the first is the state before training.
        steady: Whether the loss means the same all along.
    """
    trained = history[1:]
    length = max(FEWEST_EPOCHS, round(WINDOW * len(trained)))
    if len(trained) < 2 * length:
        return False
    last = trained[-length:]
    if steady:
        losses = [line.loss for line in last]
        low, _ = _change(losses)
        level = sum(losses) / length
        return -low < LEAST_GAIN * min(abs(level), trained[0].loss - level)
    courses = ([line.feature_std for line in last], [line.effective_rank for line in last])
    changes = [_change([math.log(value) for value in course]) for course in courses]
    return all(max(-low, high) < LEAST_CHANGE for low, high in changes)


def _change(values: Sequence[float]) -> tuple[float, float]:
    """Interval of the change over the values by a straight line, low and high."""
    from scipy.stats import linregress, t

    line: Any = linregress(range(len(values)), values)
    margin = t.ppf((1 + CONFIDENCE) / 2, len(values) - 2) * line.stderr
    return len(values) * (line.slope - margin), len(values) * (line.slope + margin)
