"""TIFF, through tifffile; what is packed in ways it cannot undo alone, through Pillow."""

from __future__ import annotations

import logging
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from tassl.data.readers.base import Picture, check_held, check_size, drop_alpha
from tassl.data.readers.photo import decode, open_photo
from tassl.errors import UnreadableFile

CHANNELS, SPACE = "CS", "ZYX"  # letters that tifffile gives to axes; all others count frames
DIRECT = ("MINISBLACK", "MINISWHITE", "RGB", "PALETTE")
PACKING = 4096  # a blank page packed with LZW comes to about 1,300
MM = {
    "mm": 1.0, "millimeter": 1.0, "cm": 10.0, "centimeter": 10.0, "m": 1000.0, "inch": 25.4,
    "um": 1e-3, "µm": 1e-3, "\u03bcm": 1e-3, r"\u00B5m": 1e-3, "micron": 1e-3, "microns": 1e-3,
    "nm": 1e-6,
}  # fmt: skip


def read(file: Path, item: int = -1, *, is_mask: bool = False) -> Picture:
    """Read a picture, a page or frame of several, or a stack along Z as a volume (z, row, column).

    The spacing is that of ImageJ or OME where they name its unit; the dots per inch of other
    files are mostly a printer's and say nothing.

    Args:
        file: The picture.
        item: Page or frame; -1 reads the first.
        is_mask: Give the numbers of a palette, not its colours, and leave white-is-zero as it is.
    """
    with _open(file) as tiff:
        series = _series(tiff)
        page, frames = series.keyframe, _frames(series)
        if item >= len(frames):
            raise UnreadableFile(f"has no page {item}: it holds {len(frames)}")
        pages = frames[max(item, 0)]
        _check(file, page, len(pages))
        axes = [axis for axis in _leading(series) if axis in CHANNELS + SPACE] + list(page.axes)
        sides = dict(zip(series.axes, series.shape, strict=True))
        space = [axis for axis in SPACE if axis in axes]
        pixels = _load(tiff, series, pages)
        if pixels is None:
            pixels = np.stack([_load_with_pillow(file, int(k), is_mask) for k in pages], axis=1)
            pixels = pixels.reshape(-1, *(sides[axis] for axis in space))
        else:
            pixels = pixels.reshape([sides[axis] for axis in axes])
            pixels = _put_channels_first(pixels, axes, space)
            pixels = _to_colours(pixels, page, is_mask=is_mask)
        return Picture(pixels, _spacing(tiff, page, space))


def shape(file: Path) -> tuple[int, ...]:
    """Shape of the space of the picture or volume, as `read` gives it."""
    with _open(file) as tiff:
        series = _series(tiff)
        sides = dict(zip(series.axes, series.shape, strict=True))
        return tuple(sides[axis] for axis in SPACE if axis in sides)


def count(file: Path) -> int:
    """Pages or frames; planes along Z and channels belong to one."""
    with _open(file) as tiff:
        return len(_frames(_series(tiff)))


def _open(file: Path) -> Any:
    from tifffile import TiffFile

    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else it warns on the terminal
    return TiffFile(file, _multifile=False)  # an OME header may name files anywhere


def _series(tiff: Any) -> Any:
    """Pages of one shape that belong together; further ones are thumbnails and labels of slides."""
    series = tiff.series[0]
    if not {"Y", "X"} <= set(series.axes) or series.keyframe is None:
        raise UnreadableFile(f"has axes {series.axes}; wanted rows and columns")
    return series


def _leading(series: Any) -> str:
    """Axes that run over pages."""
    return series.axes[: len(series.axes) - len(series.keyframe.axes)]


def _frames(series: Any) -> np.ndarray:
    """Numbers of the pages that make up each frame: (frame, page)."""
    leading = _leading(series)
    sides = series.shape[: len(leading)]
    over = [k for k, axis in enumerate(leading) if axis not in CHANNELS + SPACE]
    frames = math.prod(sides[k] for k in over)
    check_size(8 * math.prod(sides))
    numbers = np.arange(math.prod(sides)).reshape(sides)
    return np.moveaxis(numbers, over, range(len(over))).reshape(frames, -1)


def _check(file: Path, page: Any, pages: int) -> None:
    wanted = math.prod(page.shape) * page.dtype.itemsize * pages
    check_size(wanted)
    packed = page.compression != 1 or page.bitspersample < 8
    check_held(wanted, file.stat().st_size, PACKING if packed else 1)


def _load(tiff: Any, series: Any, pages: np.ndarray) -> np.ndarray | None:
    """Pixels (page, *page.shape), or None where tifffile alone cannot unpack or explain them."""
    if series.keyframe.photometric.name not in DIRECT:
        return None
    if len(series.pages) <= pages.max():  # ImageJ describes only the first page of large stacks
        whole = tiff.asarray(series=0, out="memmap")
        return whole.reshape(-1, *series.keyframe.shape)[pages]
    try:
        return tiff.asarray(series=0, key=pages.tolist())
    except ValueError as error:
        if "imagecodecs" in str(error):
            return None
        raise


def _load_with_pillow(file: Path, page: int, is_mask: bool) -> np.ndarray:
    with open_photo(file, ("TIFF",)) as photo:
        photo.seek(page)
        return decode(photo, is_mask=is_mask)


def _put_channels_first(pixels: np.ndarray, axes: list[str], space: list[str]) -> np.ndarray:
    order = [k for k, axis in enumerate(axes) if axis in CHANNELS]
    order += [axes.index(axis) for axis in space]
    pixels = pixels.transpose(order)
    return pixels.reshape(-1, *pixels.shape[len(order) - len(space) :])


def _to_colours(pixels: np.ndarray, page: Any, *, is_mask: bool) -> np.ndarray:
    kind = page.photometric.name
    if kind == "PALETTE" and not is_mask:
        return (page.colormap >> 8).astype(np.uint8)[:, pixels[0]]
    if pixels.dtype.kind == "b" and not is_mask:
        pixels = pixels * np.uint8(255)
    if kind == "MINISWHITE" and not is_mask:
        return ~pixels if pixels.dtype.kind == "u" else -pixels
    if len(pixels) == {"RGB": 4, "MINISBLACK": 2}.get(kind) and page.extrasamples:
        return drop_alpha(pixels)
    return pixels


def _spacing(tiff: Any, page: Any, space: list[str]) -> tuple[float, ...] | None:
    sizes = _ome_sizes(tiff.ome_metadata) if tiff.is_ome else _imagej_sizes(tiff, page)
    return tuple(sizes[axis] for axis in space) if set(space) <= set(sizes) else None


def _ome_sizes(text: str) -> dict[str, float]:
    """Voxel size in mm by axis; OME leaves out the unit where it is micrometres."""
    units = dict(re.findall(r'\bPhysicalSize([XYZ])Unit="([^"]*)"', text))
    sizes = re.findall(r'\bPhysicalSize([XYZ])="([^"]*)"', text)
    return {
        axis: float(size) * MM[unit]
        for axis, size in sizes
        if (unit := units.get(axis, "µm")) in MM
    }


def _imagej_sizes(tiff: Any, page: Any) -> dict[str, float]:
    facts = tiff.imagej_metadata or {}
    unit = MM.get(str(facts.get("unit", "")))
    if unit is None:
        return {}
    sizes = {"Z": float(facts["spacing"]) * unit} if "spacing" in facts else {}
    for axis in "XY":
        tag = page.tags.get(f"{axis}Resolution")
        if tag is not None and tag.value[0]:
            sizes[axis] = tag.value[1] / tag.value[0] * unit
    return sizes
