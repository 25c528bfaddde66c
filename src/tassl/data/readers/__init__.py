"""Read one image: pixels with channels first, and the size of a voxel. One reader per family.

A reader is a module named in `READERS` beside the file endings that are its own, and

    read(file, item, *, is_mask) -> Picture     one image, or the frame or page `item` of it
    shape(file) -> tuple[int, ...]              optional: shape of its space, from the header alone
    count(file) -> int                          optional: frames or pages, 1 unless given
    recognises(head) -> bool                    optional: its own by the first bytes of a file
    join(files) -> Picture                      optional: several files that make up one image

It imports its library inside functions where that takes time, and raises whatever that raises:
the functions below turn it into `UnreadableFile`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tassl.data.readers.base import Picture, is_grey
from tassl.errors import UnreadableFile

__all__ = [
    "READERS",
    "Picture",
    "count_items",
    "find_reader",
    "guard",
    "is_grey",
    "read_mask",
    "read_parts",
    "read_picture",
    "read_shape",
]

READERS: dict[str, tuple[str, ...]] = {
    "photo": (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".webp"),
    "tiff": (".tif", ".tiff"),
    "nifti": (".nii", ".nii.gz", ".mgh", ".mgz"),
    "itk": (".nrrd", ".nhdr", ".mha", ".mhd"),
    "arrays": (".npz", ".npy"),
    "dicom": (".dcm", ".dicom", ".ima"),
}


def find_reader(file: Path) -> ModuleType:
    """Return the reader that knows the file by its ending, else by its first bytes.

    Raises:
        UnreadableFile: No reader knows it.
    """
    for name, endings in READERS.items():
        if file.name.lower().endswith(endings):
            return import_module(f"tassl.data.readers.{name}")
    with file.open("rb") as opened:
        head = opened.read(512)
    for name in READERS:
        reader = import_module(f"tassl.data.readers.{name}")
        if hasattr(reader, "recognises") and reader.recognises(head):
            return reader
    raise UnreadableFile(f"is of no known kind (ending {file.suffix!r})")


def read_picture(file: Path, array: str = "", item: int = -1, *, is_mask: bool = False) -> Picture:
    """Read an image.

    Args:
        file: File of any kind in `READERS`.
        array: Array inside an npz file.
        item: Position inside that array, or frame or page of the file.
        is_mask: Class numbers are wanted, not colours.

    Returns:
        Real numbers in the machine's byte order, at least 1 pixel a side in 2 or 3 dimensions.

    Raises:
        UnreadableFile: The file is damaged, holds no finite pixel or is of an unknown kind.
    """
    options = {"array": array} if array else {}
    return guard(
        file, lambda: _tidy(find_reader(file).read(file, item, is_mask=is_mask, **options))
    )


def read_mask(file: Path, array: str = "", item: int = -1) -> Picture:
    """Read a label map; numbers that stand within rounding of whole ones become whole.

    Raises:
        UnreadableFile: As `read_picture`.
    """
    picture = read_picture(file, array, item, is_mask=True)
    pixels = picture.pixels[:1]
    if pixels.dtype.kind == "f":
        whole = np.rint(np.nan_to_num(pixels))
        if np.abs(whole).max() < 2**31 and np.allclose(whole, pixels, rtol=0, atol=1e-3):
            pixels = whole.astype(np.int32)
    return Picture(pixels, picture.spacing)


def read_parts(files: Sequence[Path]) -> Picture:
    """Read several files that make up one image: a series of slices, or one file per channel.

    Raises:
        UnreadableFile: A file cannot be read, or they do not fit together.
    """
    reader = guard(files[0], lambda: find_reader(files[0]))
    if hasattr(reader, "join"):
        return guard(files[0], lambda: _tidy(reader.join(files)))
    first, *others = (read_picture(file) for file in files)
    shapes = {picture.pixels.shape[1:] for picture in (first, *others)}
    if len(shapes) > 1:
        raise UnreadableFile(f"has channels of different shapes: {sorted(shapes)}")
    pixels = np.concatenate([first.pixels, *(picture.pixels for picture in others)])
    return replace(first, pixels=pixels)


def read_shape(file: Path) -> tuple[int, ...]:
    """Shape of the space of an image as `read_picture` gives it; from the header where it can.

    Raises:
        UnreadableFile: As `read_picture`.
    """
    reader = guard(file, lambda: find_reader(file))
    if hasattr(reader, "shape"):
        return guard(file, lambda: reader.shape(file))
    return read_picture(file).pixels.shape[1:]


def count_items(file: Path) -> int:
    """Frames or pages of a file, 1 where its kind has none.

    Raises:
        UnreadableFile: As `read_picture`.
    """
    reader = guard(file, lambda: find_reader(file))
    return guard(file, lambda: reader.count(file)) if hasattr(reader, "count") else 1


def guard(file: Path, read: Callable[[], Any]) -> Any:
    """Turn whatever a third-party reader raises into one line, and its warnings into nothing.

    Raises:
        UnreadableFile: Something was raised; says what, without the folder of the file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return read()
        except UnreadableFile:
            raise
        except Exception as error:  # parsers raise all kinds on damaged headers
            reason = f"cannot be read: {_say(file, error)}"
    # Outside, so that the cause and the files that it holds open are gone.
    raise UnreadableFile(reason)


def _say(file: Path, error: Exception) -> str:
    """What went wrong in one line, where the library meant to say it."""
    stumbled = (TypeError, AttributeError, LookupError, AssertionError, ArithmeticError)
    if isinstance(error, stumbled) or not str(error):
        return f"its header or pixels are damaged ({type(error).__name__})"
    said = " ".join(str(error).replace(str(file), file.name).split())
    return "".join(letter for letter in said if letter.isprintable())[:200]


def _tidy(picture: Picture) -> Picture:
    """Bring pixels to plain numbers and a senseless spacing to None."""
    pixels, spacing, notes = picture.pixels, picture.spacing, picture.notes
    if pixels.ndim not in (3, 4) or 0 in pixels.shape:
        raise UnreadableFile(f"has shape {pixels.shape[1:]}; wanted 2 or 3 dimensions")
    if pixels.dtype.kind not in "biufc":
        raise UnreadableFile(f"holds values of type {pixels.dtype}; wanted numbers")
    if pixels.dtype.kind == "c":
        pixels, notes = np.abs(pixels), (*notes, "complex values are read as their magnitude")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).any():
        raise UnreadableFile("holds no finite pixel")
    if spacing and not all(np.isfinite(size) and size > 0 for size in spacing):
        notes = (*notes, f"its voxel size {spacing} mm makes no sense and is taken as unknown")
        spacing = None
    return replace(picture, pixels=_as_native(pixels), spacing=spacing, notes=notes)


def _as_native(pixels: np.ndarray) -> np.ndarray:
    """The machine's byte order, and types that scipy and torch know."""
    kind, width = pixels.dtype.kind, pixels.dtype.itemsize
    if kind == "b":
        return pixels.view(np.uint8)
    native = f"f{min(max(width, 4), 8)}" if kind == "f" else pixels.dtype.newbyteorder("=")
    return pixels.astype(native, copy=False)
