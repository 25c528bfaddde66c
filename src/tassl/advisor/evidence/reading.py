"""The evidence base, read: shipped tables and, if asked for, those of this machine."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tassl.advisor.evidence.schema import TABLES, Column

Row = Mapping[str, Any]
SHIPPED = Path(__file__).parent


@dataclass(frozen=True)
class Evidence:
    """The tables of `TABLES`, each a tuple of rows by column name; an empty cell is None."""

    studies: tuple[Row, ...] = ()
    findings: tuple[Row, ...] = ()
    comparisons: tuple[Row, ...] = ()
    results: tuple[Row, ...] = ()
    methods: tuple[Row, ...] = ()


def load(*, local: bool = False) -> Evidence:
    """Read the evidence base.

    Args:
        local: Whether what was added on this machine comes on top of what is shipped.
    """
    shipped = _read_folder(SHIPPED)
    if not local:
        return shipped
    own = _read_folder.__wrapped__(local_folder())
    return Evidence(**{name: getattr(shipped, name) + getattr(own, name) for name in TABLES})


def local_folder() -> Path:
    """Where evidence of this machine lies: in TASSL_CACHE, or in ~/.local/share/tassl."""
    root = os.environ.get("TASSL_CACHE") or Path.home() / ".local" / "share" / "tassl"
    return Path(root) / "evidence"


def read_cells(file: Path) -> list[dict[str, str]]:
    """Read a CSV as text, cell by cell."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines))


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


@cache
def _read_folder(folder: Path) -> Evidence:
    return Evidence(**{name: _read_table(folder / f"{name}.csv", name) for name in TABLES})


def _read_table(file: Path, name: str) -> tuple[Row, ...]:
    if not file.exists():
        return ()
    columns = TABLES[name].columns
    rows = read_cells(file)
    return tuple({column.name: parse(column, row[column.name]) for column in columns} for row in rows)
