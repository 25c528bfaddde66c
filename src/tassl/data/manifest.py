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
    findings  0 or 1 for every class where an image may show several, -1 for one that is unknown;
              () where all are
    value     the number to predict, in the manifest's unit; NaN where unknown
    masks     files (or the array) that hold the segmentation, united where they are several; ();
              where each marks a region, one for every region, "" for one that is not shown
    boxes     (class, low corner..., high corner...) one after another, in pixels along the axes as
              they lie in memory; None where unknown, () where there is nothing to find
    site      acquisition site or scanner, "" where unknown
    sex       "F", "M" or "O", or the code 0, 1 or 2 of a table without a key; "" where unknown
    age       in years, 90 for all who are older; NaN where unknown
    spacing   mm per pixel along each axis where a table gives it and the file does not; ()
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tassl.data.files import write_table
from tassl.errors import InputError, LeakError, OptionError

BLANK: dict[str, object] = {
    "parts": (), "array": "", "item": -1, "study": "", "order": -1, "split": "", "label": -1,
    "findings": (), "value": math.nan, "masks": (), "boxes": None, "site": "", "sex": "",
    "age": math.nan, "spacing": (),
}  # fmt: skip
COLUMNS = ("id", "file", "subject", *BLANK)
SPLITS = ("train", "val", "test")
NAMED = 5
BOX = 5  # numbers of one box in 2D


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
        regions: Classes of masks that each region joins, see `find_values`; none for any where
            every mask of an image marks the region of its place.
    """

    root: Path
    layout: str
    table: pd.DataFrame
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    unit: str = ""
    instances: bool = False
    regions: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)

    @property
    def marks(self) -> str:
        """What masks tell apart: "classes", "objects" or, a mask for each, "regions"."""
        if self.instances:
            return "objects"
        return "regions" if self.regions and not any(self.regions.values()) else "classes"

    def account(self) -> str:
        """Say in a few lines how the data were understood."""
        table = self.table
        repeated = int((table.subject.value_counts() > 1).sum())
        several = f", {repeated} of them with several" if repeated else ""
        lines = [
            f"layout   {self.layout}",
            f"images   {len(table)} of {table.subject.nunique()} subjects{several}",
            *(f"{name:<8} {told}" for name, told in self._tell() if told),
        ]
        lines += [f"note     {note}" for note in self.notes]
        lines += [f"set aside  {item.file}: {item.reason}" for item in self.set_aside]
        return "\n".join(lines)

    def _tell(self) -> Iterator[tuple[str, str]]:
        """What is known of the images, kind by kind; "" where nothing is."""
        table = self.table
        counts = table.label[table.label >= 0].value_counts()
        named = self._count_classes(counts.to_dict())
        yield "labels", f"{counts.sum()} images: {named}" if len(counts) else ""
        found = [row for row in table.findings if len(row)]
        sums = self._count_classes(dict(enumerate(np.equal(found, 1).sum(0)))) if found else ""
        unknown = int(np.less(found, 0).sum())
        gaps = f"; {unknown} answers unknown" if unknown else ""
        yield "findings", f"{len(found)} images: {sums}{gaps}" if found else ""
        values = table.value.dropna()
        yield "values", f"{len(values)} images, {_range(values, self.unit)}" if len(values) else ""
        masks = int(table.masks.map(len).gt(0).sum())
        kind = ", single objects" if self.instances else ""
        is_labelled = bool(found) or len(counts) > 0
        names = f": {', '.join(self.classes)}" if self.classes and not is_labelled else ""
        yield "masks", f"{masks} images{names}{kind}" if masks else ""
        joined = (
            f"{name} = {' + '.join(map(str, own))}" if own else name
            for name, own in self.regions.items()
        )
        yield "regions", ", ".join(joined)
        known = table.boxes[table.boxes.notna()]
        boxes = Counter(int(c) for row in known for c in row[::BOX])  # layouts of 2D alone so far
        named = self._count_classes(boxes)
        told = f"{len(known)} images, {boxes.total()} boxes: {named}" if len(known) else ""
        yield "boxes", told
        labelled = is_labelled or masks or len(known) or len(values)
        yield "labels", "" if labelled else "none: a table of them is added with --csv TABLE"
        parts = table.parts.map(len)
        yield "files", _range(parts[parts > 0], "an image")
        sizes = [float(size) for row in table.spacing for size in row]
        yield "spacing", _range(pd.Series(sizes), "mm")
        sites = table.site[table.site != ""]
        yield "sites", f"{sites.nunique()}, {len(sites)} images" if len(sites) else ""
        sexes = table.sex[table.sex != ""].value_counts().sort_index()
        yield "sexes", ", ".join(f"{name} {count}" for name, count in sexes.items())
        yield "ages", _range(table.age.dropna(), "years")
        split = table.split.value_counts()
        given = ", ".join(f"{name} {split[name]}" for name in SPLITS if name in split)
        yield "splits", given or "none given: tassl draws its own, by subject"

    def _count_classes(self, counts: Mapping[int, int]) -> str:
        """Each class by name with its count, as "benign (44), malignant (45)"."""
        names = self.classes or tuple(str(k) for k in range(max(counts, default=-1) + 1))
        return ", ".join(f"{name} ({counts.get(k, 0)})" for k, name in enumerate(names))


def _range(numbers: pd.Series, unit: str) -> str:
    """The bounds of what is known, "" where nothing is."""
    if numbers.empty:
        return ""
    low, high = f"{numbers.min():.4g}", f"{numbers.max():.4g}"
    return f"{low} {unit}".strip() if low == high else f"{low} to {high} {unit}".strip()


def make_table(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    """Build the table from rows that may leave out what they do not know."""
    columns = {name: [row.get(name, BLANK.get(name)) for row in rows] for name in COLUMNS}
    return pd.DataFrame(columns)


def write_manifest(manifest: Manifest, file: Path) -> None:
    """Write the table as parquet; `tassl run FILE` reads it again.

    Tuples become lists. The key `PANDAS_ATTRS` of the schema's metadata holds as JSON: root,
    layout, classes, notes, unit, instances, regions and set_aside, pairs of file and reason.
    """
    table = manifest.table.copy()
    table.attrs = {
        "root": str(manifest.root.resolve()),
        "layout": manifest.layout,
        "classes": list(manifest.classes),
        "notes": list(manifest.notes),
        "unit": manifest.unit,
        "instances": manifest.instances,
        "regions": {name: list(own) for name, own in manifest.regions.items()},
        "set_aside": [[item.file, item.reason] for item in manifest.set_aside],
    }
    write_table(file, table)


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
        raise OptionError(
            f"--subject {pattern!r} is not a regular expression: {error}. "
            r"Mend it, as in 'patient(\d+)_'."
        ) from None
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
        twice = table.id[table.id.duplicated()].iloc[0]
        raise InputError(f"The image id {twice!r} stands twice. Give each image one of its own.")
    sides = table[table.split != ""].groupby("subject").split.nunique()
    if crossing := sorted(sides.index[sides > 1]):
        more = f" and {len(crossing) - NAMED} more" if len(crossing) > NAMED else ""
        told = "; ".join(_say_sides(table, subject) for subject in crossing[:NAMED])
        raise LeakError(
            f"Subjects on both sides of the given split: {told}{more}. Move each to one side, or "
            "give the same command with --own-splits to split anew by subject."
        )
    return manifest


def _say_sides(table: pd.DataFrame, subject: str) -> str:
    """A subject with one image of each side: "p1 (a/1.png in train, b/2.png in test)"."""
    own = table[(table.subject == subject) & (table.split != "")]
    images = dict(zip(own.split, own.id, strict=True))
    return f"{subject} ({', '.join(f'{name} in {side}' for side, name in images.items())})"
