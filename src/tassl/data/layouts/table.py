"""A table (CSV, TSV or parquet) of one row per image, alone or beside a folder of images.

Columns are found by the names that people give them. tassl's own manifest is such a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from tassl.data.layouts.columns import NAMES, Told, find_column, understand
from tassl.data.layouts.matching import match_names
from tassl.data.layouts.subjects import NO_SUBJECTS, note_subjects
from tassl.data.manifest import BLANK, COLUMNS, Manifest, SetAside, make_table
from tassl.data.progress import Track
from tassl.errors import InputError, OptionError

ADDED = {"sex", "age"}  # manifests written before do without them
ENDINGS = (".csv", ".tsv", ".parquet")
WANTED = "a CSV, TSV or parquet file with a column of image files"


def recognises(path: Path) -> bool:
    """A table file is ours."""
    return path.is_file() and path.suffix.lower() in ENDINGS


def read(
    path: Path, *, label: str | None = None, value: str | None = None, track: Track = iter
) -> Manifest:
    """Read the manifest of a table; files are relative to its folder.

    Args:
        path: The table.
        label: As for `join`.
        value: As for `join`.
        track: Shows how far the walk over files is.

    Raises:
        InputError: The table cannot be read or names no files.
        OptionError: As for `join`; or the table is a manifest, where there is nothing to choose.
    """
    table = load(path)
    if set(COLUMNS) - ADDED <= set(table):
        if label or value:
            raise OptionError(f"{path} is a manifest of tassl: leave out --label and --value.")
        return _read_manifest(path, table)
    if (column := find_column(table, "file")) is None:
        raise InputError(
            f"{path} has the columns {', '.join(table)}; wanted one of "
            f"{', '.join(NAMES['file'])}. Rename yours, or give the images as DATA and this table "
            "as --csv."
        )
    places = table[column].fillna("").astype(str).str.strip()
    files = track([path.parent / place for place in places])
    here = np.array([file.is_file() for file in files])
    told = understand(table.iloc[np.flatnonzero(here)], path, label, value)
    rows: list[dict[str, object]] = [
        {"id": place, "file": place, "subject": place}
        | {name: values[k] for name, values in told.columns.items() if values[k] != ""}
        for k, place in enumerate(places[here])
    ]
    gone = tuple(SetAside(place, "is not there") for place in places[~here])
    notes = [] if "subject" in told.columns else [note_subjects([str(r["file"]) for r in rows])]
    return Manifest(
        path.parent,
        "table",
        make_table(rows),
        told.classes,
        (*notes, *_say(path, told)),
        gone,
        told.unit,
        regions=dict.fromkeys(told.regions, ()),
    )


def join(
    manifest: Manifest, path: Path, *, label: str | None = None, value: str | None = None
) -> Manifest:
    """Add what a table knows of the images of a manifest, by file name.

    Where it knows nothing of an image, what the data set tells of it stays; but labels, findings
    and values are taken from the table alone, since their classes and unit are the table's.

    Args:
        manifest: The images.
        path: The table; a column of subjects serves where it has none of files.
        label: Column of the class, or those of findings; found by its name unless given.
        value: Column of the number to predict; found by its name or its unit unless given.

    Raises:
        InputError: The table names none of the images, or does not say clearly which it means.
        OptionError: A column given is not there, or several may be meant.
    """
    table = load(path)
    column = find_column(table, "file") or find_column(table, "subject")
    if column is None:
        raise InputError(
            f"{path} has the columns {', '.join(table)}; wanted one of {', '.join(NAMES['file'])}. "
            "Rename yours."
        )
    names = [str(name) for name in table[column].fillna("")]
    rows = match_names(manifest.table.file.tolist(), names, path)
    if not rows:
        raise InputError(
            f"{path} names none of the images: its column {column!r} starts with {names[0]!r}. "
            "Give their file names there, or enough of their paths to tell them apart."
        )
    told = understand(table.iloc[list(rows.values())], path, label, value)
    named = "subject" in told.columns
    kept = [note for note in manifest.notes if not (named and NO_SUBJECTS in note)]
    notes = [*kept, *_say(path, told)]
    if missing := len(manifest.table) - len(rows):
        notes.append(f"{missing} images are not in {path.name}")
    return replace(
        manifest,
        table=manifest.table.assign(**_merge(manifest.table, told, list(rows))),
        classes=told.classes or manifest.classes,
        unit=told.unit or manifest.unit,
        regions=dict.fromkeys(told.regions, ()) or manifest.regions,
        notes=tuple(notes),
    )


def _merge(table: pd.DataFrame, told: Told, images: list[int]) -> dict[str, pd.Series]:
    """The columns that a table tells of, for these images of a manifest."""
    merged = {}
    for name, values in told.columns.items():
        whole = name in ("label", "findings", "value") or bool(name == "masks" and told.regions)
        own = [BLANK[name]] * len(table) if whole else table[name].tolist()
        for image, entry in zip(images, values, strict=True):
            if whole or entry not in ("", ()):
                own[image] = entry
        merged[name] = pd.Series(own, index=table.index)
    for name, other in (("findings", "label"), ("label", "findings")):
        if name in told.columns:
            merged[other] = pd.Series([BLANK[other]] * len(table), index=table.index)
    return merged


def _say(path: Path, told: Told) -> tuple[str, ...]:
    """Which column was taken for what."""
    used = ", ".join(f"{name} from {source!r}" for name, source in told.sources.items())
    return (f"{path.name}: {used or 'no column was understood but the files'}", *told.notes)


def load(path: Path) -> pd.DataFrame:
    """Read a table.

    Raises:
        InputError: It cannot be read, or is empty.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file. Give a CSV, TSV or parquet file as --csv.")
    try:
        if path.suffix.lower() == ".parquet":
            table = pd.read_parquet(path)
        else:  # as text, so that "007" stays what it is
            sep = "\t" if path.suffix.lower() == ".tsv" else ","
            table = pd.read_csv(path, sep=sep, dtype=str).drop_duplicates()
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{path} cannot be read as a table: {reason}. Save it anew as CSV, with "
            "the names of the columns first."
        ) from None
    if table.empty:
        raise InputError(f"{path} holds no rows; wanted one per image.")
    return table.rename(columns=str)


def _read_manifest(path: Path, table: pd.DataFrame) -> Manifest:
    """The manifest of tassl itself, as `write_manifest` left it."""
    lists: Sequence[str] = [name for name, blank in BLANK.items() if blank == () or blank is None]
    facts = table.attrs
    table = table.assign(**{name: BLANK[name] for name in ADDED - set(table)}).loc[:, list(COLUMNS)]
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
        tuple(SetAside(*pair) for pair in facts.get("set_aside", ())),
        unit=facts.get("unit", ""),
        instances=bool(facts.get("instances", False)),
        regions={name: tuple(own) for name, own in facts.get("regions", {}).items()},
    )
