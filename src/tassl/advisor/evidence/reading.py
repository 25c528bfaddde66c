"""The evidence base, read: shipped tables and, if asked for, those of this machine."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tassl.advisor.evidence.schema import FLOW, TABLES, Column, Table
from tassl.errors import InputError

Cells = Mapping[str, str]
Row = Mapping[str, Any]
SHIPPED = Path(__file__).parent


@dataclass(frozen=True)
class Evidence:
    """The tables of `TABLES`, each a tuple of rows by column name; an empty cell is None.

    Args:
        studies: One row per study.
        methods: One row per name of a method.
        findings: One row per statement of a study.
        comparisons: One row per set of methods that were scored on the same data.
        results: One row per method of a comparison.
    """

    studies: tuple[Row, ...] = ()
    methods: tuple[Row, ...] = ()
    findings: tuple[Row, ...] = ()
    comparisons: tuple[Row, ...] = ()
    results: tuple[Row, ...] = ()


def load(*, local: bool = False) -> Evidence:
    """Read the evidence base.

    Args:
        local: Whether what was added on this machine comes on top of what is shipped.

    Raises:
        InputError: A table of this machine is damaged.
    """
    shipped = _read_shipped()
    if not local:
        return shipped
    return Evidence(**{name: _join(getattr(shipped, name), name) for name in TABLES})


def load_flow() -> tuple[Row, ...]:
    """Read how studies came into the base, or did not."""
    return read_table(SHIPPED / "flow.csv", FLOW)


def local_folder() -> Path:
    """Where evidence of this machine lies: in TASSL_CACHE, or in ~/.local/share/tassl."""
    root = os.environ.get("TASSL_CACHE") or Path.home() / ".local" / "share" / "tassl"
    return Path(root) / "evidence"


def read_cells(file: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read the header and the rows of a CSV, as text; cells that a row lacks are empty.

    Raises:
        InputError: It is no table, a column stands there twice, or a row has too many cells.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines, restval="", strict=True)
            header, rows = list(table.fieldnames or ()), list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{file} cannot be read ({why}). Give a CSV file in UTF-8.") from None
    for number, row in enumerate(rows, 2):
        if None in row:
            raise InputError(
                f"{file}, row {number} has more cells than the header. "
                "Put cells that hold a comma in double quotes."
            )
    if twice := [name for name in header if header.count(name) > 1]:
        raise InputError(f"{file} has two columns {twice[0]!r}. Take one away.")
    return header, rows


def read_table(file: Path, table: Table) -> tuple[Row, ...]:
    """Read a table that was checked when it was written; no file, no rows.

    Raises:
        InputError: It is damaged.
    """
    if not file.exists():
        return ()
    _, rows = read_cells(file)
    try:
        return tuple({c.name: parse(c, row[c.name]) for c in table.columns} for row in rows)
    except (KeyError, ValueError) as error:
        raise InputError(f"{file} is damaged ({error}). Mend it or take it away.") from None


def parse(column: Column, cell: str) -> Any:
    """Turn a cell into a value; an empty one into None.

    Raises:
        ValueError: It is no number.
    """
    if not cell:
        return None
    if column.kind == "flag":
        return cell == "yes"
    return {"integer": int, "number": float}.get(column.kind, str)(cell)


def key_of(row: Row, table: Table) -> tuple[Any, ...]:
    """What tells this row from all others of its table."""
    return tuple(row.get(name, "") for name in table.key)


def unparse(value: Any) -> str:
    """Turn a value into a cell: `parse` the other way round."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _join(shipped: tuple[Row, ...], name: str) -> tuple[Row, ...]:
    """Add the rows of this machine; one that is shipped by now is not counted twice."""
    there = {key_of(row, TABLES[name]) for row in shipped}
    own = read_table(local_folder() / f"{name}.csv", TABLES[name])
    return shipped + tuple(row for row in own if key_of(row, TABLES[name]) not in there)


@cache
def _read_shipped() -> Evidence:
    return Evidence(**{name: read_table(SHIPPED / f"{name}.csv", TABLES[name]) for name in TABLES})
