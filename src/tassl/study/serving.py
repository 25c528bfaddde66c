"""What restoring is for: scores over no learning at all, and of the task that images serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tassl.data.tensors import Tensors
from tassl.errors import InputError
from tassl.evaluation.contrasts import contrast_arms
from tassl.evaluation.finding import Arm
from tassl.evaluation.splits import Subset
from tassl.evaluation.statistics import Scores, score_draws, subject_weights
from tassl.evaluation.verdict import score_all
from tassl.heads import HEADS
from tassl.study.configuration import Study
from tassl.study.preparation import Prepared, check_task, labelled_rows
from tassl.study.trying import lay_bench
from tassl.trials import Bench, read_predictions
from tassl.trials.predictions import prediction_file
from tassl.trials.serving import ask_models, list_restored
from tassl.trials.targets.images import INPUT

TASKS = ("segmentation", "classification")
RESAMPLES = 1000
NO_TASK = "Neither masks nor classes stand beside the images on every side of the split."

Rows = list[dict[str, Any]]


def check_floors(
    bench: Bench, arms: Sequence[Arm], subsets: Sequence[Subset], folder: Path
) -> dict[str, Rows]:
    """Every arm at every budget against what learns from no label; nothing where nothing does."""
    floors = [arm.name for arm in bench.kind.floors]
    if not floors:
        return {}
    metric = HEADS[bench.task].metrics[0]
    scores = score_all(
        read_predictions(folder, arms, subsets), (metric,), bench.protocol, bench.seed
    )
    groups: dict[str, dict[str, Any]] = {}
    for (arm, budget, _), own in scores.items():
        groups.setdefault(budget, {})[arm] = own
    found = contrast_arms(groups, floors, bench.protocol.confidence)
    return {"floors": [vars(contrast) for contrast in found]}


def check_service(
    study: Study,
    prepared: Prepared,
    bench: Bench,
    arms: Sequence[Arm],
    subsets: Sequence[Subset],
    folder: Path,
) -> dict[str, Rows] | str:
    """Whether models of clean images score more on restored images than on degraded ones.

    Returns:
        A row per task and arm, why there is none, or nothing where nothing was restored.
    """
    if not bench.kind.implied:
        return {}
    first = next(subset for subset in subsets if subset.budget == "all" and subset.draw == 0)
    files = {arm.name: prediction_file(folder, arm, first).with_suffix(".npz") for arm in arms}
    kept = set(list_restored(bench.tensors, files[INPUT.name]))
    groups: dict[str, dict[str, Scores]] = {}
    psnr: dict[tuple[str, str], float] = {}
    for task in TASKS:
        rows = [row for row in labelled_rows(prepared, task, "test") if row in kept]
        try:
            classes = check_task(prepared, task) if rows else 0
        except InputError:  # one class alone, or a side without labels
            classes = 0
        if not classes:
            continue
        asked = lay_task(study, prepared, task, classes, np.array(rows))
        tables = ask_models(asked, labelled_rows(prepared, task, "train"), files)
        groups[task] = _score(tables, HEADS[task].metrics[0], study.seed)
        for arm, file in files.items():
            table = pd.read_parquet(file.with_suffix(".parquet")).set_index("id")
            psnr[task, arm] = float(table.psnr.loc[tables[arm][0].id].mean())
    found = contrast_arms(groups, [INPUT.name], bench.protocol.confidence)
    rows = [
        vars(contrast)
        | {
            "psnr": psnr.get((contrast.group, contrast.arm)),
            "subjects": groups[contrast.group][contrast.arm].subjects,
        }
        for contrast in found
    ]
    return {"service": rows} if rows else NO_TASK


def lay_task(study: Study, prepared: Prepared, task: str, classes: int, test: np.ndarray) -> Bench:
    """The bench of a task on the clean images of a study of reconstruction."""
    clean = Tensors(prepared.store, prepared.tensors.normalisation)
    return lay_bench(
        replace(study, task=task, degrade="", clean="paired"),
        replace(prepared, tensors=clean),
        classes,
        test=test,
        val=np.empty(0, dtype=int),
        checkpoints={},
    )


def _score(tables: Mapping[str, list[pd.DataFrame]], metric: str, seed: int) -> dict[str, Scores]:
    subjects = next(iter(tables.values()))[0].subject
    weights = subject_weights(subjects, RESAMPLES, seed)
    return {arm: score_draws(own, metric, weights) for arm, own in tables.items()}
