"""The command line: parse, call one function, print. Heavy imports stay inside commands."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from urllib.parse import urlsplit

import typer

from tassl.cli_evidence import app as evidence
from tassl.cli_options import (
    BUDGETS,
    COURSE,
    DRAWS,
    JUDGING,
    PREPARING,
    PRETRAINING,
    READING,
    SCOUTING,
    SHARING,
    SITUATION,
    STEPS,
    Data,
    Method,
    Modality,
    Out,
    Seed,
    Task,
    list_names,
    split_pair,
    takes,
)
from tassl.cli_suite import benchmark, compare, export
from tassl.errors import OptionError, TasslError
from tassl.modality import MODALITIES
from tassl.registry import look_up

if TYPE_CHECKING:
    from tassl.study import Outcome

app = typer.Typer(
    name="tassl",
    help="Find out whether self-supervised pretraining helps on your medical images, and which.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(evidence, name="evidence")


@app.command()
@takes(PREPARING, PRETRAINING, JUDGING)
def run(
    data: Data,
    modality: Modality,
    task: Task,
    out: Out,
    method: Annotated[list[str] | None, typer.Option(help="Methods to try; repeat.")] = None,
    scout: Annotated[str | None, typer.Option(help="Let pilots of 30m choose among them.")] = None,
    **choices: Any,
) -> None:
    """Index, pretrain, adapt, evaluate and report: from files to a verdict."""
    from tassl.steps import run as run_all

    methods = tuple(method or ())
    choices |= {"methods": methods, "scout": scout}
    _show(run_all(data, modality=modality, task=task, out=out, **choices))


@app.command()
def demo(
    out: Out = Path("runs/demo"),
    seed: Seed = 0,
) -> None:
    """Run the main job, small, on the embedded phantom cohort; needs no data and no network."""
    from tassl.demo import run_demo

    _show(run_demo(out, seed))


@app.command()
@takes(READING)
def index(
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Write the manifest as parquet.")] = None,
    **choices: Any,
) -> None:
    """Say how a file or folder is understood: images, subjects, labels, splits."""
    from tassl.data.layouts import index as index_data
    from tassl.data.manifest import write_manifest
    from tassl.data.progress import show_files, show_transfer

    if out and out.suffix != ".parquet":
        raise OptionError(f"--out is {out}; wanted a name that ends in .parquet.")
    manifest = index_data(data, **choices, watch=show_transfer, track=show_files)
    typer.echo(manifest.account())
    if out:
        if out.exists():
            raise OptionError(f"{out} exists. Choose another --out.")
        try:
            write_manifest(manifest, out)
        except OSError as error:
            problem = f"{out} cannot be written ({error.strerror}). Choose another --out."
            raise OptionError(problem) from None
        typer.echo(f"written  {out}")


@app.command()
def fetch(
    name: Annotated[str | None, typer.Argument(help="Known set; all are listed without.")] = None,
    size: Annotated[int, typer.Option(help="Pixels along a side: 28, 64, 128 or 224.")] = 28,
    out: Annotated[Path, typer.Option(help="Folder for the file.")] = Path("data"),
) -> None:
    """Fetch an open data set, and say how to run it; or list those that are known."""
    from tassl.data.catalogue import read_catalogue
    from tassl.data.fetching import fetch as fetch_file
    from tassl.data.progress import show_transfer

    if name is None:
        return _list_known(size)
    known = look_up(read_catalogue(), name, "known data set")
    url, md5 = known.locate(size)
    file = out / Path(urlsplit(url).path).name
    with show_transfer(f"Fetching {file.name}") as on_bytes:
        fetched = fetch_file(url, file, md5, on_bytes=on_bytes)
    typer.echo(f"{'fetched' if fetched else 'is here'}  {file}, its sum is right")
    typer.echo(f"licence  {known.licence}; made from {known.source}")
    options = f"--modality {known.modality} --task {known.task}"
    typer.echo(f"next     tassl run {shlex.quote(str(file))} {options} --out runs/{file.stem}")


@app.command()
@takes(PREPARING, BUDGETS)
def audit(
    data: Data, modality: Modality, out: Out, task: Task = "classification", **choices: Any
) -> None:
    """Look for what is wrong with the data: copies, leaks, rare classes, markers, shortcuts."""
    from tassl.steps import audit as audit_data

    audit_data(data, modality=modality, out=out, task=task, **choices)


@app.command()
@takes(PREPARING, PRETRAINING, COURSE, SHARING)
def pretrain(
    data: Data,
    method: Method,
    modality: Modality,
    out: Out,
    task: Task = "classification",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it costs, from a few real steps.")
    ] = False,
    **choices: Any,
) -> None:
    """Pretrain one method on the images outside the test split."""
    from tassl.steps import plan
    from tassl.steps import pretrain as pretrain_data

    step = plan if dry_run else pretrain_data
    step(data, method=method, modality=modality, out=out, task=task, **choices)


@app.command()
@takes(PREPARING, STEPS)
def adapt(
    data: Data,
    modality: Modality,
    task: Task,
    out: Out,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder; scratch unless given.")] = None,
    labels: Annotated[int | None, typer.Option(help="Labelled subjects; all unless given.")] = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="Leave the encoder as it is.")] = False,
    **choices: Any,
) -> None:
    """Fit one head with few labels, and score it on the test subjects."""
    from tassl.steps import adapt as adapt_data

    ours = {"checkpoint": checkpoint, "labels": labels, "frozen": frozen}
    adapt_data(data, modality=modality, task=task, out=out, **ours, **choices)


@app.command()
@takes(PREPARING, JUDGING)
def evaluate(
    data: Data,
    modality: Modality,
    task: Task,
    out: Out,
    checkpoint: Annotated[list[str], typer.Option(help="As NAME=FOLDER; repeat.")],
    **choices: Any,
) -> None:
    """Compare pretrained checkpoints with the baselines, under the protocol."""
    from tassl.steps import evaluate as evaluate_data

    places = dict(split_pair(item, "--checkpoint NAME=FOLDER") for item in checkpoint)
    _show(evaluate_data(data, places, modality=modality, task=task, out=out, **choices))


@app.command()
@takes(SITUATION)
def advise(
    modality: Annotated[str | None, typer.Option(help=f"One of: {list_names(MODALITIES)}.")] = None,
    task: Annotated[
        str | None, typer.Option(help="As for a run; detection and reconstruction too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write a page that answers for every situation.")
    ] = None,
    **choices: Any,
) -> None:
    """Say which pretraining to try first, or none, and what speaks for and against it."""
    if html:
        from tassl.report.advice_page import write_advisor

        typer.echo(f"written  {write_advisor(html)}")
        if not (modality or task):
            return
    if not (modality and task):
        raise OptionError("Give --modality and --task; or --html FILE for a page of all.")
    from tassl.advisor import advise as weigh
    from tassl.advisor.telling import tell
    from tassl.amounts import parse_memory, parse_time

    time, memory = choices.pop("time"), choices.pop("memory")
    advice = weigh(
        modality,
        task,
        minutes=time and parse_time(time) / 60,
        memory=memory and parse_memory(memory) / 1e9,
        **choices,
    )
    if as_json:
        import json

        typer.echo(json.dumps(advice.facts(), indent=1))
    else:
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(tell(advice)))


@app.command()
@takes(PREPARING, SCOUTING)
def scout(
    data: Data,
    modality: Modality,
    task: Task,
    out: Out,
    time: Annotated[str, typer.Option(help="For all of it, as in 30m or 2h.")] = "30m",
    method: Annotated[list[str] | None, typer.Option(help="Candidates; repeat.")] = None,
    **choices: Any,
) -> None:
    """Try pretraining strategies, small, on your images; say which to run in full, or none."""
    from tassl.steps import scout as scout_data

    methods = tuple(method or ())
    scout_data(data, modality=modality, task=task, out=out, time=time, methods=methods, **choices)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Write report.html and card.md of a run folder anew."""
    from tassl.report import write_report

    typer.echo(write_report(run))


