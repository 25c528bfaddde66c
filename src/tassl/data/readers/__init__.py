"""Read one image: pixels with channels first, and the size of a voxel. One reader per family.

A reader is a module with

    read(file, item, *, is_mask) -> Picture     one image, or the frame or page `item` of it
    shape(file) -> tuple                        optional: shape of its space from the header alone
    count(file) -> int                          optional: frames or pages, 1 unless given
    join(files) -> Picture                      optional: several files that make up one image

It raises whatever its library raises; what is called from here turns that into `UnreadableFile`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import numpy as np

from tassl.data.readers.base import Picture
from tassl.errors import UnreadableFile

__all__ = [
    "READERS",
    "Picture",
    "find_reader",
    "is_readable",
    "read_count",
    "read_mask",
    "read_parts",
    "read_picture",
    "read_shape",
]

READERS: dict[str, tuple[str, ...]] = {
    "photo": (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".pgm", ".ppm"),
    "tiff": (".tif", ".tiff"),
    "nifti": (".nii", ".nii.gz", ".mgz", ".mgh"),
    "itk": (".nrrd", ".nhdr", ".mha", ".mhd"),
    "arrays": (".npz", ".npy"),
    "dicom": (".dcm", ".dicom", ".ima"),
}
DICOM_MARK = (128, b"DICM")  # many exports leave the ending out

Found = TypeVar("Found")


def find_reader(file: Path) -> ModuleType:
    """Return the reader that knows the file by its ending, else by its first bytes.

    Raises:
        UnreadableFile: No reader knows it.
    """
    name = _name_reader(file)
    if name is None:
        kinds = ", ".join(ending for endings in READERS.values() for ending in endings)
        raise UnreadableFile(f"is of no known kind (ending {file.suffix!r}); wanted {kinds}")
    return import_module(f"tassl.data.readers.{name}")


def is_readable(name: str) -> bool:
    """Whether a file of this name is an image by its ending."""
    return name.lower().endswith(tuple(ending for own in READERS.values() for ending in own))


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
    options = {"array": array} if array else {}
    return _check(_try(lambda: find_reader(file).read(file, item, is_mask=is_mask, **options)))


def read_mask(file: Path, array: str = "", item: int = -1) -> Picture:
    """Read a label map.

    Raises:
        UnreadableFile: As `read_picture`.
    """
    picture = read_picture(file, array, item, is_mask=True)
    return Picture(picture.pixels[:1], picture.spacing)


def read_parts(files: Sequence[Path]) -> Picture:
    """Read several files that make up one image: a series of slices, or one file per channel.

    Raises:
        UnreadableFile: A file cannot be read, or they do not fit together.
    """
    reader = _try(lambda: find_reader(files[0]))
    if hasattr(reader, "join"):
        return _check(_try(lambda: reader.join(files)))
    pictures = [read_picture(file) for file in files]
    shapes = {picture.pixels.shape[1:] for picture in pictures}
    if len(shapes) > 1:
        raise UnreadableFile(f"its channels have different shapes: {sorted(shapes)}")
    first = pictures[0]
    pixels = np.concatenate([picture.pixels for picture in pictures])
    return Picture(pixels, first.spacing, first.facts, first.notes)


def read_shape(file: Path) -> tuple[int, ...]:
    """Shape of an image's space, from its header where the format allows.

    Raises:
        UnreadableFile: As `read_picture`.
    """
    reader = _try(lambda: find_reader(file))
    if hasattr(reader, "shape"):
        return _try(lambda: reader.shape(file))
    return read_picture(file).pixels.shape[1:]


def read_count(file: Path) -> int:
    """Frames, pages or time points of a file.

    Raises:
        UnreadableFile: As `read_picture`.
    """
    reader = _try(lambda: find_reader(file))
    return _try(lambda: reader.count(file)) if hasattr(reader, "count") else 1


def _name_reader(file: Path) -> str | None:
    for name, endings in READERS.items():
        if file.name.lower().endswith(endings):
            return name
    start, mark = DICOM_MARK
    with file.open("rb") as opened:
        opened.seek(start)
        return "dicom" if opened.read(len(mark)) == mark else None


def _try(read: Callable[[], Found]) -> Found:
    try:
        return read()
    except UnreadableFile:
        raise
    except (OSError, ValueError, EOFError, SyntaxError, zlib.error) as error:
        raise UnreadableFile(f"cannot be read: {_say(error)}") from None
    except MemoryError:
        raise UnreadableFile("cannot be read: it takes more memory than there is") from None
    except Exception as error:  # third-party parsers raise their own kinds on damaged headers
        raise UnreadableFile(f"cannot be read: {type(error).__name__}: {_say(error)}") from None


def _say(error: Exception) -> str:
    """The first line of what a library says, without more than a person would read."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _check(picture: Picture) -> Picture:
    if picture.pixels.size == 0 or not np.isfinite(picture.pixels).any():
        raise UnreadableFile("holds no finite pixel")
    return picture
