"""The manifest: one row per image, each with its subject.

Columns of the table:

    id        unique name of the image
    file      file that holds it, relative to the root; the first of `parts` where those are given
    parts     files that make it up together, in order: the channels of one image, or the slices of
              one volume; () where `file` holds it all
    array     array inside the file (npz), else ""
    item      position inside the array, or frame or page of the file; -1 where it holds one image
    subject   the patient, animal or specimen; never crosses a split
    study     the examination it belongs to, "" where unknown
    order     place of a slice or frame within its study, -1 where unknown
    split     "train", "val" or "test" where the data set gives one, else ""
    label     class number, -1 where unknown
    findings  0 or 1 for every class where an image may show several, () where unknown
    value     the number to predict, in the manifest's unit; NaN where unknown
    masks     files (or the array) that hold the segmentation, united where they are several; ()
    boxes     (class, low corner..., high corner...) one after another, in pixels along the axes as
              they lie in memory; None where unknown, () where there is nothing to find
    site      acquisition site or scanner, "" where unknown
    spacing   mm per pixel along each axis where a table gives it and the file does not; ()
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tassl.data.files import write_atomically
from tassl.errors import InputError, LeakError, OptionError

BLANK: dict[str, object] = {
    "parts": (), "array": "", "item": -1, "study": "", "order": -1, "split": "", "label": -1,
    "findings": (), "value": math.nan, "masks": (), "boxes": None, "site": "", "spacing": (),
}  # fmt: skip
COLUMNS = ("id", "file", "subject", *BLANK)
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class SetAside:
    """A file left out of the run, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """The images of a data set and what is known of each.

    Args:
        root: Folder that the `file` and `mask` columns are relative to.
        layout: Name of the layout that was recognised.
        table: One row per image, with the columns above.
        classes: Names of the classes, in the order of their numbers; of masks and boxes where
            those are what the data set labels.
        notes: What a person should know of how the data were understood.
        set_aside: Files that could not be used.
        unit: Of `value`, as "mm".
        instances: Whether masks number single objects rather than classes.
    """

    root: Path
    layout: str
    table: pd.DataFrame
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    unit: str = ""
    instances: bool = False

    def account(self) -> str:
        """Say in a few lines how the data were understood."""
        table = self.table
        split = table.split.value_counts().to_dict()
        given = ", ".join(f"{name} {split[name]}" for name in SPLITS if name in split)
        labelled = np.sum((table.label >= 0) | table.findings.map(bool))
        lines = [
            f"layout   {self.layout}",
            f"images   {len(table)} of {table.subject.nunique()} subjects",
            f"labels   {labelled} images, classes: {', '.join(self.classes) or 'none'}",
            f"masks    {table.masks.map(bool).sum()} images"
            + (", single objects" if self.instances else ""),
            f"boxes    {table.boxes.notna().sum()} images, {self._count_boxes()} boxes",
            f"values   {self._describe_values()}",
            f"splits   {given or 'none given: tassl draws its own, by subject'}",
        ]
        lines += [f"note     {note}" for note in self.notes]
        lines += [f"set aside  {item.file}: {item.reason}" for item in self.set_aside]
        return "\n".join(lines)

    def _count_boxes(self) -> int:
        if self.table.empty:
            return 0
        sizes = self.table.boxes.map(lambda boxes: len(boxes) if boxes is not None else 0)
        return int(sizes.sum()) // 5  # volumes have seven numbers a box, but no layout of theirs

    def _describe_values(self) -> str:
        known = self.table.value.dropna()
        if known.empty:
            return "none"
        return f"{len(known)} images, {known.min():g} to {known.max():g} {self.unit}".strip()


def make_table(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    """Build the table from rows that may leave out what they do not know."""
    return pd.DataFrame([BLANK | row for row in rows], columns=list(COLUMNS))


def write_manifest(manifest: Manifest, file: Path) -> None:
    """Write the table as parquet, with what else the manifest holds in its metadata."""
    table = manifest.table.copy()
    table.attrs = {
        "root": str(manifest.root.resolve()),
        "layout": manifest.layout,
        "classes": list(manifest.classes),
        "notes": list(manifest.notes),
        "unit": manifest.unit,
        "instances": manifest.instances,
    }
    write_atomically(file, lambda draft: table.to_parquet(draft, index=False))


def rename_subjects(manifest: Manifest, pattern: str) -> Manifest:
    """Read the subject of each image from its file name.

    Args:
        manifest: The manifest to change.
        pattern: Regular expression with one group, searched in the `file` column.

    Raises:
        OptionError: The pattern is not valid, has not one group, or finds nothing in a file.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise OptionError(f"--subject {pattern!r} is not a regular expression: {error}.") from None
    if compiled.groups != 1:
        raise OptionError(
            f"--subject {pattern!r} has {compiled.groups} groups; give exactly one, "
            r"as in 'patient(\d+)_'."
        )
    subjects = [(match := compiled.search(name)) and match[1] for name in manifest.table.file]
    for name, found in zip(manifest.table.file, subjects, strict=True):
        if not found:
            raise OptionError(f"--subject {pattern!r} finds nothing in {name!r}: widen it.")
    notes = tuple(note for note in manifest.notes if "own subject" not in note)
    return replace(manifest, table=manifest.table.assign(subject=subjects), notes=notes)


def check_manifest(manifest: Manifest) -> Manifest:
    """Refuse a manifest without images, with repeated ids or with a subject across splits.

    Raises:
        InputError: No image, or an id stands twice.
        LeakError: A subject stands on both sides of a given split; names them.
    """
    table = manifest.table
    if table.empty:
        reasons = "; ".join(f"{item.file}: {item.reason}" for item in manifest.set_aside[:3])
        raise InputError(
            f"No usable image in {manifest.root}. "
            + (f"Set aside: {reasons}" if reasons else "Give a folder or file that holds images.")
        )
    if not table.id.is_unique:
        raise InputError(f"The image id {table.id[table.id.duplicated()].iloc[0]!r} stands twice.")
    sides = table[table.split != ""].groupby("subject").split.nunique()
    crossing = sorted(sides.index[sides > 1])
    if crossing:
        more = f" and {len(crossing) - 10} more" if len(crossing) > 10 else ""
        raise LeakError(
            f"Subjects on both sides of the given split: {', '.join(crossing[:10])}{more}. "
            "Move each to one side, or use --own-splits to split anew by subject."
        )
    return manifest
