"""The verbs of tassl as functions: run, audit, pretrain, adapt, evaluate, report."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tassl.checkpoint import Checkpoint
from tassl.data.audit import SEVERITIES, Audit
from tassl.data.files import write_json
from tassl.errors import OptionError
from tassl.evaluation.finding import Arm
from tassl.pretraining import Plan, Ranks
from tassl.report import write_audit, write_report, write_scout
from tassl.scouting.records import Survey
from tassl.study import Outcome, Study, run_study
from tassl.study.choices import make_study
from tassl.study.choosing import choose_safe
from tassl.study.clock import Clock
from tassl.study.folder import SPLIT, claim_folder
from tassl.study.narrator import Narrator
from tassl.study.preparation import Prepared
from tassl.study.pretraining import plan_one, pretrain_one
from tassl.study.running import prepare_data
from tassl.study.scouting import scout_study
from tassl.study.sharing import join_prepared, share_split
from tassl.study.trying import label_subsets, make_bench
from tassl.trials import adapt_once


@dataclass(frozen=True)
class Adapted:
    """What `adapt` ends with.

    Args:
        folder: Holds head.safetensors, predictions.parquet and scores.json.
        scores: Metric by name, on the test subjects.
    """

    folder: Path
    scores: dict[str, float]


def run(
    data: str | Path,
    *,
    modality: str,
    task: str,
    out: str | Path,
    quiet: bool = False,
    **choices: Any,
) -> Outcome:
    """Index, pretrain, adapt, evaluate and report: the main job.

    Args:
        data: File or folder of images.
        modality: Key in `tassl.modality.MODALITIES`.
        task: Key in `tassl.heads.HEADS`.
        out: New folder for the run; an unfinished run of the same study is taken up.
        quiet: Say nothing.
        **choices: Any other choice of `tassl.study.Study`, and `budgets` and `draws`.

    Raises:
        TasslError: With one line that says what came, what was wanted and what to do.
    """
    study = make_study(data, modality=modality, task=task, **choices)
    return run_study(study, Path(out), Narrator(quiet=quiet))


def audit(
    data: str | Path,
    *,
    modality: str,
    out: str | Path,
    task: str = "classification",
    quiet: bool = False,
    **choices: Any,
) -> Audit:
    """Look for what is wrong with the data, before anything is trained.

    Args:
        data: File or folder of images.
        modality: Key in `tassl.modality.MODALITIES`.
        out: New folder; gets audit.json, audit.html and the prepared images.
        task: What the images are for: says how label budgets are counted.
        quiet: Say nothing.
        **choices: As for `run`.
    """
    study = make_study(data, modality=modality, task=task, **choices)
    folder, narrator = Path(out), Narrator(quiet=quiet)
    with _start(study, folder, narrator, notes=True) as (prepared, _):
        found = prepared.audit
    page = write_audit(folder)
    kinds = [finding.severity for finding in found.findings]
    narrator.say(", ".join(f"{kind} {kinds.count(kind)}" for kind in SEVERITIES))
    narrator.say(f"Pictures and tables: {page}")
    return found


def scout(
    data: str | Path,
    *,
    modality: str,
    task: str,
    out: str | Path,
    time: str = "30m",
    quiet: bool = False,
    **choices: Any,
) -> Survey:
    """Try pretraining strategies, small, on the images at hand; say which to run in full.

    Args:
        data: File or folder of images; labels of training subjects are used, no others.
        modality: Key in `tassl.modality.MODALITIES`.
        task: Key in `tassl.heads.HEADS`.
        out: New folder; gets scout.json, scout.html and the pilots. An unfinished scout goes on.
        time: For all of it, as in "30m": reading, pilots, scores.
        quiet: Say nothing.
        **choices: As for `run`; `methods` are the candidates instead of those advised.

    Raises:
        TasslError: With one line that says what came, what was wanted and what to do.
    """
    study = make_study(data, modality=modality, task=task, scout=time, **choices)
    folder, narrator = Path(out), Narrator(quiet=quiet)
    with _start(study, folder, narrator) as (prepared, clock):
        found = scout_study(study, prepared, folder, narrator, clock)
    narrator.say(f"Table and pictures: {write_scout(folder)}")
    return found


def evaluate(
    data: str | Path,
    checkpoints: Mapping[str, str | Path],
    *,
    modality: str,
    task: str,
    out: str | Path,
    quiet: bool = False,
    **choices: Any,
) -> Outcome:
    """Compare pretrained checkpoints with the baselines; nothing is pretrained.

    Args:
        data: File or folder of images.
        checkpoints: Checkpoint folders by name.
        modality: Key in `tassl.modality.MODALITIES`.
        task: Key in `tassl.heads.HEADS`.
        out: New folder for the run.
        quiet: Say nothing.
        **choices: As for `run`.
    """
    if not checkpoints:
        raise OptionError("No checkpoint came; give at least one, as NAME=FOLDER.")
    places = {name: str(place) for name, place in checkpoints.items()}
    return run(
        data, modality=modality, task=task, out=out, quiet=quiet, checkpoints=places, **choices
    )


def pretrain(
    data: str | Path,
    *,
    method: str,
    modality: str,
    out: str | Path,
    task: str = "classification",
    quiet: bool = False,
    **choices: Any,
) -> Checkpoint:
    """Pretrain one method on all images outside the test split.

    Args:
        data: File or folder of images; labels are not needed.
        method: Key in `tassl.methods.METHODS`; its fallback is taken where batches are too small.
        modality: Key in `tassl.modality.MODALITIES`.
        out: New folder; the checkpoint goes to `out/pretrain/METHOD`. A run with `course`
            "constant" goes on from there where more epochs are asked for.
        task: Task that the features are for: sets network and locality.
        quiet: Say nothing.
        **choices: As for `run`.
    """
    study = make_study(data, modality=modality, task=task, methods=(method,), **choices)
    folder, narrator = Path(out), Narrator(quiet=quiet)
    ranks = Ranks(study.devices, study.nodes, study.strategy)
    ranks.check()
    if ranks.own:
        study.check()
        prepared, silent = join_prepared(study, folder), Narrator(quiet=True)
        (method,) = choose_safe(study, prepared, [method], silent)
        return pretrain_one(study, prepared, method, folder / "pretrain" / method, silent)
    free = ("epochs",) if study.course == "constant" else ()
    with _start(study, folder, narrator, free=free) as (prepared, clock):
        if ranks.count > 1:
            share_split(folder, prepared)
        (method,) = choose_safe(study, prepared, [method], narrator)
        place = folder / "pretrain" / method
        with clock.timing(f"pretrain/{method}"):
            checkpoint = pretrain_one(study, prepared, method, place, narrator)
        (folder / SPLIT).unlink(missing_ok=True)
    narrator.say(f"Checkpoint: {place}")
    return checkpoint


def plan(
    data: str | Path,
    *,
    method: str,
    modality: str,
    out: str | Path,
    task: str = "classification",
    quiet: bool = False,
    **choices: Any,
) -> Plan:
    """Say what `pretrain` would do and cost, from a few real steps; nothing is trained.

    Args:
        data: File or folder of images; labels are not needed.
        method: Key in `tassl.methods.METHODS`.
        modality: Key in `tassl.modality.MODALITIES`.
        out: New folder; gets the prepared images, which `pretrain` then takes up.
        task: Task that the features are for: sets network and locality.
        quiet: Say nothing.
        **choices: As for `run`; `memory` and `time` are what the pretraining has to keep to.
    """
    study = make_study(data, modality=modality, task=task, methods=(method,), **choices)
    folder, narrator = Path(out), Narrator(quiet=quiet)
    if study.devices * study.nodes > 1:
        raise OptionError(
            "A few steps are measured in one process. Leave out --dry-run or --devices and --nodes."
        )
    with _start(study, folder, narrator) as (prepared, _):
        (method,) = choose_safe(study, prepared, [method], narrator)
        return plan_one(study, prepared, method, narrator)


def adapt(
    data: str | Path,
    *,
    modality: str,
    task: str,
    out: str | Path,
    checkpoint: str | Path | None = None,
    labels: int | None = None,
    frozen: bool = False,
    quiet: bool = False,
    **choices: Any,
) -> Adapted:
    """Fit one head with few labels, and score it on the test subjects.

    Args:
        data: File or folder of images.
        modality: Key in `tassl.modality.MODALITIES`.
        task: Key in `tassl.heads.HEADS`.
        out: New folder for head, predictions and scores.
        checkpoint: Checkpoint folder; from scratch unless given.
        labels: Labelled subjects (per class for classification, with and without each finding for
            multilabel); all unless given.
        frozen: Leave the encoder as it is.
        quiet: Say nothing.
        **choices: As for `run`.
    """
    places = {"checkpoint": str(checkpoint)} if checkpoint else {}
    budgets = () if labels is None else (labels,)
    study = make_study(
        data, modality=modality, task=task, checkpoints=places, budgets=budgets, draws=1, **choices
    )
    folder, narrator = Path(out), Narrator(quiet=quiet)
    arm = Arm("adapted", "checkpoint" if checkpoint else "", "frozen" if frozen else "finetune")
    with _start(study, folder, narrator) as (prepared, _):
        bench = make_bench(study, prepared, {name: Path(place) for name, place in places.items()})
        scores = adapt_once(bench, arm, label_subsets(study, prepared)[0], folder)
    write_json(folder / "scores.json", scores)
    narrator.say("  ".join(f"{name} {value:.3f}" for name, value in scores.items()))
    return Adapted(folder, scores)


def report(run: str | Path) -> Path:
    """Write report.html and card.md of a run folder anew; return the report's path."""
    return write_report(Path(run))


@contextmanager
def _start(
    study: Study,
    folder: Path,
    narrator: Narrator,
    *,
    notes: bool = False,
    free: Collection[str] = (),
) -> Iterator[tuple[Prepared, Clock]]:
    """Check the study, claim its folder and prepare its data."""
    study.check()
    with claim_folder(folder, study.facts(), free):
        (folder / SPLIT).unlink(missing_ok=True)
        clock = Clock(folder)
        yield prepare_data(study, folder, narrator, clock, notes=notes), clock
