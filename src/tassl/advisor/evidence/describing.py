"""The schema in words, for the command line and for docs/evidence.md."""

from __future__ import annotations

from tassl.advisor.evidence.schema import FLOW, METRICS, TABLES, Column, Table


def describe_tables() -> str:
    """Every table, column and metric, in Markdown."""
    parts = [_describe(name, table) for name, table in {**TABLES, "flow": FLOW}.items()]
    return "\n\n".join([*parts, _describe_metrics()])


def _describe(name: str, table: Table) -> str:
    lines = [f"| {c.name} | {_kind(c)} | {c.about} |" for c in table.columns]
    head = f"### {name}.csv\n\n{table.about} Key: {', '.join(table.key)}."
    return "\n".join([f"{head}\n", "| column | cells | what it says |", "|---|---|---|", *lines])


def _kind(column: Column) -> str:
    kind = "yes, no" if column.kind == "flag" else ", ".join(column.allowed) or column.kind
    if column.refers:
        kind = f"in {column.refers}"
    return kind if column.required else f"{kind}; may be empty"


def _describe_metrics() -> str:
    lines = [
        f"| {name} | {scale.title} | {'higher' if scale.higher_is_better else 'lower'} | "
        f"{'share of 1' if scale.fraction else 'as printed'} |"
        for name, scale in METRICS.items()
    ]
    head = ["### Metrics", "", "| metric | what it is | better | values |", "|---|---|---|---|"]
    return "\n".join([*head, *lines])
