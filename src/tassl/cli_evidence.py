"""The commands below `tassl evidence`: what was published, what was measured here, what is missing.

Heavy imports stay inside commands.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from tassl.advisor.evidence.schema import DIMS, MODALITY, REGIMES, SSL, TABLES, TASKS
from tassl.modality import MODALITIES
from tassl.registry import look_up
from tassl.terminal import print_table

app = typer.Typer(
    help="Published results on self-supervised learning, with sources, and your own runs.",
    no_args_is_help=True,
)


def _one_of(words: Any) -> str:
    return f"One of: {', '.join(words)}."


Modality = Annotated[str | None, typer.Option(help=_one_of(MODALITY))]
Task = Annotated[str | None, typer.Option(help=_one_of(TASKS))]
Paradigm = Annotated[str | None, typer.Option(help=_one_of(SSL))]
Labels = Annotated[str | None, typer.Option(help=f"Amount of labels. {_one_of(REGIMES)}")]
Dims = Annotated[str | None, typer.Option(help=_one_of(DIMS))]
SHOWN = {
    "studies": ("study_id", "year", "first_author", "title", "seen"),
    "methods": ("method", "canonical", "paradigm"),
    "comparisons": ("case_id", "modality", "task", "dataset", "label_regime", "metric", "winner"),
    "results": ("case_id", "method", "paradigm", "value"),
}


@app.command("list")
def list_rows(
    modality: Modality = None,
    task: Task = None,
    paradigm: Paradigm = None,
    labels: Labels = None,
    dims: Dims = None,
    since: Annotated[int | None, typer.Option(help="First year.")] = None,
    until: Annotated[int | None, typer.Option(help="Last year.")] = None,
    table: Annotated[str, typer.Option(help=_one_of(TABLES))] = "findings",
    rows: Annotated[int, typer.Option(min=0, help="Most rows to print.")] = 20,
    export: Annotated[Path | None, typer.Option(help="New .csv or .json file.")] = None,
) -> None:
    """List the evidence that fits, count it, and write it to a file if asked."""
    from tassl.advisor.evidence.browsing import Filter, select
    from tassl.advisor.evidence.reading import load, unparse
    from tassl.advisor.evidence.writing import export as write

    kept = look_up(TABLES, table, "table")
    found = select(load(local=True), Filter(modality, task, paradigm, labels, dims, since, until))
    chosen = getattr(found, table)
    if export:
        write(export, kept, chosen)
    if table == "findings":
        for finding in chosen[:rows]:
            typer.echo(_describe(finding))
    else:
        names = SHOWN[table]
        print_table(names, [[unparse(row[name]) for name in names] for row in chosen[:rows]])
    if len(chosen) > rows:
        typer.echo(f"and {len(chosen) - rows} more rows: --rows or --export shows them")
    typer.echo(", ".join(f"{len(getattr(found, name))} {name}" for name in TABLES))
    if export:
        typer.echo(f"written  {export}")


@app.command()
def add(
    places: Annotated[list[Path], typer.Argument(help="CSV files, folders of runs and scouts.")],
) -> None:
    """Add your own evidence, or a run's; it stays on this machine."""
    from tassl.advisor.evidence.adding import add as add_places
    from tassl.advisor.evidence.reading import local_folder

    counts = add_places(places)
    typer.echo("added    " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    typer.echo(f"kept in  {local_folder()}")


@app.command()
def gaps(modality: Modality = None, task: Task = None) -> None:
    """Count studies by modality, task and paradigm, and say which cells are empty."""
    from tassl.advisor.evidence.browsing import Filter, count_cells, find_gaps, select
    from tassl.advisor.evidence.reading import load

    found = select(load(local=True), Filter(modality, task))
    kinds, jobs = [modality] if modality else [*MODALITIES], [task] if task else TASKS
    counts, empty = count_cells(found), len(find_gaps(found, kinds, jobs))
    lines = [
        [kind, job, *(str(counts[kind, job, paradigm] or "-") for paradigm in SSL)]
        for kind, job in product(kinds, jobs)
    ]
    print_table(("modality", "task", *SSL), lines)
    typer.echo(f"{empty} of {len(lines) * len(SSL)} cells are empty (-); numbers count studies")


@app.command()
def flow() -> None:
    """Say how studies came into the base: identified, duplicates, excluded, included."""
    from tassl.advisor.evidence.reading import load, load_flow

    counted = ("studies", "findings", "comparisons")
    lines = [
        [row["stage"], row["reason"], *(str(row[name]) for name in counted)] for row in load_flow()
    ]
    included = ["included", "", *(str(len(getattr(load(), name))) for name in counted)]
    print_table(("stage", "reason", *counted), [*lines, included])


@app.command()
def columns() -> None:
    """Say what a CSV file to add holds: tables, columns, allowed words."""
    from rich.console import Console
    from rich.markdown import Markdown

    from tassl.advisor.evidence.describing import describe_tables

    Console().print(Markdown(describe_tables()))


def _describe(finding: Any) -> str:
    """A finding in three lines: where it holds, what it says, who says so."""
    place = ("modality", "dims", "task", "paradigm", "label_regime")
    facts = ", ".join(finding[name] for name in place if finding[name])
    source = f"{finding['source_url']} ({finding['seen']})"
    return f"{finding['study_id']}: {facts}\n  {finding['finding']}\n  {source}"
