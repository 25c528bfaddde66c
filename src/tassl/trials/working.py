"""Every arm on every label subset, one trial per core at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, cpu_count, delayed, parallel_config

from tassl.adaptation import Tuning
from tassl.data.files import write_arrays
from tassl.evaluation.finding import Arm
from tassl.evaluation.splits import Subset
from tassl.trials.bench import Bench
from tassl.trials.fitting import fit_arm, make_features
from tassl.trials.neighbouring import keep_neighbours
from tassl.trials.predictions import keep, prediction_file
from tassl.trials.targets import Answers
from tassl.trials.tuning import (
    choose_tuning,
    keep_strength,
    list_strengths,
    list_tries,
    try_tuning,
)
from tassl.trials.varying import keep_variants


def run_trials(
    bench: Bench,
    arms: Sequence[Arm],
    subsets: Sequence[Subset],
    folder: Path,
    on_trial: Callable[[str], None] = lambda name: None,
) -> None:
    """Run every trial whose predictions are not there yet, one per core at a time.

    Each trial computes on one thread: small networks gain little from more, and results then do
    not depend on the number of cores.

    Args:
        bench: What the trials share.
        arms: Arms to run.
        subsets: Label subsets, the same for every arm.
        folder: Gets tuning/ARM.json and predictions/ARM_BUDGET_DRAW.parquet.
        on_trial: Called after each piece of work, `count_work` times in all.
    """
    folder = folder.resolve()  # workers may stand in another folder
    fixed, probed, trained = _sort_arms(bench, arms)
    first = [delayed(_set_floor)(bench, arm, subsets, folder) for arm in fixed]
    first += [delayed(_probe_arm)(bench, arm, subsets, folder) for arm in probed]
    first += [
        delayed(_try_tuning)(bench, arm, name, subsets, folder)
        for arm in trained
        for name in list_tries(bench, arm)
    ]
    work_off(first, on_trial)
    tunings = {arm.name: choose_tuning(bench, arm, folder) for arm in trained}
    work_off(
        [
            delayed(_train_arm)(bench, arm, subset, tunings[arm.name], folder)
            for subset in reversed(subsets)
            for arm in trained
        ],
        on_trial,
    )


def count_work(bench: Bench, arms: Sequence[Arm], subsets: Sequence[Subset]) -> int:
    """Pieces of work that `run_trials` reports."""
    trained = _sort_arms(bench, arms)[-1]
    tries = sum(len(list_tries(bench, arm)) for arm in trained)
    return len(arms) - len(trained) + tries + len(trained) * len(subsets)


def work_off(pieces: list[Any], on_answer: Callable[[Any], None]) -> None:
    """Run pieces in worker processes, one per core; on one GPU, one after another.

    Args:
        pieces: Delayed calls.
        on_answer: Called with what each returns, in any order.
    """
    jobs = 1 if torch.cuda.is_available() else min(len(pieces), cpu_count())
    with parallel_config("loky", n_jobs=max(1, jobs), inner_max_num_threads=1):
        alone = [delayed(_work_alone)(*piece) for piece in pieces]
        answers: Any = Parallel(return_as="generator_unordered", max_nbytes=None)(alone)
        for answer in answers:
            on_answer(answer)


def _work_alone(work: Callable[..., Any], given: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """Call on one thread, so that the result does not depend on the number of cores."""
    torch.set_num_threads(1)
    return work(*given, **named)


def _sort_arms(bench: Bench, arms: Sequence[Arm]) -> tuple[list[Arm], list[Arm], list[Arm]]:
    """Arms that learn from no label, that fit a linear model, and that train a network."""
    fixed = [arm for arm in arms if arm in bench.kind.floors]
    rest = [arm for arm in arms if arm not in fixed]
    probed = [arm for arm in rest if bench.kind.probed and arm.adaptation != "finetune"]
    return fixed, probed, [arm for arm in rest if arm not in probed]


def _set_floor(bench: Bench, arm: Arm, subsets: Sequence[Subset], folder: Path) -> str:
    """All subsets of an arm that learns from no label: the same answers for each."""
    missing = [s for s in subsets if not prediction_file(folder, arm, s).exists()]
    if missing:
        answers = bench.kind.floor(bench, arm)
    for subset in missing:
        _keep_all(answers, arm, subset, folder)
    return arm.name


def _probe_arm(bench: Bench, arm: Arm, subsets: Sequence[Subset], folder: Path) -> str:
    """All subsets of an arm that fits a linear model on fixed features."""
    missing = [s for s in subsets if not prediction_file(folder, arm, s).exists()]
    if missing:
        features = make_features(bench, arm, np.arange(len(bench.tensors.store.table)))
    for subset in missing:
        seed = bench.seed_of(subset.draw)
        model = bench.kind.fit_linear(bench, features, subset.rows, seed)

        def probe(varied: Bench, model: Any = model) -> pd.DataFrame:
            return bench.kind.probe(varied, model, make_features(varied, arm, varied.test)).table

        keep_variants(bench, arm, subset, folder, probe)
        keep_neighbours(bench, arm, subset, folder, features)
        keep_strength(bench, model, arm, subset, folder)
        answers = bench.kind.probe(bench, model, features[bench.test])
        keep(answers.table, arm, subset, folder)
    list_strengths(bench, arm, subsets, folder)
    return arm.name


def _try_tuning(bench: Bench, arm: Arm, name: str, subsets: Sequence[Subset], folder: Path) -> str:
    try_tuning(bench, arm, name, subsets, folder)
    return f"{arm.name}, tried at {name}"


def _train_arm(bench: Bench, arm: Arm, subset: Subset, tuning: Tuning, folder: Path) -> str:
    """One subset of an arm that trains a network."""
    name = f"{arm.name}, {subset.budget} labels"
    if prediction_file(folder, arm, subset).exists():
        return name
    head = fit_arm(bench, arm, subset, tuning)

    def predict(varied: Bench) -> pd.DataFrame:
        return bench.kind.predict(varied, head, varied.test, fully=False).table

    keep_variants(bench, arm, subset, folder, predict)
    _keep_all(bench.kind.predict(bench, head, bench.test), arm, subset, folder)
    return name


def _keep_all(answers: Answers, arm: Arm, subset: Subset, folder: Path) -> None:
    """Write what was said; arrays of the first draw with all labels only."""
    if answers.arrays and subset.budget == "all" and subset.draw == 0:
        file = prediction_file(folder, arm, subset).with_suffix(".npz")
        write_arrays(file, dict(answers.arrays))
    keep(answers.table, arm, subset, folder)
