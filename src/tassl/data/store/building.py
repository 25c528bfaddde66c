"""From a manifest to a store, which appears whole or not at all."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from tassl.data.files import write_json
from tassl.data.grid import Grid, choose_grid
from tassl.data.manifest import Manifest, SetAside
from tassl.data.regions import find_values
from tassl.data.store.opening import KEPT, Store, open_store
from tassl.data.store.rows import Row, list_rows
from tassl.data.store.shards import map_shards
from tassl.data.store.sharing import offer, take
from tassl.data.store.signature import hash_facts, sign_store
from tassl.data.store.survey import (
    Look,
    check_looks,
    count_channels,
    look_at_rows,
    recall_look,
    set_channels_aside,
)
from tassl.data.store.writing import Plan, Prepare, make_arrays, note_need, takes_bytes, write_rows
from tassl.errors import TasslError

LONGEST = {2: 128, 3: 64}
Go = Callable[..., list[Any]]  # `map_shards` with its options


def build_store(
    manifest: Manifest,
    prepare: Prepare,
    folder: Path,
    *,
    steps: str = "",
    longest: int | None = None,
    to_scale: bool = False,
    cache: Path | None = None,
    workers: int | None = None,
    on_image: Callable[[], None] = lambda: None,
) -> Store:
    """Read, prepare and write every image of the manifest; set aside what cannot be read.

    A build that was cut short is taken up where it stood.

    Args:
        manifest: The images.
        prepare: The modality's deterministic preprocessing of one image (channel, *space).
        folder: Where the store goes; it appears there whole or not at all.
        steps: The modality and what `prepare` does, in words: part of the signature.
        longest: Most pixels along a side; 128 in 2D and 64 in 3D unless given.
        to_scale: Keep one scale in mm, however the fields of view differ.
        cache: Folder of stores that are shared between runs.
        workers: Processes; all cores, where that pays, unless given.
        on_image: Called after each image in each of the two passes, for a progress bar.

    Raises:
        InputError: No image can be read, or images of different dimensions are mixed.
        RunFolderError: The disk has not enough space.
    """
    signature = sign_store(manifest, steps, longest, to_scale=to_scale)
    if cache and take(cache / signature, folder):
        return open_store(folder)
    draft = _open_draft(folder, signature)
    choose = partial(choose_grid, to_scale=to_scale)
    go = partial(map_shards, workers=workers, on_item=on_image)
    try:
        built = _fill(draft, manifest, prepare, longest, choose, signature, go)
    except TasslError:  # other data or another size will be given: nothing here is of use to them
        shutil.rmtree(draft)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    built.rename(folder)
    shutil.rmtree(draft)
    if cache:
        offer(folder, cache / signature)
    return open_store(folder)


def _fill(
    draft: Path,
    manifest: Manifest,
    prepare: Prepare,
    longest: int | None,
    choose: Callable[..., Grid],
    signature: str,
    go: Go,
) -> Path:
    """Do both passes; the folder inside the draft that is the store."""
    looks, usable = _survey(manifest, draft, go)
    table = manifest.table.iloc[usable]
    kept, rows = [looks[k] for k in usable], list_rows(table)
    plan = _make_plan(manifest, prepare, kept, rows[0], longest, choose)
    regions = find_values(manifest.regions, plan.values, _name_values(manifest, plan.values))
    plan, boxes = _write(plan, draft, rows, go)
    told = _make_table(table, kept, boxes)
    facts = {
        "shape": plan.grid.shape,
        "spacing": plan.grid.spacing,
        "classes": manifest.classes,
        "unit": manifest.unit,
        "mask_values": plan.values,
        "regions": regions,
        "set_aside": [asdict(item) for item in _list_set_aside(manifest, looks)],
        "layout": manifest.layout,
        "notes": [*manifest.notes, *_list_notes(kept, plan)],
        "digest": _hash_table(told, kept),
        "signature": signature,
    }
    built = draft / plan.dtype
    told.to_parquet(built / "table.parquet")
    write_json(built / "store.json", facts)
    return built


def _open_draft(folder: Path, signature: str) -> Path:
    """The folder of a build under way; those of builds from other data or choices are removed."""
    draft = folder.with_name(f"{folder.name}.{signature}.part")
    for other in folder.parent.glob(f"{folder.name}.*.part"):
        if other != draft:
            shutil.rmtree(other)
    draft.mkdir(parents=True, exist_ok=True)
    return draft


def _survey(manifest: Manifest, draft: Path, go: Go) -> tuple[list[Look], list[int]]:
    """Look at every row; the looks, and the numbers of those that can be used."""
    task = partial(look_at_rows, manifest.root, manifest.marks)
    found = go(task, list_rows(manifest.table), draft / "seen")
    looks = [recall_look(facts) for facts in found]
    check_looks(looks, manifest.table.file.tolist(), manifest.root)
    looks = set_channels_aside(looks)
    return looks, [k for k, look in enumerate(looks) if not look.reason]


def _make_plan(
    manifest: Manifest,
    prepare: Prepare,
    looks: Sequence[Look],
    first: Row,
    longest: int | None,
    choose: Callable[..., Grid],
) -> Plan:
    shapes, spacings = [look.shape for look in looks], [look.spacing for look in looks]
    grid = choose(shapes, spacings, longest or LONGEST[len(shapes[0])])
    plan = Plan(
        root=manifest.root,
        prepare=prepare,
        marks=manifest.marks,
        count=len(looks),
        channels=count_channels(looks),
        grid=grid,
        dtype="float16",
        values=tuple(sorted({value for look in looks for value in look.values})),
    )
    if {look.dtype for look in looks} == {"uint8"} and takes_bytes(plan, first):
        return replace(plan, dtype="uint8")
    return plan


def _write(plan: Plan, draft: Path, rows: Sequence[Row], go: Go) -> tuple[Plan, list[Any]]:
    """Write all images; the plan that held, and the boxes of each in pixels of the grid."""
    make_arrays(plan, draft / plan.dtype)
    task = partial(write_rows, plan, draft / plan.dtype)
    written = go(task, list(enumerate(rows)), draft / f"written-{plan.dtype}")
    if plan.dtype == "uint8" and not all(answer["bounded"] for answer in written):
        shutil.rmtree(draft / plan.dtype)
        return _write(replace(plan, dtype="float16"), draft, rows, go)
    return plan, [answer["boxes"] for answer in written]


def _name_values(manifest: Manifest, values: Sequence[int]) -> tuple[str, ...]:
    """Names of the values of masks, known where label maps come with theirs."""
    known = manifest.layout == "volume-pairs" and len(manifest.classes) == len(values)
    return manifest.classes if known else ()


def _list_set_aside(manifest: Manifest, looks: Sequence[Look]) -> list[SetAside]:
    files = zip(manifest.table.file, looks, strict=True)
    found = [SetAside(str(file), look.reason) for file, look in files if look.reason]
    return [*manifest.set_aside, *found]


def _make_table(
    table: pd.DataFrame, looks: Sequence[Look], boxes: Sequence[list[float] | None]
) -> pd.DataFrame:
    levels = zip(*(look.percentiles for look in looks), strict=True)
    return (
        table[list(KEPT)]
        .assign(
            masked=table.masks.map(len) > 0,
            digest=[look.digest for look in looks],
            boxes=boxes,
            shape=[look.shape for look in looks],
            spacing=[look.spacing for look in looks],
            **dict(zip(("p1", "p50", "p99"), levels, strict=True)),
        )
        .reset_index(drop=True)
    )


def _list_notes(looks: Sequence[Look], plan: Plan) -> list[str]:
    counts = Counter(note for look in looks for note in look.notes)
    notes = [f"{count} images: {note}" if count > 1 else note for note, count in counts.items()]
    if plan.channels == 1 and (saved := sum(look.channels > 1 for look in looks)):
        notes.append(f"{saved} images are grey but saved as colour: one channel is kept")
    spacing = plan.grid.spacing
    same = spacing and all(look.spacing == spacing for look in looks)
    if not same and {look.shape for look in looks} != {plan.grid.shape}:
        size = " x ".join(map(str, plan.grid.shape))
        notes.append(f"images and masks are resampled to {size}; scores are taken on that grid")
    return [*notes, *note_need(plan)]


def _hash_table(table: pd.DataFrame, looks: Sequence[Look]) -> str:
    """Hash of all that a run trains on."""
    columns = [table[name].tolist() for name in (*KEPT, "digest", "boxes")]
    return hash_facts([*columns, [look.mask_digest for look in looks]])
