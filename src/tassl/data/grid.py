"""The common grid that every image of a study is brought to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from tassl.data.readers import Picture

Spacing = tuple[float, ...] | None
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
    spacing: Spacing


def choose_grid(
    shapes: Sequence[tuple[int, ...]],
    spacings: Sequence[Spacing],
    longest: int,
    *,
    to_scale: bool = False,
) -> Grid:
    """Choose the smallest grid that holds every image, at most `longest` pixels a side.

    Images keep their aspect ratio. Where all voxel sizes are known the median one is kept,
    coarsened only as far as the limit asks. Pictures whose fields of view differ widely are scaled
    each on its own all the same: on one scale most of them would be specks. `to_scale` keeps even
    those on one scale, for tasks that need the size in mm.
    """
    sizes = np.array(shapes, dtype=float)
    known = [spacing for spacing in spacings if spacing is not None]
    alone = len(known) < len(shapes)
    if not alone and not to_scale and sizes.shape[1] == 2:
        alone = _differ(sizes * np.array(known))
    if alone:
        limit = min(longest, int(sizes.max()))
        scaled = sizes * (limit / sizes.max(1))[:, None]
        return Grid(tuple(max(1, int(n)) for n in np.round(scaled.max(0))), None)
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
    sizes = _scaled_sizes(picture.pixels.shape[1:], picture.spacing, grid)
    channels = [_resample(channel, sizes, is_mask) for channel in picture.pixels]
    outside = 0 if is_mask else min(channel.min() for channel in channels)
    return np.stack([_centre(channel, grid.shape, outside) for channel in channels])


def fit_points(
    points: np.ndarray, space: tuple[int, ...], spacing: Spacing, grid: Grid
) -> np.ndarray:
    """Move positions in an image to where `fit_to_grid` puts what lies there.

    Args:
        points: (point, axis) in pixels, counted from the outer edge of the first one: its centre
            is 0.5.
        space: Shape of the image.
        spacing: Its voxel size in mm.
        grid: Where the image is put.

    Returns:
        (point, axis) in pixels of the grid, outside of it where the image is cut.
    """
    sizes = np.array(_scaled_sizes(space, spacing, grid))
    spare = np.array(grid.shape) - sizes
    starts = np.where(spare < 0, -(-spare // 2), spare // 2)
    return points * (sizes / np.array(space)) + starts


def fit_boxes(
    boxes: Sequence[float], space: tuple[int, ...], spacing: Spacing, grid: Grid
) -> tuple[float, ...]:
    """Move boxes, cut them at the edge of the grid and drop what lies outside.

    Args:
        boxes: (class, low corner..., high corner...) one after another.
        space: Shape of the image.
        spacing: Its voxel size in mm.
        grid: Where the image is put.

    Returns:
        The same in pixels of the grid.
    """
    dims = len(space)
    table = np.array(boxes, dtype=float).reshape(-1, 1 + 2 * dims)
    corners = fit_points(table[:, 1:].reshape(-1, dims), space, spacing, grid)
    corners = corners.clip(0, grid.shape).reshape(len(table), 2, dims)
    inside = (corners[:, 1] > corners[:, 0]).all(1)
    moved = np.column_stack([table[:, 0], corners.reshape(len(table), 2 * dims)])[inside]
    return tuple(moved.ravel().tolist())


def _differ(extents: np.ndarray) -> bool:
    """Whether the largest of fields of view (image, axis) in mm is far above the usual one."""
    return bool((extents.max(0) > WIDEST * np.median(extents, axis=0)).any())


def _scaled_sizes(space: tuple[int, ...], spacing: Spacing, grid: Grid) -> tuple[int, ...]:
    """Pixels along each axis once an image has the grid's voxel size, before it is centred."""
    if grid.spacing and spacing:
        zoom = [own / target for own, target in zip(spacing, grid.spacing, strict=True)]
    else:
        zoom = [min(g / n for g, n in zip(grid.shape, space, strict=True))] * len(space)
    if np.allclose(zoom, 1.0, atol=1e-3):
        return space
    return tuple(max(1, round(n * z)) for n, z in zip(space, zoom, strict=True))


def _resample(channel: np.ndarray, sizes: tuple[int, ...], is_mask: bool) -> np.ndarray:
    if channel.shape == sizes:
        return channel
    zoom = [size / n for size, n in zip(sizes, channel.shape, strict=True)]
    if not is_mask:
        blur = [max(0.0, (1 / z - 1) / 2) for z in zoom]
        channel = ndimage.gaussian_filter(channel.astype(np.float32), blur)
    resampled = ndimage.zoom(channel, zoom, order=int(not is_mask), grid_mode=True, mode="nearest")
    return np.asarray(resampled)


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
