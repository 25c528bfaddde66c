"""What the columns of a table tell of images: found by the names that people give them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tassl.data.layouts.region_columns import find_regions, stack_masks
from tassl.data.privacy import cap_age
from tassl.errors import OptionError

NAMES = {
    "file": (
        "file", "filename", "file_name", "path", "image", "image_path", "img", "image_id",
        "image index",
    ),
    "subject": (
        "subject", "subject_id", "patient", "patient_id", "patient id", "patientid", "case",
        "case_id",
    ),
    "study": ("study", "study_id", "exam", "visit", "accession"),
    "order": ("slice", "slice_index", "slice_number", "frame", "frame_index", "instance_number"),
    "split": ("split", "fold", "set", "subset", "partition"),
    "label": (
        "label", "class", "diagnosis", "target", "dx", "category", "finding", "finding labels",
    ),
    "masks": ("mask", "mask_path", "segmentation", "seg"),
    "site": ("site", "scanner", "hospital", "center", "centre", "device"),
    "sex": ("sex", "gender", "patient_sex", "patient gender"),
    "age": ("age", "age_years", "age (years)", "patient_age", "patient age"),
    "spacing": ("spacing", "pixel size(mm)", "pixel_size", "pixel spacing", "pixelspacing"),
    "value": ("value", "age", "volume", "score"),
}  # fmt: skip
SIDES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "dev": "val", "test": "test", "testing": "test",
}  # fmt: skip
SEXES = {
    "f": "F", "female": "F", "w": "F", "woman": "F", "m": "M", "male": "M", "man": "M", "o": "O",
    "other": "O", "0": "0", "1": "1", "2": "2",
}  # fmt: skip
UNIT = re.compile(r"^.*?(?:\s*[(\[]([^)\]]+)[)\]]|_(mm[23]?|cm|ml|kg|g|years))\s*$")
FEWEST_FINDINGS = 2
FINDING, NOT_SAID = {"0", "1", "0.0", "1.0"}, {"", "-1", "-1.0"}
SEPARATOR = "|"  # of several findings in one column
NOTHING = {"no finding", "no findings", "none", "normal"}
NUMBER = re.compile(r"\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Told:
    """What a table tells.

    Args:
        columns: Values of the manifest's columns, one per row of the table.
        sources: Column of the table that each is from.
        classes: Names of labels or findings.
        unit: Of the value.
        notes: What was left aside.
        regions: Names of regions, where a column holds the masks of each.
    """

    columns: dict[str, list]
    sources: dict[str, str]
    classes: tuple[str, ...]
    unit: str
    notes: tuple[str, ...]
    regions: tuple[str, ...]


def understand(table: pd.DataFrame, path: Path, label: str | None, value: str | None) -> Told:
    """Find and read the columns that tell something of the images.

    Args:
        table: One row per image.
        path: Where it is from, for messages.
        label: Column of the class, or those of several findings: "A,B"; found by its name unless
            given.
        value: Column of the number to predict; found by its name or its unit unless given.

    Raises:
        OptionError: A column given is not there or holds no findings, or several may be meant.
    """
    chosen = _list_chosen(table, label)
    for given in (*chosen, *([] if value is None else [value])):
        if given not in table:
            raise OptionError(
                f"{path} has no column {given!r}; it has {', '.join(table)}. Name one of these."
            )
    columns: dict[str, list] = {}
    sources: dict[str, str] = {}
    notes: list[str] = []
    for kind, read_column in READ.items():
        if source := find_column(table, kind):
            values = read_column(table[source])
            if any(entry not in ("", ()) for entry in values):
                sources[kind], columns[kind] = source, values
            else:
                notes.append(f"column {source!r} is not understood as {kind}")
    regions: tuple[str, ...] = ()
    if "masks" not in columns and (masks := find_regions(table)).size:
        regions = tuple(masks)
        columns["masks"] = stack_masks(masks)
        sources["masks"] = ", ".join(regions)
    classes: tuple[str, ...] = ()
    several = chosen if len(chosen) > 1 else []
    source = None if several else next(iter(chosen), None) or _find_label(table, path)
    if source and any(SEPARATOR in text for text in _texts(table[source])):
        columns["findings"], classes = _part_findings(table[source])
        sources["findings"] = source
    elif source:
        columns["label"], classes = _number_classes(table[source])
        sources["label"] = source
    unit = ""
    used = {source for kind, source in sources.items() if kind != "age"}  # may be the value as well
    if number := value or _find_value(table, used, path):
        columns["value"], sources["value"] = _numbers(table[number]).tolist(), number
        match = UNIT.match(number)
        unit = (match[1] or match[2]) if match else ""
    if not source:
        used = {*sources.values(), find_column(table, "file")}
        if found := several or _find_findings(table, used):
            columns["findings"], classes = _read_findings(table[found], path), tuple(found)
            sources["findings"] = ", ".join(found)
    return Told(columns, sources, classes, unit, tuple(notes), regions)


def find_column(table: pd.DataFrame, kind: str) -> str | None:
    """The column of a kind in `NAMES`, None where there is none."""
    return next(iter(_find_all(table, kind)), None)


def _find_all(table: pd.DataFrame, kind: str) -> list[str]:
    names = {name.strip().lower(): name for name in table}
    return [names[name] for name in NAMES[kind] if name in names]


def _texts(column: Any) -> list[str]:
    return [str(entry).strip() for entry in column.fillna("")]


def _read_sides(column: Any) -> list[str]:
    return [SIDES.get(text.lower(), "") for text in _texts(column)]


def _read_sexes(column: Any) -> list[str]:
    return [SEXES.get(text.lower().removesuffix(".0"), "") for text in _texts(column)]


def _read_ages(column: Any) -> list[float | str]:
    return [cap_age(float(age)) if age >= 0 else "" for age in _numbers(column)]


def _read_orders(column: Any) -> list[int | str]:
    return [int(place) if place >= 0 else "" for place in _numbers(column)]


def _read_masks(column: Any) -> list[tuple[str, ...]]:
    return [(text,) if text else () for text in _texts(column)]


def _read_spacings(column: Any) -> list[tuple[float, ...]]:
    """One number for both axes of a picture, or one for each axis: "0.5 0.5 2"."""
    found = [tuple(map(float, NUMBER.findall(text))) for text in _texts(column)]
    sound = [sizes if sizes and min(sizes) > 0 else () for sizes in found]
    return [sizes * 2 if len(sizes) == 1 else sizes for sizes in sound]


READ: dict[str, Callable[[Any], list]] = {
    "subject": _texts, "study": _texts, "order": _read_orders, "site": _texts,
    "split": _read_sides, "sex": _read_sexes, "age": _read_ages, "masks": _read_masks,
    "spacing": _read_spacings,
}  # fmt: skip


def _number_classes(column: Any) -> tuple[list[int], tuple[str, ...]]:
    """Class of each row, -1 where missing; numbers are ordered as numbers, names as names."""
    numbers, texts = _numbers(column), _texts(column)
    if np.isfinite(numbers).sum() == sum(map(bool, texts)):
        texts = ["" if np.isnan(number) else f"{number:.10g}" for number in numbers]
        names = sorted({*texts} - {""}, key=float)
    else:
        names = sorted({*texts} - {""})
    places = {name: k for k, name in enumerate(names)}
    return [places.get(text, -1) for text in texts], tuple(names)


def _numbers(column: Any) -> np.ndarray:
    """A column as numbers, NaN where it holds none."""
    return np.asarray(pd.to_numeric(column, errors="coerce"), dtype=float)


def _list_chosen(table: pd.DataFrame, label: str | None) -> list[str]:
    """The columns that --label names: one, or several with commas between."""
    if label is None or label in table:
        return [] if label is None else [label]
    return [name.strip() for name in label.split(",")]


def _find_label(table: pd.DataFrame, path: Path) -> str | None:
    """The column of the class; the one with names where another only numbers them.

    Raises:
        OptionError: Several columns might be it.
    """
    found = _find_all(table, "label")
    groupings = {tuple(pd.factorize(table[name])[0]) for name in found}
    if len(groupings) > 1:
        raise OptionError(
            f"{path} has several columns of classes: {', '.join(found)}. "
            "Say which is meant with --label COLUMN."
        )
    named = [name for name in found if np.isnan(_numbers(table[name])).any()]
    return next(iter(named or found), None)


def _find_value(table: pd.DataFrame, used: set[str], path: Path) -> str | None:
    """A column with a unit in its name, else one of the usual names.

    Raises:
        OptionError: Several columns might be it.
    """
    free = [name for name in table if name not in used and np.isfinite(_numbers(table[name])).any()]
    usual = [name for name in _find_all(table, "value") if name in free]
    found = [name for name in free if UNIT.match(name)] or usual
    if len(found) > 1:
        raise OptionError(
            f"{path} has several columns of numbers: {', '.join(found)}. "
            "Say which is to be predicted with --value COLUMN."
        )
    return next(iter(found), None)


def _find_findings(table: pd.DataFrame, used: set[str | None]) -> list[str]:
    """Columns of 0 and 1 alone, one per finding; none where there is but one such column."""
    found = [
        name
        for name in table
        if name not in used and FINDING >= {*_texts(table[name])} - NOT_SAID > set()
    ]
    return found if len(found) >= FEWEST_FINDINGS else []


def _read_findings(table: Any, path: Path) -> list[tuple[int, ...]]:
    """Findings of each row, -1 for one that is unknown, () where all are.

    Raises:
        OptionError: A column holds something else.
    """
    for name in table:
        if strange := {*_texts(table[name])} - FINDING - NOT_SAID:
            raise OptionError(
                f"Column {name!r} of {path} holds {min(strange)!r}; wanted 1 and 0, and -1 or "
                "nothing where unknown. Leave it out of --label, or mend it."
            )
    numbers = table.apply(pd.to_numeric).fillna(-1).to_numpy(int)
    return [tuple(map(int, row)) if (row >= 0).any() else () for row in numbers]


def _part_findings(column: Any) -> tuple[list[tuple[int, ...]], tuple[str, ...]]:
    """Findings of rows such as "Atelectasis|Effusion" or "No Finding", and their names."""
    told = [{part.strip() for part in text.split(SEPARATOR)} - {""} for text in _texts(column)]
    names = sorted(name for name in set().union(*told) if name.lower() not in NOTHING)
    return [tuple(int(name in own) for name in names) if own else () for own in told], tuple(names)
