"""The store: every image prepared once, on a common grid, in memory-mapped arrays."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tassl.data.grid import Grid, choose_grid, fit_to_grid
from tassl.data.manifest import Manifest, SetAside
from tassl.data.readers import Picture, read_mask, read_parts, read_picture
from tassl.errors import InputError, RunFolderError, UnreadableFile

Prepare = Callable[[np.ndarray], np.ndarray]
MOST_MASK_VALUES = 32
SHARE_OF_DISK, WORTH_SAYING = 0.95, 10**9
KEPT = (
    "id", "subject", "study", "order", "split", "label", "value", "site", "masked", "digest",
    "shape", "spacing",
)  # fmt: skip


@dataclass(frozen=True)
class Store:
    """Images and masks by row, and the table that tells what each row is.

    Args:
        folder: Where the arrays lie; another process opens them there.
        images: (image, channel, *space), float16.
        masks: (image, *space), uint8 class numbers; None where no image has a mask.
        table: Columns `KEPT`, one row per image; shape and spacing are those of the file.
        grid: Shape and voxel size of the images.
        classes: Names of the image classes.
        mask_values: Value in the mask files that each mask class stands for.
        set_aside: Files that could not be read.
        layout: How the data lay on disk.
        notes: What a person should know of how they were understood.
        digest: Hash of all pixels, labels and masks.
        trace: Hash of names, sizes and times of the files that were read.
    """

    folder: Path
    images: np.ndarray
    masks: np.ndarray | None
    table: pd.DataFrame
    grid: Grid
    classes: tuple[str, ...]
    mask_values: tuple[int, ...]
    set_aside: tuple[SetAside, ...]
    layout: str
    notes: tuple[str, ...]
    digest: str
    trace: str

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


def build_store(
    manifest: Manifest,
    prepare: Prepare,
    folder: Path,
    *,
    longest: int | None = None,
    on_image: Callable[[], None] = lambda: None,
) -> Store:
    """Read, prepare and write every image of the manifest; set aside what cannot be read.

    Args:
        manifest: The images.
        prepare: The modality's deterministic preprocessing of one image (channel, *space).
        folder: Where the store goes; it appears there whole or not at all.
        longest: Most pixels along a side; 128 in 2D and 64 in 3D unless given.
        on_image: Called after each image that was read, for a progress bar.

    Raises:
        InputError: No image can be read, or images of different dimensions are mixed.
        RunFolderError: The disk has too little room.
    """
    usable, shapes, spacings, values, set_aside = [], [], [], set(), list(manifest.set_aside)
    notes: Counter[str] = Counter()
    digests, traces, channels = [], [], 1
    for number, row in _rows(manifest.table):
        try:
            picture, mask = _read_row(manifest.root, row)
        except UnreadableFile as error:
            set_aside.append(SetAside(str(row.file), str(error)))
        else:
            usable.append(number)
            shapes.append(picture.pixels.shape[1:])
            spacings.append(picture.spacing)
            digests.append(_hash(picture.pixels))
            notes.update(picture.notes)
            traces.append(_hash(mask.pixels) if mask else "")
            channels = max(channels, len(picture.pixels))
            if mask is not None:
                found = np.unique(mask.pixels)
                values.update(np.unique(found > 0) if manifest.instances else found.tolist())
        on_image()
    _check_shapes(shapes, set_aside, manifest.root)
    _check_values(values)
    grid = choose_grid(shapes, spacings, longest or (128 if len(shapes[0]) == 2 else 64))

    table = manifest.table.iloc[usable].reset_index(drop=True)
    table = table.assign(masked=table.masks.map(len) > 0, digest=digests)
    draft = folder.with_name(folder.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    notes.update(_check_space(draft, len(table) * prod(grid.shape), channels, bool(values)))
    kept = (sorted(map(int, values)), manifest.instances)
    _write(draft, manifest.root, table, prepare, grid, channels, *kept, on_image)
    told = table.assign(shape=shapes, spacing=spacings)
    told[list(KEPT)].to_parquet(draft / "table.parquet")
    facts = {
        "shape": grid.shape,
        "spacing": grid.spacing,
        "classes": manifest.classes,
        "mask_values": sorted(int(v) for v in values),
        "set_aside": [asdict(item) for item in set_aside],
        "layout": manifest.layout,
        "notes": [*manifest.notes, *_count_notes(notes), *_scale_note(shapes, spacings, grid)],
        "digest": _hash_table(table, traces),
        "trace": trace_files(manifest),
    }
    (draft / "store.json").write_text(json.dumps(facts, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    return open_store(folder)


def open_store(folder: Path) -> Store:
    """Open a store that `build_store` wrote."""
    facts = json.loads((folder / "store.json").read_text())
    masks = folder / "masks.npy"
    return Store(
        folder=folder.resolve(),
        images=np.load(folder / "images.npy", mmap_mode="r"),
        masks=np.load(masks, mmap_mode="r") if masks.exists() else None,
        table=pd.read_parquet(folder / "table.parquet"),
        grid=Grid(tuple(facts["shape"]), tuple(facts["spacing"]) if facts["spacing"] else None),
        classes=tuple(facts["classes"]),
        mask_values=tuple(facts["mask_values"]),
        set_aside=tuple(SetAside(**item) for item in facts["set_aside"]),
        layout=facts["layout"],
        notes=tuple(facts["notes"]),
        digest=facts["digest"],
        trace=facts["trace"],
    )


def trace_files(manifest: Manifest) -> str:
    """Hash of a manifest and its files' sizes and times: tells whether to look at them anew."""
    root, table = manifest.root, manifest.table
    named = {*table.file, *chain.from_iterable(table.parts)}
    named.update(chain.from_iterable(table.masks[table.array == ""]))
    marks = [
        (name, stat.st_size, stat.st_mtime_ns)
        for name in sorted(named)
        if (root / name).exists() and (stat := (root / name).stat())
    ]
    told = table.to_csv(index=False)  # labels of a table do not show in the files
    return hashlib.sha256(f"{marks}{told}".encode()).hexdigest()[:16]


