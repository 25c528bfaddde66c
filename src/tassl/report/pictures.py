"""Images of a study as base64 PNG: windowed, cut to a slice, outlined, enlarged."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tassl.data.regions import split_codes

SIDE = 192
GAP = 6
WHITE = 255
# Light hues that stand out from grey tissue and from each other.
OUTLINES = ("#f0e442", "#56b4e9", "#ff7f50", "#7fe0a8", "#f5a6d6")


@dataclass(frozen=True)
class Picture:
    """An image of the page.

    Args:
        source: A data URI.
        alt: What it shows, in words.
    """

    source: str
    alt: str


@dataclass(frozen=True)
class Plane:
    """How images are laid flat.

    Args:
        dims: Spatial dimensions of the images.
        spacing: Voxel size in mm; known for files whose axes are those of the body.
    """

    dims: int
    spacing: tuple[float, ...] | None = None

    @property
    def axis(self) -> int:
        """Axis of space that slices are counted along: foot to head where axes are known."""
        return 2 if self.spacing else 0

    @property
    def name(self) -> str:
        """What a cut volume is called in captions."""
        return "axial slice" if self.spacing else "slice"

    def cut(self, image: np.ndarray, at: int | None = None) -> np.ndarray:
        """Flatten (*space) to (row, column); volumes by slice number, the middle one by default.

        Axial slices are shown as radiologists hang them: front on top, the patient's right on
        the left.
        """
        if self.dims == 3:
            middle = image.shape[self.axis] // 2
            image = np.take(image, middle if at is None else at, axis=self.axis)
        return image.T[::-1, ::-1] if self.spacing else image

    def enlarge(self, flat: np.ndarray) -> np.ndarray:
        """Repeat pixels so that the longer side is about `SIDE` and lengths are true."""
        height, width = flat.shape[:2]
        across, down = self.spacing[:2] if self.spacing else (1.0, 1.0)
        scale = SIDE / max(height * down, width * across)
        rows = np.minimum(np.arange(round(height * down * scale)) / (down * scale), height - 1)
        columns = np.minimum(np.arange(round(width * across * scale)) / (across * scale), width - 1)
        return flat[np.ix_(rows.astype(int), columns.astype(int))]


def fullest_slice(mask: np.ndarray, plane: Plane) -> int | None:
    """Number of the slice with most foreground; None where there is none, or in 2D."""
    if plane.dims == 2 or not mask.any():
        return None
    others = tuple(axis for axis in range(3) if axis != plane.axis)
    return int((mask > 0).sum(axis=others).argmax())


def grey_range(image: np.ndarray) -> tuple[float, float]:
    """Values that are shown black and white: robust ends of the image's range."""
    low, high = np.percentile(image, (0.5, 99.5))
    return float(low), float(max(high, low + 1e-6))


def to_bytes(image: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Image (channel, *space) to bytes (*space) in grey, or (*space, 3) in colour."""
    low, high = window
    scaled = (np.clip((image.astype(np.float32) - low) / (high - low), 0, 1) * WHITE).round()
    channels = np.nan_to_num(scaled).astype(np.uint8)
    return np.moveaxis(channels, 0, -1) if len(channels) == 3 else channels[0]


def show(
    image: np.ndarray,
    plane: Plane,
    alt: str,
    at: int | None = None,
    window: tuple[float, float] | None = None,
) -> Picture:
    """Picture of one image (channel, *space), in a window of its own unless one is given."""
    window = window or grey_range(image)
    return Picture(encode(plane.enlarge(_flatten(image, plane, window, at))), alt)


def show_outlined(
    image: np.ndarray, mask: np.ndarray, plane: Plane, alt: str, at: int | None
) -> Picture:
    """Picture of one image with the border of every class of a mask (*space)."""
    drawn = _outline(_colour(image, plane, at), plane.enlarge(plane.cut(mask, at)))
    return Picture(encode(drawn), alt)


def show_regions(
    image: np.ndarray, codes: np.ndarray, count: int, plane: Plane, alt: str, at: int | None
) -> Picture:
    """Picture of one image with the border of every region of a mask of codes (*space)."""
    drawn = _colour(image, plane, at)
    for number, region in enumerate(split_codes(codes, count), 1):
        drawn = _outline(drawn, plane.enlarge(plane.cut(region * number, at)))
    return Picture(encode(drawn), alt)


def show_boxed(
    image: np.ndarray, boxes: np.ndarray, plane: Plane, alt: str, at: int | None
) -> Picture:
    """Picture of one image with boxes (box, class and corners), in the colours of their classes."""
    drawn = _colour(image, plane, at)
    for number, *corners in boxes.round().astype(int).tolist():
        layer = np.zeros(image.shape[1:], np.uint8)
        sides = zip(corners[: plane.dims], corners[plane.dims :], strict=True)
        layer[tuple(slice(low, max(high, low + 1)) for low, high in sides)] = 1 + number
        drawn = _outline(drawn, plane.enlarge(plane.cut(layer, at)))
    return Picture(encode(drawn), alt)


def show_row(
    images: np.ndarray, windows: Sequence[tuple[float, float]], plane: Plane, alt: str
) -> Picture:
    """One picture of several images (image, channel, *space) side by side."""
    tiles = [
        plane.enlarge(_flatten(image, plane, window, None))
        for image, window in zip(images, windows, strict=True)
    ]
    gap = np.full((len(tiles[0]), GAP, *tiles[0].shape[2:]), WHITE, np.uint8)
    pieces = [piece for tile in tiles for piece in (tile, gap)][:-1]
    return Picture(encode(np.concatenate(pieces, axis=1)), alt)


def encode(pixels: np.ndarray) -> str:
    """Bytes (row, column) or (row, column, 3) to a data URI."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def class_colour(number: int) -> str:
    """Colour of a mask class, counted from 1."""
    return OUTLINES[(number - 1) % len(OUTLINES)]


def _flatten(
    image: np.ndarray, plane: Plane, window: tuple[float, float], at: int | None
) -> np.ndarray:
    pixels = to_bytes(image, window)
    if pixels.ndim == plane.dims:
        return plane.cut(pixels, at)
    return np.stack([plane.cut(channel, at) for channel in np.moveaxis(pixels, -1, 0)], axis=-1)


def _colour(image: np.ndarray, plane: Plane, at: int | None) -> np.ndarray:
    """An image laid flat that coloured lines can be drawn into, (row, column, 3)."""
    flat = plane.enlarge(_flatten(image, plane, grey_range(image), at))
    return flat if flat.ndim == 3 else np.repeat(flat[..., None], 3, axis=2)


def _outline(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Colour the inner border of every class, two pixels wide."""
    drawn = picture.copy()
    for number in np.unique(mask[mask > 0]):
        inside = core = mask == number
        for _ in range(2):
            core = _erode(core)
        colour = class_colour(int(number))
        drawn[inside & ~core] = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    return drawn


def _erode(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    return (
        padded[1:-1, 1:-1]
        & padded[:-2, 1:-1]
        & padded[2:, 1:-1]
        & padded[1:-1, :-2]
        & padded[1:-1, 2:]
    )
