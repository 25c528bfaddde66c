"""Scores of predicted regions, which may overlap, one at a time: the columns of segmentation.

A region that the reference does not show has no such score, as a class has none there; but what is
predicted of it is a false alarm even where other regions are shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tassl.data.regions import split_codes
from tassl.evaluation.columns import mean_known
from tassl.evaluation.segmentation import FALSE_ALARM, NAMES, dice_of_masks, measure_masks


def dice_of_regions(predicted: np.ndarray, truth: np.ndarray, count: int) -> np.ndarray:
    """Dice of every region of one image.

    Args:
        predicted: Codes of `tassl.data.regions`, (*space).
        truth: Codes, (*space).
        count: Number of regions.

    Returns:
        (region,): NaN for a region absent from the reference. Where the whole reference is empty,
        1 for regions that are not predicted and 0 for those that are.
    """
    found, given = split_codes(predicted, count), split_codes(truth, count)
    scores = [dice_of_masks(*pair, 2)[0] for pair in zip(found, given, strict=True)]
    shown = given.reshape(count, -1).any(1)
    return np.where(shown | ~shown.any(), scores, np.nan)


def measure_regions(
    predicted: np.ndarray,
    truth: np.ndarray,
    count: int,
    spacing: Sequence[float],
    tolerance: float,
) -> dict[str, float]:
    """The scores of one image beside Dice.

    Args:
        predicted: Codes of `tassl.data.regions`, (*space).
        truth: Codes, (*space).
        count: Number of regions.
        spacing: As for `measure_masks`.
        tolerance: As for `measure_masks`.

    Returns:
        What `measure_masks` says of each region, by its number from 1; the false alarm is the share
        of the absent regions that are predicted, NaN where none is absent.
    """
    pairs = zip(split_codes(predicted, count), split_codes(truth, count), strict=True)
    single = [measure_masks(*pair, 2, spacing, tolerance) for pair in pairs]
    scores = {
        f"{name}_{number}": own[f"{name}_1"]
        for number, own in enumerate(single, 1)
        for name in NAMES
    }
    return scores | {FALSE_ALARM: float(mean_known(np.array([own[FALSE_ALARM] for own in single])))}
