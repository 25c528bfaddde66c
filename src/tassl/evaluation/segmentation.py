"""Scores of predicted masks, class by class: columns such as `dice_1`, `nsd_1`, `hd95_1`.

A class that the reference does not show has no such score (NaN): the image leaves it out, and an
image without any leaves the mean. What is predicted there is counted apart. A class that the
reference shows and the prediction misses scores worst: 0, or the diagonal of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.spatial import KDTree

from tassl.evaluation.columns import columns_of, mean_known

NAMES = ("nsd", "hd95", "volume_error", "lesion_f1")
FALSE_ALARM = "false_alarm"
ROUNDING = 1e-6  # two voxels of 0.8 mm are 1.6 mm


def dice_per_image(table: pd.DataFrame) -> np.ndarray:
    """Mean Dice over the foreground classes present in the reference, (row,).

    An image whose reference is empty scores 1 if nothing is predicted, else 0.
    """
    return mean_known(columns_of(table, "dice_"))


def score_per_image(name: str) -> Callable[[pd.DataFrame], np.ndarray]:
    """Mean over the classes of one of `NAMES`, (row,); NaN where the reference is empty."""
    return lambda table: mean_known(columns_of(table, f"{name}_"))


def false_alarm(table: pd.DataFrame) -> np.ndarray:
    """Whether anything is predicted where the reference is empty, NaN where it is not, (row,)."""
    return table[FALSE_ALARM].to_numpy(dtype=float)


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


def measure_masks(
    predicted: np.ndarray,
    truth: np.ndarray,
    classes: int,
    spacing: Sequence[float],
    tolerance: float,
) -> dict[str, float]:
    """The scores of one image beside Dice.

    Args:
        predicted: Class numbers, (*space).
        truth: Class numbers, (*space).
        classes: Number of classes, background included.
        spacing: Voxel size in mm; ones where the files give none, and lengths are in pixels.
        tolerance: Distance up to which a boundary counts as right, in the unit of `spacing`.

    Returns:
        A value for each of `NAMES` with the number of each class, and `FALSE_ALARM`.
    """
    scores = {FALSE_ALARM: np.nan if truth.any() else float(predicted.any())}
    diagonal = float(np.linalg.norm(np.multiply(truth.shape, spacing)))
    for c in range(1, classes):
        own = _measure_class(predicted == c, truth == c, spacing, tolerance, diagonal)
        scores |= {f"{name}_{c}": value for name, value in zip(NAMES, own, strict=True)}
    return scores


def _measure_class(
    predicted: np.ndarray,
    truth: np.ndarray,
    spacing: Sequence[float],
    tolerance: float,
    diagonal: float,
) -> tuple[float, float, float, float]:
    given, found = int(truth.sum()), int(predicted.sum())
    if not given:
        return np.nan, np.nan, np.nan, np.nan
    if not found:
        return 0.0, diagonal, 1.0, 0.0
    box = ndimage.find_objects((predicted | truth).astype(np.uint8))[0]
    predicted, truth = predicted[box], truth[box]
    there, back = measure_distances(predicted, truth, spacing)
    reach = tolerance + ROUNDING
    near = (there <= reach).sum() + (back <= reach).sum()
    furthest = max(np.quantile(there, 0.95), np.quantile(back, 0.95))
    return (
        float(near / (len(there) + len(back))),
        float(furthest),
        abs(found - given) / given,
        lesion_f1(predicted, truth),
    )


def measure_distances(
    predicted: np.ndarray, truth: np.ndarray, spacing: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Distance of every boundary voxel of one mask to the nearest of the other, both ways.

    Args:
        predicted: Booleans, (*space), some of them true.
        truth: The same.
        spacing: Voxel size in mm; distances have its unit.

    Returns:
        From the predicted to the true boundary, (voxel,), and back.
    """
    one, other = (
        np.argwhere(mask ^ ndimage.binary_erosion(mask)) * np.asarray(spacing)
        for mask in (predicted, truth)
    )
    return KDTree(other).query(one)[0], KDTree(one).query(other)[0]


def lesion_f1(predicted: np.ndarray, truth: np.ndarray) -> float:
    """F1 over connected parts (corners joined) of masks (*space); what is touched is found."""
    if not truth.any() or not predicted.any():
        return np.nan if not truth.any() else 0.0
    recall, precision = _share_touched(truth, predicted), _share_touched(predicted, truth)
    return 2 * recall * precision / (recall + precision) if recall else 0.0


def _share_touched(mask: np.ndarray, other: np.ndarray) -> float:
    """Share of the parts of a mask that the other touches."""
    parts, count = ndimage.label(mask, np.ones((3,) * mask.ndim))  # type: ignore[misc]
    return len(np.unique(parts[mask & other])) / count
