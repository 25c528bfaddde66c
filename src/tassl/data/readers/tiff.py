"""TIFF, through tifffile; what is packed in ways it cannot undo alone, through Pillow."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from tassl.data.readers.base import Picture, check_held, check_size, drop_alpha
from tassl.data.readers.photo import decode, open_photo
from tassl.errors import UnreadableFile

RATIO = 4096  # a blank page packed with LZW comes to about 1,300
MM = {
    "mm": 1.0, "millimeter": 1.0, "cm": 10.0, "centimeter": 10.0, "inch": 25.4, "um": 1e-3,
    "µm": 1e-3, r"\u00B5m": 1e-3, "micron": 1e-3, "microns": 1e-3, "nm": 1e-6,
}  # fmt: skip


def read(file: Path, item: int = -1, *, is_mask: bool = False) -> Picture:
    """Read one page of a picture.

    The spacing is ImageJ's where it gives a unit; the dots per inch of other files are mostly a
    printer's and say nothing.

    Args:
        file: The picture.
        item: Page; -1 reads the first.
        is_mask: Give the numbers of a palette, not its colours.
    """
    with _open(file) as tiff:
        pages = len(tiff.pages)
        if item >= pages:
            raise UnreadableFile(f"has no page {item}: it holds {pages}")
        page = tiff.pages[max(item, 0)]
        wanted = int(np.prod(page.shape)) * page.dtype.itemsize if page.dtype else 0
        check_size(wanted)
        check_held(wanted, file.stat().st_size, RATIO)
        spacing = _spacing(tiff, page)
        plain = page.photometric.name in ("MINISBLACK", "RGB") or is_mask
        if plain and page.compression.name in ("NONE", "ADOBE_DEFLATE", "DEFLATE", "PACKBITS"):
            return Picture(_put_channels_first(page.asarray(), page.axes), spacing)
    with open_photo(file, ("TIFF",)) as photo:
        photo.seek(max(item, 0))
        return Picture(decode(photo, is_mask=is_mask), spacing)


def count(file: Path) -> int:
    """Pages."""
    with _open(file) as tiff:
        return len(tiff.pages)


def _open(file: Path) -> Any:
    import tifffile

    # It says on the terminal what it mends in damaged files.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    return tifffile.TiffFile(file)


def _put_channels_first(pixels: np.ndarray, axes: str) -> np.ndarray:
    if "S" not in axes:
        return pixels.reshape(1, *pixels.shape[-2:])
    pixels = np.moveaxis(pixels, axes.index("S"), 0)
    return drop_alpha(pixels) if len(pixels) in (2, 4) else pixels


def _spacing(tiff: Any, page: Any) -> tuple[float, ...] | None:
    """Size of a pixel in mm, (row, column)."""
    unit = MM.get((tiff.imagej_metadata or {}).get("unit", ""))
    if unit is None:
        return None
    ratios = [page.tags.get(f"{axis}Resolution") for axis in "YX"]
    if any(ratio is None or 0 in ratio.value for ratio in ratios):
        return None
    return tuple(unit * ratio.value[1] / ratio.value[0] for ratio in ratios)