@app.command()
@takes(BUDGETS, DRAWS)
def protocol(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    **choices: Any,
) -> None:
    """Say what every comparison does: splits, budgets, arms, tuning, intervals, tests, verdict."""
    from tassl.study.choices import make_protocol
    from tassl.study.rules import describe_protocol, list_facts

    rules = make_protocol(**choices)
    if as_json:
        import json

        typer.echo(json.dumps(list_facts(rules), indent=1))
    else:
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(describe_protocol(rules)))


@app.command()
def modality(
    name: Annotated[str | None, typer.Argument(help=f"One of: {list_names(MODALITIES)}.")] = None,
) -> None:
    """Say what a modality asks for and forbids, with sources; without a name list them all."""
    from rich.console import Console
    from rich.markdown import Markdown

    from tassl.modality.describing import describe_modality, list_modalities

    Console().print(Markdown(describe_modality(name) if name else list_modalities()))


def main() -> NoReturn:
    """Run the command line; an error that a user can mend is one line and exit code 2."""
    try:
        app(standalone_mode=True)
    except TasslError as error:
        print(f"tassl: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)


def _list_known(size: int) -> None:
    """The known data sets that come in this size."""
    from rich.console import Console
    from rich.table import Table

    from tassl.data.catalogue import read_catalogue

    sizes = sorted({size for known in read_catalogue().values() for size in known.files})
    if size not in sizes:
        raise OptionError(f"--size is {size}; wanted one of {', '.join(map(str, sizes))}.")
    table = Table("name", "modality", "labels", box=None, pad_edge=False)
    for title in ("images", "MB at most"):
        table.add_column(title, justify="right")
    table.add_column("licence")
    for name, known in read_catalogue().items():
        if size in known.files:
            numbers = f"{known.images:,}", f"{known.megabytes(size):,.1f}"
            table.add_row(name, known.modality, known.labels, *numbers, known.licence)
    Console(highlight=False).print(table)
    typer.echo("next     tassl fetch NAME --size PIXELS, as in: tassl fetch breastmnist --size 64")


def _show(outcome: Outcome) -> None:
    """The short table, the verdict and the report's path."""
    from rich.console import Console
    from rich.table import Table

    from tassl.evaluation.metrics import METRICS, show_score

    metric = METRICS[str(outcome.verdict["metric"])].name(str(outcome.verdict["measured_in"]))
    table = Table("arm", "labels", metric, "95% interval", "against the best baseline")
    for row in outcome.results.to_dict("records"):
        if row["metric"] == outcome.verdict["metric"]:
            span = f"{show_score(row['low'])} to {show_score(row['high'])}"
            difference = show_score(row["difference"], "+")
            gap = f"{row['verdict']} ({difference})" if row["method"] else ""
            table.add_row(row["arm"], row["budget"], show_score(row["mean"]), span, gap)
    console = Console(highlight=False)
    console.print(table)
    console.print(outcome.verdict["sentence"], style="bold", markup=False)
    console.print(f"Report: {outcome.report}", markup=False, soft_wrap=True)


for command in (benchmark, compare, export):
    app.command()(command)
