"""A table (CSV, TSV or parquet) of one row per image, alone or beside a folder of images.

Columns are found by the names that people give them. tassl's own manifest is such a table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from tassl.data.manifest import BLANK, COLUMNS, Manifest, make_table
from tassl.errors import InputError, OptionError

ENDINGS = (".csv", ".tsv", ".parquet")
NAMES = {
    "file": ("file", "filename", "file_name", "path", "image", "image_path", "img", "image_id"),
    "subject": ("subject", "subject_id", "patient", "patient_id", "patientid", "case", "case_id"),
    "study": ("study", "study_id", "exam", "visit", "accession"),
    "split": ("split", "fold", "set", "subset", "partition"),
    "label": ("label", "class", "diagnosis", "target", "dx", "category", "finding"),
    "masks": ("mask", "mask_path", "segmentation", "seg"),
    "site": ("site", "scanner", "hospital", "center", "centre", "device"),
    "spacing": ("spacing", "pixel size(mm)", "pixel_size", "pixel spacing", "pixelspacing"),
    "value": ("value", "age", "volume", "score"),
}
SIDES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "dev": "val", "test": "test", "testing": "test",
}  # fmt: skip
UNIT = re.compile(r"^(.*?)\s*[(\[]([^)\]]+)[)\]]\s*$")
WANTED = "a CSV, TSV or parquet file with a column of image files"


def recognises(path: Path) -> bool:
    """A table file is ours."""
    return path.is_file() and path.suffix.lower() in ENDINGS


def read(path: Path) -> Manifest:
    """Read the manifest of a table; files are relative to its folder."""
    table = load(path)
    if set(COLUMNS) <= set(table):
        return _read_manifest(path, table)
    places = [str(value) for value in table[find_column(table, "file", path)]]
    rows: list[dict[str, object]] = [
        {"id": str(Path(place).with_suffix("")), "file": place, "subject": place}
        for place in places
    ]
    bare = Manifest(path.parent, "table", make_table(rows))
    return join(bare, path)


def join(
    manifest: Manifest, path: Path, *, label: str | None = None, value: str | None = None
) -> Manifest:
    """Add what a table knows of the images of a manifest, by file name.

    Args:
        manifest: The images.
        path: The table.
        label: Column of the class; found by its name unless given.
        value: Column of the number to predict; found by its name or its unit unless given.

    Raises:
        InputError: The table names none of the images.
        OptionError: A column given is not there.
    """
    table = load(path)
    column = find_column(table, "file", path)
    known = table.assign(_key=[Path(str(name)).name.lower() for name in table[column]])
    bare = known.assign(_key=[Path(key).stem for key in known._key])
    keyed = pd.concat([known, bare]).drop_duplicates("_key").set_index("_key")
    keys = [Path(file).name.lower() for file in manifest.table.file]
    keys = [key if key in keyed.index else Path(key).stem for key in keys]
    found = keyed.reindex(keys).reset_index(drop=True)
    missing = sum(key not in keyed.index for key in keys)
    if missing == len(found):
        raise InputError(f"{path} names none of the images: its column {column!r} starts with "
                         f"{table[column].iloc[0]!r}.")  # fmt: skip
    notes = [f"{missing} images are not in {path.name}"] if missing else []
    changes, classes, unit = _columns(found, path, label, value)
    used = ", ".join(f"{name} from {source!r}" for name, (source, _) in changes.items())
    notes.append(f"{path.name}: {used or 'no column was understood but the files'}")
    told = manifest.table.assign(**{name: values for name, (_, values) in changes.items()})
    return replace(
        manifest,
        table=told,
        classes=classes or manifest.classes,
        unit=unit or manifest.unit,
        notes=(*manifest.notes, *notes),
    )


def load(path: Path) -> pd.DataFrame:
    """Read a table.

    Raises:
        InputError: It cannot be read, or is empty.
    """
    try:
        if path.suffix.lower() == ".parquet":
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",")
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} cannot be read as a table: {reason}.") from None
    if table.empty:
        raise InputError(f"{path} holds no rows; wanted one per image.")
    return table


def find_column(table: pd.DataFrame, kind: str, path: Path) -> str:
    """The column of a kind.

    Raises:
        InputError: There is none.
    """
    if (found := _find(table, kind)) is None:
        raise InputError(
            f"{path} has the columns {', '.join(map(str, table))}; wanted one of "
            f"{', '.join(NAMES[kind])}. Rename yours."
        )
    return found


def _find(table: pd.DataFrame, kind: str) -> str | None:
    names = {str(name).strip().lower(): str(name) for name in table}
    return next((names[name] for name in NAMES[kind] if name in names), None)


def _columns(
    found: pd.DataFrame, path: Path, label: str | None, value: str | None
) -> tuple[dict[str, tuple[str, object]], tuple[str, ...], str]:
    """Values of the manifest's columns with the column each is from, class names, and the unit."""
    for given in (label, value):
        if given is not None and given not in found:
            raise OptionError(f"{path} has no column {given!r}; it has {', '.join(found)}.")
    changes: dict[str, tuple[str, object]] = {}
    for kind in ("subject", "study", "site"):
        if source := _find(found, kind):
            changes[kind] = (source, found[source].fillna("").astype(str).to_list())
    if source := _find(found, "split"):
        sides = [SIDES.get(str(side).strip().lower(), "") for side in found[source]]
        if any(sides):
            changes["split"] = (source, sides)
    if source := _find(found, "masks"):
        masks = [(mask,) if isinstance(mask, str) else () for mask in found[source]]
        changes["masks"] = (source, masks)
    if source := _find(found, "spacing"):
        changes["spacing"] = (source, [(s, s) if s > 0 else () for s in _numbers(found, source)])
    classes: tuple[str, ...] = ()
    if source := label or _find(found, "label"):
        told = [_name_class(value) for value in found[source]]
        names = sorted({*told} - {""})
        numbers = {name: k for k, name in enumerate(names)}
        labels = [numbers.get(name, -1) for name in told]
        changes["label"], classes = (source, labels), tuple(names)
    unit = ""
    if source := value or _find_value(found, changes, path):
        changes["value"] = (source, _numbers(found, source))
        match = UNIT.match(source)
        unit = match[2] if match else ""
    return changes, classes, unit


