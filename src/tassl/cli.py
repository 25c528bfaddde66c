"""The command line: parse, call one function, print. Heavy imports stay inside commands."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from urllib.parse import urlsplit

import typer

from tassl.errors import OptionError, TasslError
from tassl.heads import HEADS
from tassl.methods import METHODS
from tassl.modality import MODALITIES
from tassl.networks import NETWORKS
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


def _names(registry: dict[str, Any]) -> str:
    return ", ".join(registry)


Data = Annotated[
    str, typer.Argument(help="File or folder of images, table or manifest; or its address.")
]
Modality = Annotated[str, typer.Option(help=f"One of: {_names(MODALITIES)}.")]
Task = Annotated[str, typer.Option(help=f"One of: {_names(HEADS)}.")]
Out = Annotated[Path, typer.Option(help="New folder; an unfinished run is taken up.")]
Method = Annotated[str, typer.Option(help=f"One of: {_names(METHODS)}.")]
Methods = Annotated[list[str] | None, typer.Option("--method", help="Methods to try; repeat.")]
Network = Annotated[str | None, typer.Option(help=f"One of: {_names(NETWORKS)}.")]
Locality = Annotated[str | None, typer.Option(help="Where the sign sits: global or local.")]
Size = Annotated[int | None, typer.Option(help="Most pixels along a side.")]
Epochs = Annotated[int | None, typer.Option(help="Passes of each pretraining.")]
BatchSize = Annotated[int | None, typer.Option("--batch", help="Images per pretraining step.")]
Devices = Annotated[int, typer.Option(help="Devices that share each batch, one process each.")]
Nodes = Annotated[int, typer.Option(help="Machines that do; start the command on each.")]
Strategy = Annotated[str, typer.Option(help="ddp copies the weights, fsdp shares them out.")]
Steps = Annotated[int | None, typer.Option(help="Optimiser steps of each trained arm.")]
Budgets = Annotated[str | None, typer.Option(help="Labelled subjects, as in 5,10,25.")]
Draws = Annotated[int | None, typer.Option(help="Label subsets per budget.")]
Seed = Annotated[int, typer.Option(help="Same seed, same results.")]
Shuffle = Annotated[bool, typer.Option("--shuffle-labels", help="Negative control.")]
Layout = Annotated[str | None, typer.Option(help="Layout, where recognition guesses wrong.")]
Subject = Annotated[str | None, typer.Option(help="Regular expression: subject in file name.")]
Csv = Annotated[str | None, typer.Option(help="Table that tells more of the images, by file name.")]
Label = Annotated[str | None, typer.Option(help="Its column of the class.")]
Value = Annotated[str | None, typer.Option(help="Its column of the number to predict.")]
OwnSplits = Annotated[bool, typer.Option("--own-splits", help="Forget the splits given.")]
DropNear = Annotated[
    bool, typer.Option("--drop-near-duplicates", help="Take copies across the split out.")
]
Changes = Annotated[list[str] | None, typer.Option("--augment", help="As crop=0.6; repeat.")]
Allow = Annotated[list[str] | None, typer.Option(help="Permit a banned augmentation; repeat.")]


@app.command()
def run(
    data: Data,
    modality: Modality,
    task: Task,
    out: Out,
    method: Methods = None,
    network: Network = None,
    locality: Locality = None,
    size: Size = None,
    epochs: Epochs = None,
    batch: BatchSize = None,
    steps: Steps = None,
    budgets: Budgets = None,
    draws: Draws = None,
    seed: Seed = 0,
    shuffle_labels: Shuffle = False,
    layout: Layout = None,
    subject: Subject = None,
    csv: Csv = None,
    label: Label = None,
    value: Value = None,
    own_splits: OwnSplits = False,
    drop_near_duplicates: DropNear = False,
    augment: Changes = None,
    allow: Allow = None,
) -> None:
    """Index, pretrain, adapt, evaluate and report: from files to a verdict."""
    from tassl.steps import run as run_all

    outcome = run_all(
        data,
        modality=modality,
        task=task,
        out=out,
        methods=tuple(method or ()),
        network=network,
        locality=locality,
        size=size,
        epochs=epochs,
        batch=batch,
        steps=steps,
        budgets=_numbers(budgets),
        draws=draws,
        seed=seed,
        shuffle_labels=shuffle_labels,
        layout=layout,
        subject=subject,
        csv=csv,
        label=label,
        value=value,
        own_splits=own_splits,
        drop_near_duplicates=drop_near_duplicates,
        augment=_strengths(augment),
        allow=tuple(allow or ()),
    )
    _show(outcome)


@app.command()
def demo(
    out: Out = Path("runs/demo"),
    seed: Seed = 0,
) -> None:
    """Run the main job, small, on the embedded phantom cohort; needs no data and no network."""
    from tassl.demo import run_demo

    _show(run_demo(out, seed))


@app.command()
def index(
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Write the manifest as parquet.")] = None,
    layout: Layout = None,
    subject: Subject = None,
    csv: Csv = None,
    label: Label = None,
    value: Value = None,
    own_splits: OwnSplits = False,
) -> None:
    """Say how a file or folder is understood: images, subjects, labels, splits."""
    from tassl.data.layouts import index as index_data
    from tassl.data.manifest import write_manifest
    from tassl.data.progress import show_transfer

    manifest = index_data(
        data,
        layout=layout,
        subject=subject,
        csv=csv,
        label=label,
        value=value,
        own_splits=own_splits,
        watch=show_transfer,
    )
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
def audit(
    data: Data,
    modality: Modality,
    out: Out,
    task: Task = "classification",
    size: Size = None,
    budgets: Budgets = None,
    seed: Seed = 0,
    layout: Layout = None,
    subject: Subject = None,
    csv: Csv = None,
    label: Label = None,
    value: Value = None,
    own_splits: OwnSplits = False,
) -> None:
    """Look for what is wrong with the data: copies, leaks, rare classes, markers, shortcuts."""
    from tassl.steps import audit as audit_data

    audit_data(
        data,
        modality=modality,
        out=out,
        task=task,
        size=size,
        budgets=_numbers(budgets),
        seed=seed,
        layout=layout,
        subject=subject,
        csv=csv,
        label=label,
        value=value,
        own_splits=own_splits,
    )


@app.command()
def pretrain(
    data: Data,
    method: Method,
    modality: Modality,
    out: Out,
    task: Task = "classification",
    network: Network = None,
    locality: Locality = None,
    size: Size = None,
    epochs: Epochs = None,
    batch: BatchSize = None,
    devices: Devices = 1,
    nodes: Nodes = 1,
    strategy: Strategy = "ddp",
    seed: Seed = 0,
    layout: Layout = None,
    subject: Subject = None,
    csv: Csv = None,
    label: Label = None,
    value: Value = None,
    own_splits: OwnSplits = False,
    drop_near_duplicates: DropNear = False,
    augment: Changes = None,
    allow: Allow = None,
) -> None:
    """Pretrain one method on the images outside the test split."""
    from tassl.steps import pretrain as pretrain_data

    pretrain_data(
        data,
        method=method,
        modality=modality,
        out=out,
        task=task,
        network=network,
        locality=locality,
        size=size,
        epochs=epochs,
        batch=batch,
        devices=devices,
        nodes=nodes,
        strategy=strategy,
        seed=seed,
        layout=layout,
        subject=subject,
        csv=csv,
        label=label,
        value=value,
        own_splits=own_splits,
        drop_near_duplicates=drop_near_duplicates,
        augment=_strengths(augment),
        allow=tuple(allow or ()),
    )


@app.command()
def adapt(
    data: Data,
    modality: Modality,
    task: Task,
    out: Out,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder; scratch unless given.")] = None,
    labels: Annotated[int | None, typer.Option(help="Labelled subjects; all unless given.")] = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="Leave the encoder as it is.")] = False,
    steps: Steps = None,
    seed: Seed = 0,
    layout: Layout = None,
    subject: Subject = None,
    csv: Csv = None,
    label: Label = None,
    value: Value = None,
    own_splits: OwnSplits = False,
    drop_near_duplicates: DropNear = False,
) -> None:
    """Fit one head with few labels, and score it on the test subjects."""
    from tassl.steps import adapt as adapt_data

    adapt_data(
        data,
        modality=modality,
        task=task,
        out=out,
        checkpoint=checkpoint,
        labels=labels,
        frozen=frozen,
        steps=steps,
        seed=seed,
        layout=layout,
        subject=subject,
        csv=csv,
        label=label,
        value=value,
        own_splits=own_splits,
        drop_near_duplicates=drop_near_duplicates,
    )


@app.command()
def evaluate(
    data: Data,
    modality: Modality,
    task: Task,
    out: Out,
    checkpoint: Annotated[list[str], typer.Option(help="As NAME=FOLDER; repeat.")],
    steps: Steps = None,
    budgets: Budgets = None,
    draws: Draws = None,
    seed: Seed = 0,
    shuffle_labels: Shuffle = False,
    layout: Layout = None,
    subject: Subject = None,
    csv: Csv = None,
    label: Label = None,
    value: Value = None,
    own_splits: OwnSplits = False,
    drop_near_duplicates: DropNear = False,
) -> None:
    """Compare pretrained checkpoints with the baselines, under the protocol."""
    from tassl.steps import evaluate as evaluate_data

    outcome = evaluate_data(
        data,
        dict(_pair(item, "--checkpoint NAME=FOLDER") for item in checkpoint),
        modality=modality,
        task=task,
        out=out,
        steps=steps,
        budgets=_numbers(budgets),
        draws=draws,
        seed=seed,
        shuffle_labels=shuffle_labels,
        layout=layout,
        subject=subject,
        csv=csv,
        label=label,
        value=value,
        own_splits=own_splits,
        drop_near_duplicates=drop_near_duplicates,
    )
    _show(outcome)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Write report.html and card.md of a run folder anew."""
    from tassl.report import write_report

    typer.echo(write_report(run))


