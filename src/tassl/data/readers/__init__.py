"""Read one image: pixels with channels first, and the size of a voxel. One reader per family.

A reader is a module with `ENDINGS`, the file endings that are its own, and

    read(file, item, *, is_mask) -> Picture     one image, or the frame or page `item` of it
    recognises(head) -> bool                    optional: its own by the first bytes of a file
    count(file) -> int                          optional: frames or pages, 1 unless given
    join(files) -> Picture                      optional: several files that make up one image

It raises whatever its library raises; `read_picture` turns that into `UnreadableFile`.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

from tassl.data.readers.base import Picture
from tassl.errors import UnreadableFile

__all__ = ["READERS", "Picture", "find_reader", "read_mask", "read_picture", "read_shape"]

READERS = ("photo", "nifti", "arrays")


def find_reader(file: Path) -> ModuleType:
    """Return the reader that knows the file by its ending, else by its first bytes.

    Raises:
        UnreadableFile: No reader knows it.
    """
    readers = [import_module(f"tassl.data.readers.{name}") for name in READERS]
    for reader in readers:
        if file.name.lower().endswith(reader.ENDINGS):
            return reader
    with file.open("rb") as opened:
        head = opened.read(512)
    for reader in readers:
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

    Raises:
        UnreadableFile: The file is damaged, holds no finite pixel or is of an unknown kind.
    """
    try:
        options = {"array": array} if array else {}
        return _check(find_reader(file).read(file, item, is_mask=is_mask, **options))
    except UnreadableFile:
        raise
    except (OSError, ValueError, EOFError, SyntaxError, zlib.error) as error:
        raise UnreadableFile(f"cannot be read: {error or type(error).__name__}") from None
    except Exception as error:  # third-party parsers raise their own kinds on damaged headers
        raise UnreadableFile(f"cannot be read: {type(error).__name__}: {error}") from None


def read_mask(file: Path, array: str = "", item: int = -1) -> Picture:
    """Read a label map.

    Raises:
        UnreadableFile: As `read_picture`.
    """
    picture = read_picture(file, array, item, is_mask=True)
    return Picture(picture.pixels[:1], picture.spacing)


def read_shape(file: Path) -> tuple[int, ...]:
    """Shape of a NIfTI file from its header alone.

    Raises:
        UnreadableFile: The header is damaged.
    """
    import nibabel

    try:
        return tuple(nibabel.load(file).shape)  # type: ignore[attr-defined]
    except Exception as error:
        raise UnreadableFile(f"cannot be read: {error}") from None


def _check(picture: Picture) -> Picture:
    if picture.pixels.size == 0 or not np.isfinite(picture.pixels).any():
        raise UnreadableFile("holds no finite pixel")
    return picture
