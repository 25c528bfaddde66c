"""Arrays inside an npz file, as MedMNIST stores its images."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from tassl.data.readers.base import Picture

ENDINGS = (".npz",)


def read(file: Path, item: int = -1, *, array: str = "", is_mask: bool = False) -> Picture:
    """Read one image of an array: (h, w), (h, w, 3) or (d, h, w)."""
    pixels = _load(str(file), array, file.stat().st_mtime_ns)[item]
    if pixels.ndim == 3 and pixels.shape[-1] in (3, 4) and not is_mask:
        return Picture(np.moveaxis(pixels[..., :3], -1, 0))
    return Picture(pixels[None])


@lru_cache(maxsize=4)
def _load(file: str, array: str, changed: int) -> np.ndarray:
    """Read once for all its images, and anew when the file has changed."""
    with np.load(file, allow_pickle=False) as archive:
        return archive[array]
