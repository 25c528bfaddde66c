"""Arrays of numpy: one inside an npz file, as MedMNIST stores its images, or one npy file."""

from __future__ import annotations

import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from tassl.data.readers.base import DEFLATE, Picture, check_held, check_size, drop_alpha
from tassl.errors import UnreadableFile

PLAUSIBLE = 100  # large arrays of images do not pack more closely than this; bombs do


def read(file: Path, item: int = -1, *, array: str = "", is_mask: bool = False) -> Picture:
    """Read one image: (h, w), (h, w, channel), (channel, h, w) or (d, h, w) and its like.

    An axis of 1 or 3 at either end holds channels, or of 4 at the end: colours with alpha.

    Args:
        file: An npz or npy file; npy files are mapped, not read.
        item: Position along the first axis; -1 where the array is one image.
        array: Array inside an npz file.
        is_mask: A last axis is space, whatever its size, unless it is 1.
    """
    if file.suffix.lower() == ".npy":
        pixels = np.load(file, mmap_mode="r", allow_pickle=False)
    elif array:
        pixels = _load(str(file), array, file.stat().st_mtime_ns)
    else:
        raise UnreadableFile("holds several arrays and none was asked for; save one image as npy")
    return Picture(_put_channels_first(pixels[item] if item >= 0 else pixels, is_mask))


def shape(file: Path) -> tuple[int, ...]:
    """Shape of the space of the image in an npy file, as `read` gives it."""
    return read(file).pixels.shape[1:]


def _put_channels_first(pixels: np.ndarray, is_mask: bool) -> np.ndarray:
    if pixels.ndim < 3:
        return pixels[None]
    if pixels.shape[-1] == 4 and not is_mask:
        return drop_alpha(np.moveaxis(pixels, -1, 0))
    if pixels.shape[-1] == 1 or (pixels.shape[-1] == 3 and not is_mask):
        return np.moveaxis(pixels, -1, 0)
    return pixels if pixels.shape[0] in (1, 3) else pixels[None]


@lru_cache(maxsize=4)
def _load(file: str, array: str, changed: int) -> np.ndarray:
    """Read once for all its images, and anew when the file has changed."""
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
    if f"{array}.npy" not in members:
        raise UnreadableFile(f"holds no array {array!r}")
    member = members[f"{array}.npy"]
    check_held(member.file_size, member.compress_size, DEFLATE)
    if member.file_size > PLAUSIBLE * member.compress_size:
        check_size(member.file_size)
    with np.load(file, allow_pickle=False) as archive:
        return archive[array]
