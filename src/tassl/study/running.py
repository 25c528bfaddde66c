"""Walks a study through its stages; each can be resumed."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tassl.advisor import Advice, advise
from tassl.checkpoint import SIDECAR, Checkpoint, load_checkpoint
from tassl.data.files import write_json, write_text
from tassl.errors import OptionError
from tassl.evaluation.efficiency import Saving, measure_savings, trace_areas
from tassl.evaluation.splits import Subset, count_labels, draw_subsets
from tassl.evaluation.verdict import Arm, compare, conclude, score_all, tabulate
from tassl.heads import HEADS
from tassl.health import Epoch
from tassl.methods import METHODS
from tassl.modality.base import Augmentation
from tassl.networks.natural import load_natural
from tassl.pretraining import (
    Plan,
    Ranks,
    Schedule,
    correct_plan,
    default_schedule,
    fall_back,
    plan_pretraining,
    pretrain_method,
    read_plan,
    write_plan,
)
from tassl.report import write_report
from tassl.study.checks import write_checks
from tassl.study.configuration import Study
from tassl.study.controls import list_variants
from tassl.study.folder import VERDICT, claim_folder
from tassl.study.narrator import Narrator
from tassl.study.preparation import (
    Prepared,
    audit_facts,
    check_task,
    labelled_rows,
    prepare,
)
from tassl.study.subsets import read_subsets, write_subsets
from tassl.transforms.augment import Augment, patch_of
from tassl.trials import (
    RATIO,
    Bench,
    FixMatch,
    count_work,
    list_arms,
    read_predictions,
    run_trials,
    target_of,
)

TRIED = 2  # methods, unless the user names them
RESULTS, AREAS, SAVINGS, FLOATS = "results.csv", "areas.csv", "savings.csv", "%.6f"
PACKAGES = ("tassl", "torch", "monai", "pytorch-lightning", "numpy", "scikit-learn", "scipy")


@dataclass(frozen=True)
class Outcome:
    """What a run ends with.

    Args:
        folder: The run folder.
        results: One row per arm, budget and metric.
        verdict: As in verdict.json.
        report: The HTML report.
    """

    folder: Path
    results: pd.DataFrame
    verdict: dict[str, Any]
    report: Path


def run_study(study: Study, folder: Path, narrator: Narrator) -> Outcome:
    """Run a study from files to report, or go on with one that was cut short.

    Raises:
        TasslError: With one line that says what came, what was wanted and what to do.
    """
    study.check()
    if study.devices * study.nodes > 1:
        raise OptionError(
            f"A run takes one process; {study.devices * study.nodes} came. Pretrain with 'tassl "
            "pretrain --devices', then compare the checkpoint with 'tassl evaluate'."
        )
    if claim_folder(folder, study.facts()):
        narrator.say(f"Going on with the unfinished run in {folder}")
    clock = Clock(folder)
    prepared = prepare_data(study, folder, narrator, clock)
    check_task(prepared, study.task)
    chosen = choose_methods(study, prepared, folder, narrator)
    methods = choose_safe(study, prepared, chosen, narrator)
    checkpoints = {name: Path(place) for name, place in study.checkpoints.items()}
    for method in methods:
        checkpoints[method] = folder / "pretrain" / method
        with clock.timing(f"pretrain/{method}"):
            pretrain_one(
                study, prepared, method, checkpoints[method], narrator, measured=not narrator.quiet
            )
    bench = make_bench(study, prepared, checkpoints)
    arms = list_arms(study.task, list(checkpoints), study.natural, fixmatch=study.fixmatch)
    subsets = label_subsets(study, prepared)
    write_subsets(folder / "subsets.json", prepared.store.table, subsets)
    with (
        clock.timing("trials"),
        narrator.stage("Adapting with few labels", count_work(bench, arms, subsets)) as tick,
    ):
        run_trials(bench, arms, subsets, folder, tick)
    with clock.timing("statistics"):
        unit = target_of(study.task).unit(prepared.store)
        labels = count_labels(prepared.store.table, subsets)
        results, verdict = judge_predictions(study, folder, arms, subsets, unit, labels)
    with clock.timing("checks"):
        write_checks(prepared, bench, arms, subsets, folder)
    write_json(folder / VERDICT, verdict | {"shuffled_labels": study.shuffle_labels})
    report = write_report(folder)
    return Outcome(folder, results, verdict, report)


class Clock:
    """Seconds that each stage took, kept in environment.json across resumes."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "environment.json"
        known = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.facts = describe_machine() | {"seconds": known.get("seconds", {})}

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        """Add the time spent inside to the stage."""
        start = time.monotonic()
        yield
        seconds = self.facts["seconds"]
        seconds[stage] = round(seconds.get(stage, 0) + time.monotonic() - start, 1)
        write_json(self.file, self.facts)


