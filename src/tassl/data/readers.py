"""Read one image: pixels with channels first, and the size of a voxel."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from tassl.errors import UnreadableFile

COLOURED = {"RGBA": "RGB", "P": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "LA": "L", "1": "L"}


@dataclass(frozen=True)
class Picture:
    """An image as it stands in its file.

    Args:
        pixels: Values in the file's own units, (channel, *space).
        spacing: Voxel size in mm along each axis of space, None where the file does not say.
    """

    pixels: np.ndarray
    spacing: tuple[float, ...] | None = None


def read_picture(file: Path, array: str = "", item: int = -1, *, is_mask: bool = False) -> Picture:
    """Read an image.

    Args:
        file: PNG, JPEG, TIFF, NIfTI or npz file.
        array: Array inside an npz file.
        item: Position inside that array.
        is_mask: Keep the numbers of a palette picture rather than look up its colours.

    Raises:
        UnreadableFile: The file is damaged, holds no finite pixel or is of an unknown kind.
    """
    try:
        if file.suffix == ".npz":
            arrays = _load_array(str(file), array, file.stat().st_mtime_ns)
            return _check(_from_array(arrays[item]))
        if file.name.endswith((".nii", ".nii.gz")):
            return _check(_from_nifti(file))
        return _check(_from_photo(file, is_mask))
    except UnreadableFile:
        raise
    except (OSError, ValueError, EOFError, SyntaxError, zlib.error) as error:
        raise UnreadableFile(f"cannot be read: {error or type(error).__name__}") from None
    except Exception as error:  # third-party parsers raise their own kinds on damaged headers
        raise UnreadableFile(f"cannot be read: {type(error).__name__}: {error}") from None


def read_mask(file: Path, array: str = "", item: int = -1) -> Picture:
    """Read a label map; a palette picture gives its class numbers, not its colours.

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


@lru_cache(maxsize=4)
def _load_array(file: str, array: str, changed: int) -> np.ndarray:
    """Read once for all its images, and anew when the file has changed."""
    with np.load(file, allow_pickle=False) as archive:
        return archive[array]


def _from_array(pixels: np.ndarray) -> Picture:
    """(h, w), (h, w, 3) or (d, h, w) as MedMNIST stores them."""
    if pixels.ndim == 3 and pixels.shape[-1] in (3, 4):
        return Picture(np.moveaxis(pixels[..., :3], -1, 0))
    return Picture(pixels[None])


def _from_photo(file: Path, is_mask: bool) -> Picture:
    from PIL import Image

    with Image.open(file) as photo:
        plain = COLOURED.get(photo.mode, photo.mode)
        pixels = np.asarray(photo if is_mask and photo.mode == "P" else photo.convert(plain))
    return Picture(pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0))


def _from_nifti(file: Path) -> Picture:
    """Reoriented to the canonical axes (left to right, back to front, foot to head)."""
    import nibabel

    image = nibabel.as_closest_canonical(nibabel.load(file))  # type: ignore[attr-defined]
    pixels = np.asarray(image.dataobj)  # type: ignore[attr-defined]
    spacing = tuple(float(size) for size in image.header.get_zooms())  # type: ignore[attr-defined]
    if pixels.ndim == 4:
        return Picture(np.moveaxis(pixels, -1, 0), spacing[:3])
    return Picture(pixels[None], spacing[: pixels.ndim])
