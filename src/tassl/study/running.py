"""Walks a study through its stages; each can be resumed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tassl.data.files import write_json
from tassl.errors import OptionError
from tassl.evaluation.splits import count_labels
from tassl.report import write_report
from tassl.study.checks import write_checks
from tassl.study.choosing import choose_methods, choose_safe
from tassl.study.clock import Clock
from tassl.study.configuration import Study
from tassl.study.facts import audit_facts
from tassl.study.folder import VERDICT, claim_folder
from tassl.study.judging import judge_predictions
from tassl.study.narrator import Narrator
from tassl.study.preparation import Prepared, check_task, prepare
from tassl.study.pretraining import pretrain_one
from tassl.study.subsets import write_subsets
from tassl.study.trying import label_subsets, make_bench
from tassl.trials import count_work, list_arms, run_trials, target_of


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
    with claim_folder(folder, study.facts()) as resumed:
        if resumed:
            narrator.say(f"Going on with the unfinished run in {folder}")
        return _walk(study, folder, narrator)


def _walk(study: Study, folder: Path, narrator: Narrator) -> Outcome:
    """The stages, from data to report."""
    clock = Clock(folder)
    prepared = prepare_data(study, folder, narrator, clock)
    check_task(prepared, study.task)
    chosen = choose_methods(study, prepared, folder, narrator, clock)
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
        write_checks(study, prepared, bench, arms, subsets, folder)
    write_json(folder / VERDICT, verdict | {"shuffled_labels": study.shuffle_labels})
    report = write_report(folder)
    return Outcome(folder, results, verdict, report)


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
