"""Parallel slices, wherever they lie, to one volume on an even, rectangular grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tassl.data.readers.base import Picture
from tassl.errors import UnreadableFile

SAME_PLACE = 0.01  # mm
PARALLEL = 1e-3  # largest difference of a direction cosine
UNEVEN = 0.05  # of the slice distance
SHEARED = 0.5  # of a pixel
MOST_GROWTH = 2  # times the slices that went in


def stack_slices(
    slices: Sequence[np.ndarray],
    positions: np.ndarray,
    orientation: np.ndarray,
    spacing: Sequence[float],
) -> Picture:
    """Sort slices along their normal, undo gantry tilt and make their distances even.

    Every slice is shifted within its plane to where it truly lies, then the stack is interpolated
    along the normal; both linearly. What already lies on the grid keeps its values.

    Args:
        slices: Each (channel, row, column), in any order; of those at one place the first is kept.
        positions: Centre of each slice's first pixel in mm, (slice, 3), DICOM axes (LPS).
        orientation: Direction of a row, then of a column, six cosines.
        spacing: mm between rows, then between columns.

    Returns:
        The volume, (channel, left to right, back to front, foot to head).

    Raises:
        UnreadableFile: The slices do not make up a volume.
    """
    axes = find_axes(orientation)
    places = positions @ axes.T  # mm down, across, along the normal
    kept = pick_slices(places[:, 2])
    dropped = len(slices) - len(kept)
    notes = [f"{dropped} slices at a place already taken were left out"] if dropped else []
    volume, places = np.stack([slices[k] for k in kept], axis=1), places[kept]

    shifts = (places[:, :2] - places[:, :2].min(axis=0)) / spacing
    if shifts.max() > SHEARED:
        volume = _shift_slices(volume, shifts)
        lean, rise = np.linalg.norm(places[-1, :2] - places[0, :2]), np.ptp(places[:, 2])
        angle = np.degrees(np.arctan2(lean, rise))
        notes.append(f"tilt of {angle:.1f} degrees undone: slices moved by up to {lean:.1f} mm")

    gaps = np.diff(places[:, 2])
    even = np.linspace(places[0, 2], places[-1, 2], round(gaps.sum() / np.median(gaps)) + 1)
    step = float(even[1] - even[0])
    if len(even) > MOST_GROWTH * len(kept):
        raise UnreadableFile(
            f"has slices up to {gaps.max():.1f} mm apart where {np.median(gaps):.2f} mm is usual"
        )
    if len(even) != len(kept) or np.abs(even - places[:, 2]).max() > UNEVEN * step:
        volume = _interpolate(volume, places[:, 2], even)
        notes.append(
            f"slices {gaps.min():.2f} to {gaps.max():.2f} mm apart resampled to {step:.2f} mm"
        )
    return _orient(volume, axes, (*spacing, step), tuple(notes))


def find_axes(orientation: np.ndarray) -> np.ndarray:
    """Unit vectors down a column, along a row and along the normal, (3, 3).

    Raises:
        UnreadableFile: The two directions are not perpendicular unit vectors.
    """
    across, down = np.asarray(orientation, float).reshape(2, 3)
    lengths = np.array([across @ across, down @ down, 1 + across @ down])
    if not np.allclose(lengths, 1, atol=0.01):
        raise UnreadableFile("gives rows and columns that are not perpendicular")
    return np.stack([down, across, np.cross(across, down)])


def pick_slices(depths: np.ndarray) -> np.ndarray:
    """Order of the slices along the normal, one for each place.

    Raises:
        UnreadableFile: All lie at one place, or a place is not a number.
    """
    order = np.argsort(depths, kind="stable")
    kept = order[np.diff(depths[order], prepend=-np.inf) > SAME_PLACE]
    if len(kept) < 2 or not np.isfinite(depths).all():
        raise UnreadableFile(f"has {len(depths)} slices at {len(kept)} place; wanted two or more")
    return kept


def _shift_slices(volume: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Move each slice by its pixels (row, column) on a canvas that holds them all."""
    from scipy.ndimage import shift

    growth = np.ceil(shifts.max(axis=0)).astype(int)
    if (growth > volume.shape[2:]).any():
        raise UnreadableFile("has slices that lie far beside one another")
    wide = np.pad(
        volume.astype(np.float32, copy=False),
        ((0, 0), (0, 0), *((0, int(n)) for n in growth)),
        constant_values=volume.min(),
    )
    for moved in wide:
        for k, by in enumerate(shifts):
            moved[k] = shift(moved[k], by, order=1, cval=float(volume.min()))
    return wide


def _interpolate(volume: np.ndarray, places: np.ndarray, even: np.ndarray) -> np.ndarray:
    """Interpolate linearly along the slices."""
    above = np.clip(np.searchsorted(places, even), 1, len(places) - 1)
    weight = (even - places[above - 1]) / (places[above] - places[above - 1])
    weight = weight.astype(np.float32)[:, None, None]
    return volume[:, above - 1] * (1 - weight) + volume[:, above] * weight


def _orient(
    volume: np.ndarray, axes: np.ndarray, spacing: Sequence[float], notes: tuple[str, ...]
) -> Picture:
    """Turn (channel, slice, row, column) to the nearest patient axes, RAS."""
    from nibabel.orientations import apply_orientation, io_orientation

    lps_to_ras = np.diag([-1.0, -1.0, 1.0])
    affine = np.eye(4)
    affine[:3, :3] = lps_to_ras @ axes.T * np.asarray(spacing)
    turn = io_orientation(affine)
    turned = [apply_orientation(channel, turn) for channel in np.moveaxis(volume, 1, -1)]
    sizes = {int(turn[axis, 0]): float(spacing[axis]) for axis in range(3)}
    return Picture(np.stack(turned), tuple(sizes[axis] for axis in range(3)), notes=notes)