def prepare_data(
    study: Study, folder: Path, narrator: Narrator, clock: Clock, *, notes: bool = False
) -> Prepared:
    """Read, split and audit the data; say aloud what was left out and what is wrong.

    Args:
        study: The configuration.
        folder: The run folder; gets `store/` and audit.json.
        narrator: Speaks.
        clock: Takes the time.
        notes: Say what need not be mended, too.
    """
    with clock.timing("data"):
        prepared = prepare(study, folder, narrator)
    facts = audit_facts(study, prepared)
    write_json(folder / "audit.json", facts)
    sides = ", ".join(f"{side} {n['images']}" for side, n in facts["splits"].items())
    shape = " x ".join(map(str, prepared.store.grid.shape))
    narrator.say(f"{facts['images']} images of {facts['subjects']} subjects, {shape}; {sides}")
    for item in prepared.store.set_aside:
        narrator.warn(f"set aside {item.file}: {item.reason}")
    for finding in prepared.audit.findings:
        if notes or finding.severity != "info":
            narrator.tell(finding)
    for note in prepared.store.notes:
        narrator.warn(note)
    return prepared


def choose_methods(study: Study, prepared: Prepared, folder: Path, narrator: Narrator) -> list[str]:
    """The methods to pretrain: those given, what pilots chose, or those of the advice."""
    advice = seek_advice(study, prepared)
    write_json(folder / "advice.json", advice.facts())
    if study.checkpoints:
        return []
    if study.methods:
        return list(study.methods)
    narrator.say(f"Advice before measuring: {advice.answer}; {advice.because[0]}")
    if study.scout:
        from tassl.study.scouting import scout_method  # which builds on this module

        return [scout_method(study, prepared, folder, narrator)]
    chosen = advice.pick(TRIED)
    for item in chosen:
        narrator.say(f"Trying {METHODS[item.method].title} ({item.paradigm}): {item.reason}")
    return [item.method for item in chosen]


