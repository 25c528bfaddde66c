"""NRRD and MetaImage, through SimpleITK."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from tassl.data.readers.base import DEFLATE, Picture, check_held, check_size
from tassl.data.readers.orientation import canonical_shape, to_canonical
from tassl.errors import UnreadableFile

NRRD = (".nrrd", ".nhdr")
DETACHED = (".nhdr", ".mhd")
RAW = re.compile(rb"^(encoding: *raw|CompressedData *= *False)\b", re.I | re.M)
DIMS = re.compile(rb"^[ \t]*NDims\b[ \t=:]*([^\r\n]*)", re.I | re.M)
SIZES = re.compile(rb"^(spacings|space directions|element ?spacing|element ?size)\b", re.I | re.M)


def read(file: Path, item: int = -1, *, is_mask: bool = False) -> Picture:
    """Read a volume, or the slice where it has but one; vectors and a fourth axis are channels.

    Args:
        file: The volume, or the header beside its data.
        item: Position on the fourth axis; -1 reads all of it.
        is_mask: Makes no difference.
    """
    import SimpleITK

    header = _open(file)
    if item >= _count(header):
        raise UnreadableFile(f"has no time point {item}: it holds {_count(header)}")
    try:
        image = header.Execute()
    except RuntimeError:  # its message quotes the header, which may name a person
        raise _refusal() from None
    pixels = SimpleITK.GetArrayFromImage(image)
    dims = header.GetDimension()
    if header.GetNumberOfComponents() == 1:
        pixels = pixels[..., None]
    pixels = pixels.transpose(*reversed(range(dims)), dims)
    if dims == 2:
        pixels = pixels[:, :, None]
    if dims == 4 and item >= 0:
        pixels = pixels[:, :, :, item]
    told = SIZES.search(_head(file))  # else ITK takes 1 mm
    spacing = (*header.GetSpacing(), 1.0)[:3] if told else None
    return to_canonical(pixels.reshape(*pixels.shape[:3], -1), spacing, _affine(header))


def shape(file: Path) -> tuple[int, ...]:
    """Shape of the space of the volume, as `read` gives it."""
    header = _open(file)
    return canonical_shape((*header.GetSize(), 1)[:3], _affine(header))


def count(file: Path) -> int:
    """Size of the fourth axis, 1 where there is none."""
    return _count(_open(file))


def _count(header: Any) -> int:
    return (*header.GetSize(), 1, 1)[3]


def _open(file: Path) -> Any:
    """Read the header alone."""
    import SimpleITK

    # ITK dies of other numbers, and the whole process with it.
    if any(dims.strip() not in (b"2", b"3", b"4") for dims in DIMS.findall(_head(file))):
        raise _refusal()
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(file))
    reader.SetImageIO("NrrdImageIO" if file.suffix.lower() in NRRD else "MetaImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        raise _refusal() from None
    if not 2 <= reader.GetDimension() <= 4:
        raise UnreadableFile(f"has {reader.GetDimension()} dimensions; wanted 2 to 4")
    kind = SimpleITK.GetPixelIDValueAsString(reader.GetPixelID())
    found = re.search(r"(\d+)-bit", kind)
    if not found:
        raise UnreadableFile(f"holds {kind}; wanted numbers")
    width = int(found[1]) // 8 * reader.GetNumberOfComponents()
    wanted = math.prod(reader.GetSize()) * width
    check_size(wanted)
    if file.suffix.lower() not in DETACHED:
        check_held(wanted, file.stat().st_size, 1 if RAW.search(_head(file)) else DEFLATE)
    return reader


def _affine(header: Any) -> np.ndarray:
    """From voxels to mm right, front and up; ITK counts to the left and to the back."""
    dims = header.GetDimension()
    axes = np.eye(4)
    within = min(dims, 3)
    direction = np.reshape(header.GetDirection(), (dims, dims))[:within, :within]
    axes[:within, :within] = direction * header.GetSpacing()[:within]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ axes


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(2**16)


def _refusal() -> UnreadableFile:
    return UnreadableFile(
        "cannot be read: its header or pixels are damaged, or the file of its pixels is missing"
    )
