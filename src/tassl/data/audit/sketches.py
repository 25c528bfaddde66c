"""What the checks see of every image: a grey thumbnail and a few numbers, read in one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tassl.data.store import Store

SIDES = {2: 24, 3: 12}
READ_AT_ONCE = 2**22  # pixels: some 16 MB
MOST_PIXELS = 4096  # per image, evenly spaced: enough for percentiles
PERCENTILES = (1, *range(10, 100, 10), 99)
LEVELS = [*(f"p{share}" for share in PERCENTILES), "contrast", "detail", "full"]


@dataclass(frozen=True)
class Sketches:
    """Row k is row k of the store.

    Args:
        thumbs: (image, *side) float32, the mean of all channels.
        levels: Of the prepared image, columns p1, p10 ... p90, p99 (percentiles), contrast
            (standard deviation), detail (mean step between neighbouring pixels, in standard
            deviations: high for noise, low for blur) and full (share of pixels at the maximum).
    """

    thumbs: np.ndarray
    levels: pd.DataFrame


def sketch_images(store: Store) -> Sketches:
    """Read every image of a store once, a few at a time."""
    count = len(store.table)
    matrices = [area_matrix(size, SIDES[store.dims]) for size in store.grid.shape]
    thumbs = np.empty((count, *[SIDES[store.dims]] * store.dims), np.float32)
    levels = np.empty((count, len(LEVELS)))
    step = max(1, READ_AT_ONCE // (store.channels * int(np.prod(store.grid.shape))))
    for start in range(0, count, step):
        rows = slice(start, start + step)
        images = store.images[rows].astype(np.float32)
        thumbs[rows] = shrink(images.mean(1), matrices)
        levels[rows] = _measure(images)
    return Sketches(thumbs, pd.DataFrame(levels, columns=pd.Index(LEVELS)))


def area_matrix(size: int, side: int) -> np.ndarray:
    """Weights (side, size) that average `size` pixels into `side` bins of equal width."""
    edges, pixels = np.linspace(0, size, side + 1)[:, None], np.arange(size)
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    weights = overlap.clip(0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def shrink(images: np.ndarray, matrices: list[np.ndarray]) -> np.ndarray:
    """Average images (image, *space) into bins, one matrix per axis of space."""
    for axis, matrix in enumerate(matrices, start=1):
        images = np.moveaxis(np.tensordot(images, matrix, (axis, 1)), -1, axis)
    return images


def _measure(images: np.ndarray) -> np.ndarray:
    """Levels of images (image, channel, *space)."""
    flat = images.reshape(len(images), -1)
    sampled = flat[:, :: max(1, flat.shape[1] // MOST_PIXELS)]
    contrast = flat.std(1)
    steps = np.abs(np.diff(images, axis=-1)).reshape(len(images), -1).mean(1)
    detail = steps / np.maximum(contrast, 1e-6)
    full = (flat >= flat.max(1, keepdims=True)).mean(1)
    return np.column_stack([*np.percentile(sampled, PERCENTILES, axis=1), contrast, detail, full])
