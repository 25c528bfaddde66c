"""NIfTI, through nibabel."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from tassl.data.readers.base import Picture

ENDINGS = (".nii", ".nii.gz")


def read(file: Path, item: int = -1, *, is_mask: bool = False) -> Picture:
    """Read a volume, its axes left to right, back to front, foot to head; a fourth is channels."""
    image = nibabel.as_closest_canonical(nibabel.load(file))  # type: ignore[attr-defined]
    pixels = np.asarray(image.dataobj)  # type: ignore[attr-defined]
    spacing = tuple(float(size) for size in image.header.get_zooms())  # type: ignore[attr-defined]
    if pixels.ndim == 4:
        return Picture(np.moveaxis(pixels, -1, 0), spacing[:3])
    return Picture(pixels[None], spacing[: pixels.ndim])