def _name_class(value: object) -> str:
    """A class as text, "" where it is missing; whole numbers without a point."""
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:g}"
    return "" if value is None else str(value).strip()


def _numbers(found: pd.DataFrame, column: str) -> list[float]:
    """A column as numbers, NaN where it holds none."""
    return np.asarray(pd.to_numeric(found[column], errors="coerce"), dtype=float).tolist()


def _find_value(
    found: pd.DataFrame, changes: dict[str, tuple[str, object]], path: Path
) -> str | None:
    """A column with a unit in its name, else one of the usual names.

    Raises:
        OptionError: Several columns might be it.
    """
    used = {source for source, _ in changes.values()}
    units = [str(c) for c in found if UNIT.match(str(c)) and str(c) not in used]
    numbers = [c for c in units if pd.api.types.is_numeric_dtype(found[c])]
    if len(numbers) > 1:
        raise OptionError(
            f"{path} has several columns with a unit: {', '.join(numbers)}. "
            "Say which is to be predicted with --value COLUMN."
        )
    return numbers[0] if numbers else _find(found, "value")


def _read_manifest(path: Path, table: pd.DataFrame) -> Manifest:
    """The manifest of tassl itself, as `write_manifest` left it."""
    lists: Sequence[str] = [name for name, blank in BLANK.items() if blank == () or blank is None]
    facts, table = table.attrs, table.loc[:, list(COLUMNS)].copy()
    for name in lists:
        table[name] = pd.Series(
            [None if value is None else tuple(np.asarray(value).tolist()) for value in table[name]],
            dtype=object,
        )
    root = Path(facts.get("root", path.parent))
    return Manifest(
        root if root.is_absolute() else path.parent / root,
        facts.get("layout", "table"),
        table,
        tuple(facts.get("classes", ())),
        tuple(facts.get("notes", ())),
        unit=facts.get("unit", ""),
        instances=bool(facts.get("instances", False)),
    )
