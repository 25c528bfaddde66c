"""Do rows keep to the schema? Every problem is named with its table, row and column."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from tassl.advisor.evidence.reading import Cells, Evidence, key_of, parse
from tassl.advisor.evidence.schema import METRICS, TABLES, Column, Table

WANTED = {
    "integer": "a whole number",
    "number": "a number",
    "flag": "yes or no",
    "url": "an address that begins with https://",
}
ADDRESSES = ("https://", "http://", "urn:tassl:")
VALUES = ("value", "baseline_value", "ssl_value", "delta")


def check_tables(tables: Mapping[str, Sequence[Cells]], known: Evidence) -> list[str]:
    """Hold raw rows against the schema, against one another and against what is known.

    Args:
        tables: Rows by name of the table; a column that is not there counts as empty.
        known: Rows that new ones may refer to.

    Returns:
        One line per problem.
    """
    keys = {name: _keys(name, tables, known) for name in TABLES}
    problems = []
    for name, rows in tables.items():
        for number, row in enumerate(rows, 2):
            found = [*check_row(row, TABLES[name]), *_check_references(row, name, keys)]
            problems += [f"{name}, row {number}, {problem}" for problem in found]
        problems += _check_keys(name, rows)
    return problems or _check_together(tables, known)


def check_row(row: Cells, table: Table) -> Iterator[str]:
    """Yield what is wrong with the cells of one row."""
    for column in table.columns:
        cell = row.get(column.name, "")
        if problem := _check_cell(cell, column):
            yield f"column {column.name}: {problem}"


def _check_cell(cell: str, column: Column) -> str:
    if not cell:
        return "it is empty; wanted a value." if column.required else ""
    if column.allowed and cell not in column.allowed:
        near = get_close_matches(cell, column.allowed, n=1, cutoff=0.5)
        words = ", ".join(column.allowed)
        hint = f"Did you mean {near[0]!r}?" if near else f"Use one of: {words}."
        return f"{cell!r} came, which is none of its words. {hint}"
    return "" if _fits(cell, column) else f"{cell!r} came; wanted {WANTED[column.kind]}."


def _fits(cell: str, column: Column) -> bool:
    if column.kind == "flag":
        return cell in ("yes", "no")
    if column.kind == "url":
        return cell.startswith(ADDRESSES) and not any(c.isspace() for c in cell)
    try:
        value = parse(column, cell)
    except ValueError:
        return False
    return not isinstance(value, float) or math.isfinite(value)


def _check_references(row: Cells, name: str, keys: Mapping[str, set[str]]) -> Iterator[str]:
    for column in TABLES[name].columns:
        cell = row.get(column.name, "")
        if column.refers and cell and cell not in keys[column.refers]:
            yield (
                f"column {column.name}: {cell!r} is not in {column.refers}. "
                f"Give a {column.refers} file with it too."
            )


def _check_keys(name: str, rows: Sequence[Cells]) -> Iterator[str]:
    first: dict[tuple[str, ...], int] = {}
    for number, row in enumerate(rows, 2):
        key = key_of(row, TABLES[name])
        if first.setdefault(key, number) != number:
            yield (
                f"{name}, row {number}, column {TABLES[name].key[-1]}: {' '.join(key)!r} "
                f"stands in row {first[key]} too. Take one away."
            )


def _check_together(tables: Mapping[str, Sequence[Cells]], known: Evidence) -> list[str]:
    """What cells must agree on across columns and tables."""
    problems = []
    paradigms = {row["method"]: row["paradigm"] for row in known.methods}
    paradigms |= {row["method"]: row["paradigm"] for row in tables.get("methods", ())}
    metrics = {row["case_id"]: row["metric"] for row in known.comparisons}
    metrics |= {row["case_id"]: row.get("metric") for row in tables.get("comparisons", ())}
    scored: dict[str, set[str]] = {}
    for row in (*known.results, *tables.get("results", ())):
        scored.setdefault(row["case_id"], set()).add(row["method"])

    for name in ("findings", "results"):
        for number, row in enumerate(tables.get(name, ()), 2):
            metric = row.get("metric") if name == "findings" else metrics[row["case_id"]]
            problems += [f"{name}, row {number}, {p}" for p in _check_scale(row, metric)]
    for number, row in enumerate(tables.get("results", ()), 2):
        if row["paradigm"] != paradigms[row["method"]]:
            problems.append(
                f"results, row {number}, column paradigm: {row['paradigm']!r} came, but methods "
                f"has {paradigms[row['method']]!r} for {row['method']!r}. Use that."
            )
    for number, row in enumerate(tables.get("comparisons", ()), 2):
        winners = row["winner"].split(" = ") if row.get("winner") else []
        for winner in set(winners) - scored.get(row["case_id"], set()):
            problems.append(
                f"comparisons, row {number}, column winner: {winner!r} is not among its results. "
                "Give a results file with it too."
            )
    return problems


def _check_scale(row: Cells, metric: str | None) -> Iterator[str]:
    if metric and METRICS[metric].fraction:
        for column in VALUES:
            if (cell := row.get(column)) and abs(float(cell)) > 1:
                yield f"column {column}: {cell} came; {metric} is a share of 1. Divide by 100."


def _keys(name: str, tables: Mapping[str, Sequence[Cells]], known: Evidence) -> set[str]:
    rows = (*getattr(known, name), *tables.get(name, ()))
    return {row.get(TABLES[name].key[0], "") for row in rows}
