"""PNG, JPEG and other pictures, through Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tassl.data.readers.base import DEFLATE, Picture, check_held, check_size, drop_alpha

# Named, since Pillow would also run other programs on what looks like PostScript.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "WEBP")
NUMBERS = {"L", "I", "F"}  # and I;16 in its byte orders
GREY = {"1", "L", "LA", "La"}
BYTES_PER_PIXEL = 16  # four in Pillow, and the copies on the way to an array


def read(file: Path, item: int = -1, *, is_mask: bool = False) -> Picture:
    """Read a picture, upright as its EXIF says; a label map as it is stored.

    Args:
        file: The picture; of an animation its first frame.
        item: Makes no difference.
        is_mask: Give the numbers of a palette, not its colours.
    """
    with open_photo(file, FORMATS) as photo:
        if _is_deep(photo):
            return Picture(_read_deep(file))
        photo.load()
        if not is_mask:
            with suppress(Exception):  # damaged EXIF does not cost the picture
                ImageOps.exif_transpose(photo, in_place=True)
        return Picture(decode(photo, is_mask=is_mask))


@contextmanager
def open_photo(file: Path, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """Open a picture without decoding it.

    Raises:
        UnreadableFile: It has more pixels than one image may have.
    """
    with Image.open(file, formats=formats) as photo:
        check_size(photo.width * photo.height * BYTES_PER_PIXEL)
        if photo.format == "PNG":  # Pillow would fill up what is missing with black
            check_held(photo.width * photo.height // 8, file.stat().st_size, DEFLATE)
        yield photo


def decode(photo: Image.Image, *, is_mask: bool = False) -> np.ndarray:
    """Pixels (channel, row, column) of a picture: one channel or three, transparency on black."""
    if photo.mode in NUMBERS or photo.mode.startswith("I;16"):
        return np.asarray(photo)[None]
    if is_mask and photo.mode == "P":
        return np.asarray(photo)[None]
    if is_mask and photo.mode == "1":
        return np.asarray(photo.convert("L"))[None] > 0
    plain = "L" if photo.mode in GREY else "RGB"
    if not photo.has_transparency_data:
        pixels = np.asarray(photo.convert(plain))
        return pixels[None] if plain == "L" else np.moveaxis(pixels, -1, 0)
    return drop_alpha(np.moveaxis(np.asarray(photo.convert(f"{plain}A")), -1, 0))


def _is_deep(photo: Image.Image) -> bool:
    """Tell whether it is a PNG with 16 bits a colour, of which Pillow reads 8."""
    tiles = getattr(photo, "tile", [])
    return photo.format == "PNG" and any(tile.args in ("RGB;16B", "RGBA;16B") for tile in tiles)


def _read_deep(file: Path) -> np.ndarray:
    import SimpleITK

    image = SimpleITK.ReadImage(str(file), imageIO="PNGImageIO")
    pixels = np.moveaxis(SimpleITK.GetArrayFromImage(image), -1, 0)
    return pixels if len(pixels) == 3 else drop_alpha(pixels)
