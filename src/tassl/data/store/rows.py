"""One image with its mask and boxes, from however many files it lies in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import ndimage

from tassl.data.readers import Picture, read_mask, read_parts, read_picture
from tassl.data.regions import stack_regions
from tassl.errors import InputError, UnreadableFile

OBJECT = 0  # class of the boxes where masks number objects
OVERLAP = (
    "its masks overlap with different classes, and the later one is taken: to keep both, name each "
    "in a column of its own (mask_A, mask_B) of a table"
)


class Row(NamedTuple):
    """The columns of a manifest that say where an image lies."""

    file: str
    parts: Sequence[str]
    array: str
    item: int
    masks: Sequence[str]
    boxes: Sequence[float] | None
    spacing: Sequence[float]


@dataclass(frozen=True)
class Sample:
    """What a row of the manifest stands for.

    Args:
        picture: The image, with the voxel size of the table where its file gives none.
        mask: (*space) class numbers, None where it has none.
        boxes: (class, low corner..., high corner...) one after another in pixels of the file, None
            where unknown.
    """

    picture: Picture
    mask: np.ndarray | None
    boxes: tuple[float, ...] | None


def list_rows(table: pd.DataFrame) -> list[Row]:
    """The rows of a manifest's table."""
    return [Row(*row) for row in table[list(Row._fields)].itertuples(index=False)]


def read_row(root: Path, row: Row, marks: str) -> Sample:
    """Read one row of a manifest.

    Args:
        root: Folder that its files are relative to.
        row: Where they lie.
        marks: What masks tell apart: "classes"; "objects", of which each gives a box of class 0,
            and all together are class 1 of the mask; or "regions", one in each mask.

    Raises:
        UnreadableFile: A file cannot be read, or its masks do not fit together.
        InputError: The mask has another shape than the image.
    """
    picture = _read_picture(root, row)
    boxes = None if row.boxes is None else tuple(map(float, row.boxes))
    if not len(row.masks):
        return Sample(picture, None, boxes)
    space = picture.pixels.shape[1:]
    masks = _read_masks(root, row, space)
    for name, mask in zip(row.masks, masks, strict=True):
        if mask.shape != space:
            raise InputError(
                f"{name} has shape {mask.shape}, its image {row.file} {space}. "
                "Mend or remove this pair."
            )
    if marks == "regions":
        return Sample(picture, stack_regions(masks), boxes)
    if marks == "objects":
        found = [box for mask in masks for box in find_boxes(mask)]
        boxes = tuple(value for box in found for value in box) if boxes is None else boxes
        masks = [(mask > 0).astype(np.uint8) for mask in masks]
    united = unite(masks)
    if any(((mask != 0) & (mask != united)).any() for mask in masks):
        picture = replace(picture, notes=(*picture.notes, OVERLAP))
    return Sample(picture, united, boxes)


def unite(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Lay masks of one image over each other; where several hold something the later one shows."""
    united, *others = masks
    for mask in others:
        united = np.where(mask != 0, mask, united)
    return united


def find_boxes(mask: np.ndarray) -> list[tuple[float, ...]]:
    """Box (class 1, low corner..., high corner...) around each number above zero."""
    values, numbers = np.unique(np.maximum(mask, 0), return_inverse=True)
    found = ndimage.find_objects(numbers.reshape(mask.shape) + int(values[0] > 0))
    return [
        (OBJECT, *(float(side.start) for side in box), *(float(side.stop) for side in box))
        for box in found
    ]


def find_regions(mask: np.ndarray) -> tuple[float, ...]:
    """Boxes (class, low corner..., high corner...) around the connected regions of each class.

    Regions that touch at a corner are one. Class 1 of the mask is class 0 of the boxes.
    """
    found, touching = [], ndimage.generate_binary_structure(mask.ndim, mask.ndim)
    for number in np.unique(mask[mask > 0]):
        numbered: Any = ndimage.label(mask == number, touching)
        found += [(number - 1, *corners) for _, *corners in find_boxes(numbered[0])]
    return tuple(float(value) for box in found for value in box)


def _read_picture(root: Path, row: Row) -> Picture:
    if len(row.parts):
        picture = read_parts([root / part for part in row.parts])
    else:
        picture = read_picture(root / row.file, row.array, row.item)
    if picture.spacing is None and len(row.spacing):
        return replace(picture, spacing=tuple(map(float, row.spacing)))
    return picture


def _read_masks(root: Path, row: Row, space: tuple[int, ...]) -> list[np.ndarray]:
    masks = []
    for name in row.masks:
        if not name:  # a region that the image does not show
            masks.append(np.zeros(space, np.uint8))
            continue
        mask = read_mask(root / row.file, name, row.item) if row.array else read_mask(root / name)
        if mask.pixels.dtype.kind == "f":
            raise UnreadableFile(f"its mask {name} holds fractions; wanted whole class numbers")
        masks.append(mask.pixels[0])
    return masks
