"""The commands over finished and many runs: benchmark, compare, export.

Heavy imports stay inside commands.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tassl.errors import OptionError
from tassl.terminal import print_table

if TYPE_CHECKING:
    import pandas as pd

    from tassl.suite.benchmarking import Benchmark
    from tassl.suite.declaring import Suite

Run = Annotated[Path, typer.Argument(help="The folder of a finished run.")]


def benchmark(
    suite: Annotated[str, typer.Argument(help="YAML or TOML file, or: claims, phantoms.")],
    out: Annotated[Path, typer.Option(help="Folder; a suite that was cut short is taken up.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder that paths in the suite are relative to.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Runs at a time; they share the processors.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the runs and the time they take.")
    ] = False,
) -> None:
    """Run many sets, methods, budgets and seeds: one table, and a verdict on each claim."""
    from tassl.suite.benchmarking import run_suite
    from tassl.suite.reading import read_suite

    asked = read_suite(suite, data)
    for name, reason in asked.missing.items():
        typer.echo(f"left out {name}: {reason}")
    _list_runs(asked, out, commands=dry_run)
    if dry_run:
        return

    def tell(cell: Any, state: Any) -> None:
        took = f"{state.seconds / 60:.1f} min"
        typer.echo(f"{state.word:<8} {cell.name}, {took}{state.reason and ': '}{state.reason}")

    _show_benchmark(run_suite(asked, out, jobs, tell))


def compare(
    first: Run,
    second: Run,
    pair: Annotated[
        list[str] | None,
        typer.Option(help="Arm of the first and of the second, as in 'A=B'; repeat."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    csv: Annotated[Path | None, typer.Option(help="New CSV file.")] = None,
) -> None:
    """Compare two finished runs on the test subjects that they share, arm by arm."""
    from tassl.evaluation.pairing import compare_runs, read_tested

    pairs = dict(_split_pair(item) for item in pair) if pair else None
    rows = compare_runs(read_tested(first), read_tested(second), pairs)
    if csv:
        _write_new(csv, rows.to_csv(index=False, float_format="%.6f"), "--csv")
    if as_json:
        typer.echo(rows.to_json(orient="records", indent=1))
        return
    _show_comparison(rows)


def export(
    run: Run,
    to: Annotated[str, typer.Option(help="latex, csv or markdown.")],
    part: Annotated[str, typer.Option(help="results or checklist (CLAIM, TRIPOD+AI).")] = "results",
    metric: Annotated[
        str | None, typer.Option(help="Of the results; that of the verdict unless given.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="New file; printed unless given.")] = None,
) -> None:
    """Write a table for a paper, or a reporting checklist filled in as far as the run knows."""
    from tassl.report.paper import export_run

    text = export_run(run, to, part, metric)
    if out is None:
        typer.echo(text, nl=False)
        return
    _write_new(out, text, "--out")


def _write_new(file: Path, text: str, option: str) -> None:
    from tassl.data.files import write_text

    if file.exists():
        raise OptionError(f"{file} exists. Choose another {option}.")
    try:
        write_text(file, text)
    except OSError as error:
        raise OptionError(
            f"{file} cannot be written ({error.strerror}). Choose another {option}."
        ) from None
    typer.echo(f"written  {file}", err=True)


def _list_runs(suite: Suite, out: Path, *, commands: bool) -> None:
    """What is left to run, and how long it takes as far as anything tells."""
    from tassl.amounts import show_time
    from tassl.suite.cells import estimate_cost, list_cells

    cells = list_cells(suite, out)
    waiting = [cell for cell in cells if not cell.finished]
    costs = [estimate_cost(cell, cells) for cell in waiting]
    if commands:
        for cell, cost in zip(waiting, costs, strict=True):
            time = "unknown" if cost.seconds is None else show_time(cost.seconds)
            typer.echo(f"{cell.name}  {time}, says {cost.source}")
            typer.echo(f"  {shlex.join(['tassl', *cell.words])}")
    known = [cost.seconds for cost in costs if cost.seconds is not None]
    total = f"about {show_time(sum(known))} one after another" if known else "time unknown"
    silent = len(waiting) - len(known)
    rest = f", and {silent} runs of which nothing tells" if silent and known else ""
    typer.echo(f"{len(waiting)} of {len(cells)} runs to do, {total}{rest}")


def _show_benchmark(done: Benchmark) -> None:
    from tassl.suite.page import claims_table

    if done.judgements:
        found = claims_table(done.judgements)
        print_table(found.columns, found.rows)
    for row in done.states.loc[done.states.state == "failed"].to_dict("records"):
        typer.echo(f"failed   {row['folder']}: {row['reason']}")
    typer.echo(f"Table: {done.out / 'suite.csv'}")
    typer.echo(f"Page:  {done.out / 'suite.html'}")


def _show_comparison(rows: pd.DataFrame) -> None:
    from tassl.evaluation.metrics import METRICS, show_score
    from tassl.report.claims import blame_number, tell_word

    names = ("labels", "first", "second", "difference", "95% interval", "adjusted p", "better")
    lines, why = [], blame_number(len(rows), "comparisons")
    for row in rows.to_dict("records"):
        means = (
            f"{row[f'{side}_arm']} {show_score(row[f'{side}_mean'])}"
            for side in ("first", "second")
        )
        ends = (show_score(row[f"difference_{end}"], "+") for end in ("low", "high"))
        gap, p = show_score(row["difference"], "+"), show_score(row["p_adjusted"])
        word = tell_word(row["verdict"], row["difference_low"], row["difference_high"], why)
        lines.append((row["budget"], *means, gap, " to ".join(ends), p, word))
    print_table(names, lines)
    card, told = METRICS[rows.metric[0]], rows.iloc[0]
    typer.echo(
        f"{card.title} on {told.test_subjects} test subjects, first minus second; {card.wish}"
    )
    if not rows.same_labels.all():
        typer.echo("The runs learnt from other labelled images: that luck is in the intervals.")


def _split_pair(item: str) -> tuple[str, str]:
    first, equals, second = item.partition("=")
    if not (first and equals and second):
        raise OptionError(f"--pair is {item!r}; wanted FIRST=SECOND, two names of arms.")
    return first, second
