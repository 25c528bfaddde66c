"""The second pass: prepare every image and write it to its place on the common grid."""

from __future__ import annotations

import errno
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tassl.data.grid import Grid, fit_boxes, fit_to_grid
from tassl.data.readers import Picture
from tassl.data.store.rows import Row, find_regions, read_row
from tassl.errors import RunFolderError

Prepare = Callable[[np.ndarray], np.ndarray]
IMAGES, MASKS = "images.npy", "masks.npy"
FULL = (errno.ENOSPC, errno.EDQUOT)
MOST_OF_DISK, PROPOSED = 0.95, 0.9  # shares of the free space


@dataclass(frozen=True)
class Plan:
    """How images of one store are prepared and written.

    Args:
        root: Folder that files are relative to.
        prepare: The modality's preparation of one image (channel, *space) float32.
        marks: What masks tell apart, as `Manifest.marks` says.
        count: Images.
        channels: Channels of each.
        grid: Where they are put.
        dtype: "float16"; or "uint8", for values from 0 to 1 of files with 8 bits: half the disk.
            Float16 is fine enough for all else: from 0 to 1 its steps are at most 1/2,048, which
            is 0.98 HU on a CT scale of 2,000 HU, so that all its whole numbers stay apart.
        values: Values of masks, in the order of their classes; () where there are none.
    """

    root: Path
    prepare: Prepare
    marks: str
    count: int
    channels: int
    grid: Grid
    dtype: str
    values: tuple[int, ...]

    @property
    def arrays(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Type and shape of the arrays by the name of their file."""
        images = (self.count, self.channels, *self.grid.shape)
        masks = (self.count, *self.grid.shape)
        return {IMAGES: (self.dtype, images)} | ({MASKS: ("uint8", masks)} if self.values else {})

    @property
    def needs(self) -> dict[str, int]:
        """Bytes that each array takes."""
        return {
            name: np.dtype(kind).itemsize * math.prod(shape)
            for name, (kind, shape) in self.arrays.items()
        }


def make_arrays(plan: Plan, folder: Path) -> None:
    """Lay out the arrays of a store, unless an earlier try did; all their space is taken at once.

    Raises:
        RunFolderError: There is not enough space; says how much is wanted and what would fit.
    """
    folder.mkdir(exist_ok=True)
    missing = [name for name in plan.arrays if not (folder / name).exists()]
    need, free = sum(plan.needs[name] for name in missing), shutil.disk_usage(folder).free
    if need > MOST_OF_DISK * free:
        raise _say_full(plan, folder, need, free)
    for name in missing:
        kind, shape = plan.arrays[name]
        draft = folder / f"{name}.part"
        array = np.lib.format.open_memmap(draft, "w+", dtype=kind, shape=shape)
        del array
        try:
            _reserve(draft)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise _say_full(plan, folder, need, free) from None
        os.replace(draft, folder / name)


def write_rows(plan: Plan, folder: Path, rows: Sequence[tuple[int, Row]]) -> list[dict[str, Any]]:
    """Prepare rows and write them to their place.

    Returns:
        Of each its boxes in pixels of the grid, and whether its values lie between 0 and 1.
    """
    arrays = {name: np.load(folder / name, mmap_mode="r+") for name in plan.arrays}
    answers = [_write_row(plan, arrays, *row) for row in rows]
    for array in arrays.values():
        array.flush()  # before the shard is called done
    return answers


def takes_bytes(plan: Plan, row: Row) -> bool:
    """Whether an image keeps between 0 and 1 when it is prepared, so that 8 bits may hold it."""
    picture = read_row(plan.root, row, plan.marks).picture
    return _is_bounded(_prepare(plan, picture.pixels))


def note_need(plan: Plan) -> list[str]:
    """Say what a large store takes."""
    need = sum(plan.needs.values())
    return [f"the prepared images take {_say_size(need)} of disk"] if need >= 1e9 else []


def _write_row(plan: Plan, arrays: dict[str, np.ndarray], k: int, row: Row) -> dict[str, Any]:
    sample = read_row(plan.root, row, plan.marks)
    space, spacing = sample.picture.pixels.shape[1:], sample.picture.spacing
    prepared = _prepare(plan, sample.picture.pixels)
    fitted = fit_to_grid(Picture(prepared, spacing), plan.grid)
    if plan.dtype == "uint8":
        fitted = np.rint(fitted.clip(0, 1) * 255)
    arrays[IMAGES][k] = fitted
    boxes = sample.boxes
    if boxes is not None:
        boxes = fit_boxes(boxes, space, spacing, plan.grid)
    if sample.mask is not None:
        numbers = np.searchsorted(plan.values, sample.mask[None]).astype(np.uint8)
        mask = fit_to_grid(Picture(numbers, spacing), plan.grid, is_mask=True)[0]
        arrays[MASKS][k] = mask
        boxes = find_regions(mask) if boxes is None else boxes
    return {"boxes": boxes, "bounded": _is_bounded(prepared)}


def _prepare(plan: Plan, pixels: np.ndarray) -> np.ndarray:
    kept = pixels[:1] if plan.channels == 1 else pixels
    return plan.prepare(kept.astype(np.float32))


def _is_bounded(prepared: np.ndarray) -> bool:
    return bool(prepared.min() >= 0 and prepared.max() <= 1)


def _reserve(file: Path) -> None:
    """Take the space now: a full disk would kill a process that writes to mapped memory."""
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    with file.open("r+b") as opened:
        os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)


def _say_full(plan: Plan, folder: Path, need: int, free: int) -> RunFolderError:
    fitting = (free * PROPOSED / need) ** (1 / len(plan.grid.shape))
    return RunFolderError(
        f"The prepared images need {_say_size(need)}, {_say_size(free)} are free in "
        f"{folder.parents[1]}: give --size {max(1, int(max(plan.grid.shape) * min(fitting, 1)))}, "
        "free space or choose another --out."
    )


def _say_size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
