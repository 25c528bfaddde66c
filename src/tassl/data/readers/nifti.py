"""NIfTI and FreeSurfer volumes, through nibabel."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np

from tassl.data.readers.base import DEFLATE, Picture, check_held, check_size
from tassl.data.readers.orientation import canonical_shape, to_canonical
from tassl.errors import UnreadableFile

MM = {"meter": 1000.0, "micron": 0.001}  # a file that does not name its unit means mm


def read(file: Path, item: int = -1, *, is_mask: bool = False) -> Picture:
    """Read a volume, or the slice where it has but one; further axes are channels.

    Args:
        file: The volume.
        item: Position on the fourth axis; -1 reads all of it.
        is_mask: Makes no difference.
    """
    image = _open(file)
    if item >= _count(image):
        raise UnreadableFile(f"has no time point {item}: it holds {_count(image)}")
    _check(image, item)
    one = item >= 0 and image.ndim > 3
    pixels = np.asarray(image.dataobj[:, :, :, item] if one else image.dataobj)
    if pixels.dtype.names:  # RGB, and RGBA whose last byte the standard leaves without meaning
        pixels = np.stack([pixels[name] for name in "RGB"], axis=-1)
    space = (*_shape(image), 1)[:3]
    return to_canonical(pixels.reshape(*space, -1), _spacing(image), image.affine)


def shape(file: Path) -> tuple[int, ...]:
    """Shape of the space of the volume, as `read` gives it."""
    image = _open(file)
    _check(image, 0)
    return canonical_shape((*_shape(image), 1)[:3], image.affine)


def count(file: Path) -> int:
    """Time points, or channels where the fourth axis is one."""
    return _count(_open(file))


def _count(image: Any) -> int:
    return (*_shape(image), 1, 1)[3]


def _open(file: Path) -> Any:
    """Open without reading pixels."""
    from nibabel.loadsave import load
    from nibabel.spatialimages import SpatialImage

    # nibabel mends small faults of a header and would say so on the terminal.
    logging.getLogger("nibabel.global").disabled = True
    image: Any = load(file)
    if not isinstance(image, SpatialImage):
        raise UnreadableFile("holds no image but values of another kind (CIFTI)")
    if min(image.shape, default=0) < 1:
        raise UnreadableFile(f"has shape {image.shape}; wanted sides of at least 1")
    return image


def _shape(image: Any) -> tuple[int, ...]:
    """Shape in the file, without empty axes at its end."""
    sides = [int(side) for side in image.shape]
    while len(sides) > 2 and sides[-1] == 1:
        sides.pop()
    return tuple(sides)


def _check(image: Any, item: int) -> None:
    stored, proxy = _shape(image), image.dataobj
    width = image.get_data_dtype().itemsize
    file = Path(image.file_map["image"].filename)
    packed = file.suffix.lower() in (".gz", ".mgz")
    check_held(
        proxy.offset + math.prod(stored) * width, file.stat().st_size, DEFLATE if packed else 1
    )
    scaled = (proxy.slope, proxy.inter) != (1, 0)
    wanted = stored if item < 0 else (*stored[:3], *stored[4:])
    check_size(proxy.offset + math.prod(wanted) * (8 if scaled else width))


def _spacing(image: Any) -> list[float]:
    """Voxel size in mm as the file gives it: nibabel mends signs when it opens an image."""
    header = type(image.header)
    with (image.file_map.get("header") or image.file_map["image"]).get_prepare_fileobj() as opened:
        sizes = header.from_fileobj(opened, check=False).get_zooms()
    try:
        unit = image.header.get_xyzt_units()[0]
    except (AttributeError, KeyError):
        unit = "unknown"
    return [float(size) * MM.get(unit, 1.0) for size in (*sizes, 1.0, 1.0)[:3]]
