"""PNG, JPEG, BMP and simple TIFF, through Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tassl.data.readers.base import Picture

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
COLOURED = {"RGBA": "RGB", "P": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "LA": "L", "1": "L"}


def read(file: Path, item: int = -1, *, is_mask: bool = False) -> Picture:
    """Read a picture; of a label map with a palette the numbers, not the colours."""
    with Image.open(file) as photo:
        plain = COLOURED.get(photo.mode, photo.mode)
        pixels = np.asarray(photo if is_mask and photo.mode == "P" else photo.convert(plain))
    return Picture(pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0))