@app.command()
def modality(
    name: Annotated[str | None, typer.Argument(help=f"One of: {_names(MODALITIES)}.")] = None,
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


def _numbers(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise OptionError(f"--budgets {text!r}: wanted whole numbers, as in 5,10,25.") from None


def _strengths(items: list[str] | None) -> dict[str, float]:
    pairs = dict(_pair(item, "--augment NAME=NUMBER") for item in items or [])
    try:
        return {name: float(value) for name, value in pairs.items()}
    except ValueError:
        raise OptionError(f"--augment {items}: wanted numbers, as in crop=0.6.") from None


def _pair(item: str, wanted: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not (name and equals and value):
        raise OptionError(f"{item!r} came; wanted {wanted}.")
    return name, value


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

    table = Table("arm", "labels", "metric", "mean", "95% interval", "against the best baseline")
    for row in outcome.results.to_dict("records"):
        if row["metric"] == outcome.verdict["metric"]:
            span = f"{row['low']:.3f} to {row['high']:.3f}"
            gap = f"{row['verdict']} ({row['difference']:+.3f})" if row["method"] else ""
            name, labels, metric = row["arm"], row["budget"], row["metric"]
            table.add_row(name, labels, metric, f"{row['mean']:.3f}", span, gap)
    console = Console(highlight=False)
    console.print(table)
    console.print(outcome.verdict["sentence"], style="bold", markup=False)
    console.print(f"Report: {outcome.report}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
