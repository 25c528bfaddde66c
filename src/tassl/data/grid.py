"""The common grid that every image of a study is brought to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from tassl.data.readers import Picture

WIDEST = 1.5  # times the median field of view


@dataclass(frozen=True)
class Grid:
    """Shape of every stored image, and its voxel size.

    Args:
        shape: Pixels along each axis of space.
        spacing: Voxel size in mm, None where the files do not say: then each image is scaled
            on its own so that it fits.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...] | None


def choose_grid(
    shapes: Sequence[tuple[int, ...]],
    spacings: Sequence[tuple[float, ...] | None],
    longest: int,
) -> Grid:
    """Choose the smallest grid that holds every image, at most `longest` pixels a side.

    Images keep their aspect ratio. Where all voxel sizes are known the median one is kept,
    coarsened only as far as the limit asks. Pictures whose fields of view differ widely are scaled
    each on its own all the same: on one scale most of them would be specks.
    """
    sizes = np.array(shapes, dtype=float)
    known = [spacing for spacing in spacings if spacing is not None]
    if len(known) < len(shapes) or (sizes.shape[1] == 2 and _differ(sizes * np.array(known))):
        limit = min(longest, int(sizes.max()))
        scaled = sizes * np.array([_own_scale(shape, limit) for shape in shapes])[:, None]
        return Grid(tuple(int(n) for n in np.round(scaled.max(0))), None)
    target = np.median(np.array(known), axis=0)
    extent = (sizes * np.array(known) / target).max(0)
    coarser = max(1.0, float(extent.max()) / longest)
    shape = tuple(int(n) for n in np.ceil(np.round(extent / coarser, 3)))
    return Grid(shape, tuple(float(s) for s in np.round(target * coarser, 4)))


def fit_to_grid(picture: Picture, grid: Grid, *, is_mask: bool = False) -> np.ndarray:
    """Resample one image to the grid's voxel size and centre it there.

    Args:
        picture: Pixels (channel, *space).
        grid: Where to put them.
        is_mask: Nearest neighbour and zero outside, rather than linear and the image's minimum.

    Returns:
        Array (channel, *grid.shape).
    """
    space = picture.pixels.shape[1:]
    if grid.spacing and picture.spacing:
        zoom = [own / target for own, target in zip(picture.spacing, grid.spacing, strict=True)]
    else:
        zoom = [min(g / n for g, n in zip(grid.shape, space, strict=True))] * len(space)
    channels = [_resample(channel, zoom, is_mask) for channel in picture.pixels]
    outside = 0 if is_mask else min(channel.min() for channel in channels)
    return np.stack([_centre(channel, grid.shape, outside) for channel in channels])


def _differ(extents: np.ndarray) -> bool:
    """Whether the largest of fields of view (image, axis) in mm is far above the usual one."""
    return bool((extents.max(0) > WIDEST * np.median(extents, axis=0)).any())


def _own_scale(shape: tuple[int, ...], limit: int) -> float:
    return limit / max(shape)


def _resample(channel: np.ndarray, zoom: Sequence[float], is_mask: bool) -> Any:
    if np.allclose(zoom, 1.0, atol=1e-3):
        return channel
    if is_mask:
        return ndimage.zoom(channel, zoom, order=0, grid_mode=True, mode="nearest")
    blur = [max(0.0, (1 / z - 1) / 2) for z in zoom]
    smooth = ndimage.gaussian_filter(channel.astype(np.float32), blur)
    return ndimage.zoom(smooth, zoom, order=1, grid_mode=True, mode="nearest")


def _centre(channel: np.ndarray, shape: tuple[int, ...], outside: float) -> np.ndarray:
    """Cut or pad evenly on both sides of each axis."""
    for axis, size in enumerate(shape):
        spare = channel.shape[axis] - size
        if spare > 0:
            start = spare // 2
            channel = np.take(channel, range(start, start + size), axis)
    margins = [
        ((s - n) // 2, s - n - (s - n) // 2) for s, n in zip(shape, channel.shape, strict=True)
    ]
    return np.pad(channel, margins, constant_values=outside)
