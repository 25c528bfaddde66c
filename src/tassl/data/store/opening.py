"""A store that was built, opened by its folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from tassl.data.grid import Grid
from tassl.data.manifest import SetAside
from tassl.data.regions import list_codes
from tassl.errors import InputError

KEPT = (
    "id", "subject", "study", "order", "split", "label", "findings", "value", "site",
    "sex", "age",
)  # fmt: skip


@dataclass(frozen=True)
class Store:
    """Images and masks by row, and the table that tells what each row is.

    Args:
        folder: Where the arrays lie; another process opens them there.
        images: (image, channel, *space), float16 or uint8; the prepared values divided by `scale`.
        scale: 1, or 1/255 where 8 bits hold what was prepared.
        masks: (image, *space), uint8 class numbers; None where no image has a mask.
        table: One row per image: the manifest's columns `KEPT`; masked and digest; boxes, in
            pixels of the grid; shape, spacing and the percentiles p1, p50 and p99 of the file.
        grid: Shape and voxel size of the images.
        classes: Names of the image classes.
        mask_values: Value in the mask files that each mask class stands for.
        set_aside: Files that could not be read.
        layout: How the data lay on disk.
        notes: What a person should know of how they were understood.
        digest: Hash of all pixels, labels and masks.
        signature: Hash of what it was built from and how, see `sign_store`.
        unit: Of the table's values, as "mm".
        regions: Values in the mask files that each region joins.
    """

    folder: Path
    images: np.ndarray
    scale: float
    masks: np.ndarray | None
    table: pd.DataFrame
    grid: Grid
    classes: tuple[str, ...]
    mask_values: tuple[int, ...]
    set_aside: tuple[SetAside, ...]
    layout: str
    notes: tuple[str, ...]
    digest: str
    signature: str
    unit: str = ""
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __reduce__(self) -> tuple[Callable[[Path], Store], tuple[Path]]:
        """Travel to another process as a path, not as pixels."""
        return open_store, (self.folder,)

    @property
    def dims(self) -> int:
        """Number of spatial dimensions."""
        return len(self.grid.shape)

    @property
    def channels(self) -> int:
        """Number of channels of each image."""
        return self.images.shape[1]

    @property
    def codes(self) -> np.ndarray:
        """The regions that each class of the masks is part of, as bits of a number, (class,)."""
        return list_codes(self.regions, self.mask_values)

    def measure_masks(self) -> np.ndarray:
        """Pixels (voxels) that the mask of each row shows, NaN where it has none, (row,)."""
        sizes = np.full(len(self.table), np.nan)
        if self.masks is not None:
            for row in np.flatnonzero(self.table.masked):
                sizes[row] = np.count_nonzero(self.masks[row])
        return sizes

    def crops(
        self, rows: Sequence[int] | np.ndarray, starts: np.ndarray, size: Sequence[int]
    ) -> np.ndarray:
        """Read a window of each of these rows, and from disk little more than that.

        Args:
            rows: Row of each window.
            starts: (window, axis) first pixel of each.
            size: Pixels of the windows along each axis.

        Returns:
            (window, channel, *size) of the type of `images`.

        Raises:
            ValueError: A window reaches beyond the grid.
        """
        starts = np.asarray(starts)
        if (starts < 0).any() or (starts + np.asarray(size) > self.grid.shape).any():
            raise ValueError(f"Windows of {tuple(size)} reach beyond the grid {self.grid.shape}.")
        crops = np.empty((len(rows), self.channels, *size), self.images.dtype)
        for crop, row, start in zip(crops, rows, starts, strict=True):
            window = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
            crop[:] = self.images[(row, slice(None), *window)]
        return crops


def open_store(folder: Path) -> Store:
    """Open a store that `build_store` wrote.

    Raises:
        InputError: A file of it is missing or damaged.
    """
    try:
        return _open(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"The prepared images in {folder} are damaged ({reason}). Delete that folder, then "
            "give the same command again: it reads the images anew."
        ) from None


def _open(folder: Path) -> Store:
    facts = json.loads((folder / "store.json").read_text())
    masks = folder / "masks.npy"
    images = np.load(folder / "images.npy", mmap_mode="r")
    return Store(
        folder=folder.resolve(),
        images=images,
        scale=1 / 255 if images.dtype == np.uint8 else 1.0,
        masks=np.load(masks, mmap_mode="r") if masks.exists() else None,
        table=pd.read_parquet(folder / "table.parquet"),
        grid=Grid(tuple(facts["shape"]), tuple(facts["spacing"]) if facts["spacing"] else None),
        classes=tuple(facts["classes"]),
        mask_values=tuple(facts["mask_values"]),
        set_aside=tuple(SetAside(**item) for item in facts["set_aside"]),
        layout=facts["layout"],
        notes=tuple(facts["notes"]),
        digest=facts["digest"],
        signature=facts["signature"],
        unit=facts.get("unit", ""),
        regions={name: tuple(own) for name, own in facts.get("regions", {}).items()},
    )
