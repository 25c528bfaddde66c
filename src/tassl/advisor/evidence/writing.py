"""Tables written, whole or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from tassl.advisor.evidence.reading import Row, unparse
from tassl.advisor.evidence.schema import Table
from tassl.data.files import write_atomically
from tassl.errors import OptionError


def export(file: Path, table: Table, rows: Sequence[Row]) -> None:
    """Write rows to a new file, as CSV or JSON by its ending.

    Raises:
        OptionError: The file exists, cannot be written, or has another ending.
    """
    if file.suffix not in (".csv", ".json"):
        raise OptionError(f"{file} ends in {file.suffix!r}; wanted .csv or .json.")
    if file.exists():
        raise OptionError(f"{file} exists. Choose another --export.")
    try:
        if file.suffix == ".csv":
            write_table(file, table, rows)
        else:
            text = json.dumps(list(rows), indent=1, ensure_ascii=False) + "\n"
            write_atomically(file, lambda draft: draft.write_text(text, encoding="utf-8"))
    except OSError as error:
        problem = f"{file} cannot be written ({error.strerror}). Choose another --export."
        raise OptionError(problem) from None


def write_table(file: Path, table: Table, rows: Sequence[Row]) -> None:
    """Write rows as CSV, in the order of the table's columns."""
    names = [column.name for column in table.columns]

    def save(draft: Path) -> None:
        with draft.open("w", encoding="utf-8", newline="") as target:
            lines = csv.writer(target, lineterminator="\n")
            lines.writerow(names)
            lines.writerows([unparse(row[name]) for name in names] for row in rows)

    write_atomically(file, save)