def seek_advice(study: Study, prepared: Prepared) -> Advice:
    """What published evidence says of the study, with as many labels as its middle budget."""
    labels = len(labelled_rows(prepared, study.task, "train"))
    if budgets := sorted(study.protocol.budgets):
        each = check_task(prepared, study.task) if study.task == "classification" else 1
        middle = budgets[len(budgets) // 2]
        labels = min(labels, round(middle * (labels if middle < 1 else each)))
    return advise(
        study.modality,
        study.task,
        labels=labels or None,
        images=len(prepared.rows("train", "val")),
        size=max(prepared.store.grid.shape),
        dims=prepared.store.dims,
        locality=study.chosen_locality,
        network=study.chosen_network,
    )


def choose_safe(
    study: Study, prepared: Prepared, methods: list[str], narrator: Narrator
) -> list[str]:
    """The methods, with those that need larger batches replaced by their nearest safe kin."""
    images = len(prepared.rows("train", "val"))
    safe = {name: fall_back(name, images, study.batch) for name in methods}
    for name, other in safe.items():
        if other != name:
            narrator.warn(
                f"{METHODS[name].title} needs {METHODS[name].smallest_batch} images in a batch; "
                f"{METHODS[other].title} is trained instead, which is safe with fewer"
            )
    return list(dict.fromkeys(safe.values()))


def plan_one(study: Study, prepared: Prepared, method: str, narrator: Narrator) -> Plan:
    """Measure what pretraining one method costs, fit it to the study's limits, and say so."""
    narrator.say(f"Measuring a few steps of {METHODS[method].title}")
    rows = prepared.rows("train", "val")
    plan = plan_pretraining(
        prepared.tensors,
        rows,
        schedule=plan_schedule(study, len(rows), prepared.store.dims, method),
        **_job(study, prepared, method),
        **study.limits(),
    )
    for reason in plan.reasons:
        narrator.warn(f"{method}, {reason}")
    narrator.say(str(plan))
    return plan


def pretrain_one(
    study: Study,
    prepared: Prepared,
    method: str,
    place: Path,
    narrator: Narrator,
    *,
    measured: bool = False,
) -> Checkpoint:
    """Pretrain one method on the images outside the test split.

    Args:
        study: The configuration.
        prepared: Its data.
        method: Key in `METHODS`.
        place: Folder for the checkpoint.
        narrator: Speaks.
        measured: Say what it costs before it starts; so is what has a limit.
    """
    done = (place / SIDECAR).exists()
    if done and study.course == "cosine":
        return load_checkpoint(place)
    rows, file = prepared.rows("train", "val"), place / "plan.json"
    schedule, reasons = plan_schedule(study, len(rows), prepared.store.dims, method), ()
    if measured or study.memory or study.time:
        if done or not file.exists():
            write_plan(file, plan_one(study, prepared, method, narrator))
        plan = read_plan(file)
        schedule, reasons = plan.schedule, plan.reasons
    title = f"Pretraining {METHODS[method].title} on {len(rows)} images"
    with narrator.stage(title, schedule.epochs) as tick:

        def show(line: Epoch) -> None:
            tick(f"loss {line.loss:.3f}")

        checkpoint = pretrain_method(
            prepared.tensors,
            rows,
            schedule=schedule,
            folder=place,
            on_epoch=show,
            ranks=_ranks(study),
            on_note=narrator.warn,
            reasons=reasons,
            **_job(study, prepared, method),
        )
    correct_plan(file, checkpoint.recipe.training)
    health = json.loads((place / "health.json").read_text())
    if not health["healthy"]:
        narrator.warn(f"{method} {health['verdict']}. {health['action']}")
    return checkpoint


def make_bench(study: Study, prepared: Prepared, checkpoints: dict[str, Path]) -> Bench:
    """What every trial of the study shares.

    Raises:
        InputError: The data do not carry the task's labels, or a checkpoint is for images of
            other dimensions.
    """
    classes = check_task(prepared, study.task)
    store = prepared.store
    for place in checkpoints.values():
        load_checkpoint(place, dims=store.dims)
    for spec in study.natural:
        load_natural(spec, store.channels, store.grid.shape)
    return lay_bench(
        study,
        prepared,
        classes,
        test=labelled_rows(prepared, study.task, "test"),
        val=labelled_rows(prepared, study.task, "val"),
        checkpoints={name: place.resolve() for name, place in checkpoints.items()},
        variants=list_variants(study, prepared.tensors, prepared.split),
    )


def lay_bench(study: Study, prepared: Prepared, classes: int, **sides: Any) -> Bench:
    """A bench for labels that were checked.

    Args:
        study: The configuration.
        prepared: Its data.
        classes: As the task counts them.
        **sides: Test and validation rows, checkpoints and variants.
    """
    store, kind = prepared.store, target_of(study.task)
    tuning = kind.tuning(store.dims)
    if study.steps:
        tuning = replace(tuning, fewest_steps=study.steps, most_steps=study.steps)
    target = kind.values(store)
    if study.shuffle_labels:
        rows = labelled_rows(prepared, study.task, "train")
        target[rows] = np.random.default_rng((study.seed, 3)).permutation(target[rows])
    views, normalisation = strong_views(study, prepared), prepared.tensors.normalisation
    augment = Augment(
        kind.views(views.mild()),
        patch_of(store.grid.shape) if kind.windowed else None,
        normalisation,
    )
    unlabelled = FixMatch(
        prepared.tensors,
        prepared.rows("train", "val"),
        mild=augment,
        strong=Augment(views, None, normalisation),
        batch=RATIO * tuning.batch,
    )
    return Bench(
        tensors=prepared.tensors,
        task=study.task,
        classes=classes,
        target=target,
        augment=augment,
        recipe=prepared.recipe,
        tuning=tuning,
        protocol=study.protocol,
        seed=study.seed,
        fixmatch=unlabelled if study.fixmatch else None,
        **sides,
    )


def label_subsets(study: Study, prepared: Prepared) -> list[Subset]:
    """The label subsets of the study, the same for every arm."""
    usable = labelled_rows(prepared, study.task, "train")
    if study.subsets:
        return read_subsets(Path(study.subsets), prepared.store.table, usable)
    return draw_subsets(
        target_of(study.task).strata(prepared.store.table),
        usable,
        study.protocol.budgets,
        study.protocol.draws,
        study.seed,
        stratified=target_of(study.task).stratified,
        even=target_of(study.task).even,
    )


def judge_predictions(
    study: Study,
    folder: Path,
    arms: list[Arm],
    subsets: list[Subset],
    unit: str,
    labels: Mapping[str, float],
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Score the predictions in a run folder; write its tables; return results with the verdict."""
    card, predictions = HEADS[study.task], read_predictions(folder, arms, subsets)
    metrics = (*card.metrics, "kappa") if study.ordinal else card.metrics
    metric, protocol = metrics[0], study.protocol
    scores = score_all(predictions, metrics, protocol, study.seed)
    areas = trace_areas(scores, metric, labels)
    findings = compare(scores | areas, arms, metric, protocol)
    savings = measure_savings(scores, findings, metric, labels, protocol, study.seed)
    results = tabulate(scores, arms, findings, metric, protocol.confidence)
    tables = {
        RESULTS: results,
        AREAS: tabulate(areas, arms, findings, metric, protocol.confidence),
        SAVINGS: pd.DataFrame(map(asdict, savings), columns=[f.name for f in fields(Saving)]),
    }
    for name, table in tables.items():
        write_text(folder / name, table.to_csv(index=False, float_format=FLOATS))
    subjects = next(iter(scores.values())).subjects
    draws = len({subset.draw for subset in subsets})
    return results, conclude(
        findings, metric, card.unit, subjects, unit, savings=savings, draws=draws
    )


def describe_machine() -> dict[str, Any]:
    """Versions, machine and command, for environment.json."""
    return {
        "versions": {"python": platform.python_version()} | {p: _version(p) for p in PACKAGES},
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
        },
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _ranks(study: Study) -> Ranks:
    return Ranks(study.devices, study.nodes, study.strategy)


def plan_schedule(study: Study, images: int, dims: int, method: str) -> Schedule:
    """How long and fast to pretrain; on a course that can go on where pilots come first."""
    plan = default_schedule(images, dims, study.seed, METHODS[method])
    usual = plan.batch - plan.batch % _ranks(study).count
    epochs, batch = study.epochs or plan.epochs, study.batch or usual
    course = "constant" if study.scout else study.course
    return replace(plan, epochs=epochs, batch=batch, course=course)


def _job(study: Study, prepared: Prepared, method: str) -> dict[str, Any]:
    """What planning and pretraining a method share."""
    return {
        "method": method,
        "recipe": prepared.recipe,
        "profile": prepared.profile,
        "views": strong_views(study, prepared),
    }


def strong_views(study: Study, prepared: Prepared) -> Augmentation:
    """Augmentation ranges of the pretraining, with the user's changes."""
    return prepared.profile.augmentation(study.chosen_locality, allow=study.allow, **study.augment)
