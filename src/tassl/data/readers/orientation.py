"""One axis convention for every format that knows where an image lies in the patient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tassl.data.readers.base import Picture


def to_canonical(
    pixels: np.ndarray, spacing: Sequence[float] | None, affine: np.ndarray
) -> Picture:
    """Turn a volume so that its axes run left to right, back to front and foot to head.

    Axes are permuted and reversed, never resampled. A volume of a single slice becomes a picture
    (row, column) as it is looked at: rows go down to the back or to the feet, columns to the
    patient's left or, seen from the side, to the back.

    Args:
        pixels: (i, j, k, channel).
        spacing: Size of a voxel along i, j and k.
        affine: From (i, j, k, 1) to mm right, front and up, (4, 4).
    """
    turns = _find_turns(affine)
    notes = () if turns is not None else ("its orientation is unknown: axes are left as they lie",)
    axes, signs = turns if turns is not None else ((0, 1, 2), (1, 1, 1))
    reverse = tuple(axis for axis in range(3) if signs[axis] < 0)
    pixels = np.moveaxis(np.flip(pixels, reverse).transpose(*axes, 3), -1, 0)
    spacing = [spacing[axis] for axis in axes] if spacing is not None else None
    if pixels.shape[1:].count(1) == 1:
        across = pixels.shape[1:].index(1)
        pixels = np.flip(pixels.squeeze(across + 1), (1, 2)).swapaxes(1, 2)
        spacing = [s for axis, s in enumerate(spacing) if axis != across][::-1] if spacing else None
    return Picture(pixels, tuple(spacing) if spacing else None, notes=notes)


def canonical_shape(shape: Sequence[int], affine: np.ndarray) -> tuple[int, ...]:
    """Shape that `to_canonical` gives to the space of a volume of this shape (i, j, k)."""
    hollow = np.broadcast_to(np.uint8(0), (*shape, 1))
    return to_canonical(hollow, None, affine).pixels.shape[1:]


def _find_turns(affine: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Axis of the file for each canonical axis, and the sign of each axis of the file."""
    from nibabel.orientations import io_orientation

    if not np.isfinite(affine).all():
        return None
    found = io_orientation(affine)
    if not np.isfinite(found).all():
        return None
    return tuple(int(axis) for axis in np.argsort(found[:, 0])), tuple(
        int(sign) for sign in found[:, 1]
    )