def _rows(table: pd.DataFrame) -> Iterator[tuple[int, Any]]:
    """Number and fields of each row."""
    return enumerate(table.itertuples())


def _read_row(root: Path, row: Any) -> tuple[Picture, Picture | None]:
    if len(row.parts):
        picture = read_parts([root / part for part in row.parts])
    else:
        picture = read_picture(root / row.file, row.array, row.item)
    if picture.spacing is None and len(row.spacing):
        picture = replace(picture, spacing=tuple(row.spacing))
    if not len(row.masks):
        return picture, None
    if row.array:
        mask = read_mask(root / row.file, row.masks[0], row.item)
    else:
        mask = unite([read_mask(root / mask) for mask in row.masks])
    if mask.pixels.shape[1:] != picture.pixels.shape[1:]:
        raise InputError(
            f"{row.masks[0]} has shape {mask.pixels.shape[1:]}, its image {row.file} "
            f"{picture.pixels.shape[1:]}. Mend or remove this pair."
        )
    return picture, mask


def unite(masks: list[Picture]) -> Picture:
    """Lay masks of one image over each other; where several hold something the later one shows.

    Raises:
        UnreadableFile: They differ in shape.
    """
    first, *others = masks
    pixels = first.pixels
    for mask in others:
        if mask.pixels.shape != pixels.shape:
            raise UnreadableFile("its masks differ in shape")
        pixels = np.where(mask.pixels != 0, mask.pixels, pixels)
    return Picture(pixels, first.spacing)


def _write(
    folder: Path,
    root: Path,
    table: pd.DataFrame,
    prepare: Prepare,
    grid: Grid,
    channels: int,
    values: list[int],
    instances: bool,
    on_image: Callable[[], None],
) -> None:
    images = _create(folder / "images.npy", "float16", (len(table), channels, *grid.shape))
    masks = _create(folder / "masks.npy", "uint8", (len(table), *grid.shape)) if values else None
    for k, row in _rows(table):
        picture, mask = _read_row(root, row)
        pixels = prepare(picture.pixels.astype(np.float32))
        images[k] = fit_to_grid(Picture(pixels, picture.spacing), grid)
        if mask is not None and masks is not None:
            numbers = mask.pixels > 0 if instances else mask.pixels
            numbered = np.searchsorted(values, numbers).astype(np.uint8)
            masks[k] = fit_to_grid(Picture(numbered, mask.spacing), grid, is_mask=True)[0]
        on_image()
    images.flush()
    if masks is not None:
        masks.flush()


def _create(file: Path, dtype: str, shape: tuple[int, ...]) -> np.memmap:
    return np.lib.format.open_memmap(file, "w+", dtype=dtype, shape=shape)


def _check_shapes(shapes: list[tuple[int, ...]], set_aside: list[SetAside], root: Path) -> None:
    if not shapes:
        reasons = "; ".join(f"{item.file}: {item.reason}" for item in set_aside[:3])
        raise InputError(f"No image of {root} can be read. {reasons}")
    if len(kinds := {len(shape) for shape in shapes}) > 1 or not kinds <= {2, 3}:
        raise InputError(
            f"{root} mixes images of {sorted(kinds)} dimensions; wanted all 2D or all 3D."
        )


def _check_values(values: set[int]) -> None:
    if len(values) > MOST_MASK_VALUES:
        raise InputError(
            f"The masks hold {len(values)} distinct values; wanted at most {MOST_MASK_VALUES} "
            "class numbers. Were they saved as JPEG? Save label maps without loss."
        )


def _count_notes(notes: Counter[str]) -> list[str]:
    """What readers did to pixels, with the number of images where it was not one alone."""
    return [f"{count} images: {note}" if count > 1 else note for note, count in notes.items()]


def _check_space(folder: Path, pixels: int, channels: int, masked: bool) -> list[str]:
    """Say how much room the store takes where it is much, and refuse what does not fit.

    Raises:
        RunFolderError: The disk has not that much left.
    """
    need = pixels * (2 * channels + masked)
    free = shutil.disk_usage(folder).free
    if need > SHARE_OF_DISK * free:
        raise RunFolderError(
            f"The prepared images need {need / 1e9:.1f} GB; {free / 1e9:.1f} GB are free in "
            f"{folder.parent}. Give a smaller --size, make room, or choose another --out."
        )
    return [f"the prepared images take {need / 1e9:.1f} GB"] if need > WORTH_SAYING else []


def _scale_note(
    shapes: list[tuple[int, ...]], spacings: list[tuple[float, ...] | None], grid: Grid
) -> list[str]:
    kept = all(spacing == grid.spacing for spacing in spacings) if grid.spacing else False
    if kept or set(shapes) == {grid.shape}:
        return []
    size = " x ".join(map(str, grid.shape))
    return [f"images and masks are resampled to {size}; scores are taken on that grid"]


def _hash(pixels: np.ndarray) -> str:
    head = f"{pixels.shape}{pixels.dtype}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(pixels).tobytes()).hexdigest()[:16]


def _hash_table(table: pd.DataFrame, traces: list[str]) -> str:
    kept = table[["id", "subject", "split", "label", "findings", "value", "boxes", "digest"]]
    rows = zip(*(kept[name] for name in kept), traces, strict=True)
    return hashlib.sha256(repr(list(rows)).encode()).hexdigest()[:16]
