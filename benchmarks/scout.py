"""Does the scout find what to pretrain? Its choices against every candidate pretrained in full.

A cell is a set of images with a number of labels. Every candidate is pretrained in full and scored
on test subjects, from several seeds; policies that choose before that are charged with what they
lose against the best (regret, in points) and with what they spend. Scores are the better of frozen
and fine-tuned use; not to pretrain is a choice too, and scores as the best baseline.

Phantoms have a planted truth: only a lesion's detail matters; only the organ's shape does; the site
gives the class away in training; nothing can be learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from benchmarks.studies import DATA
from tassl.advisor.answering import NOT
from tassl.data.phantom import PhantomSpec, draw_cohort, save_npz
from tassl.demo import describe_cohort
from tassl.evaluation.finding import Arm
from tassl.evaluation.splits import draw_subsets
from tassl.optimisation import hold_memory
from tassl.pretraining import pretrain_method
from tassl.scouting.pilots import Voice, measure_floor, measure_pilot
from tassl.scouting.rungs import LEAST, RESERVE, Looks
from tassl.scouting.surveying import survey
from tassl.scouting.yardstick import score
from tassl.study import Study
from tassl.study.choosing import seek_advice
from tassl.study.narrator import Narrator
from tassl.study.preparation import prepare
from tassl.study.pretraining import plan_schedule
from tassl.study.scouting import expect_gains, lay_ground, list_candidates
from tassl.study.trying import make_bench
from tassl.trials.bench import Bench, list_arms
from tassl.trials.fitting import fit_arm, make_features

SEEDS, CANDIDATES, FEWEST_EPOCHS = (0, 1), 4, 8
NEVER, ONE_POINT, CONFIDENCE = "no pretraining", 1.0, 0.95
PLENTY = 1e6  # seconds: pilots are fine-tuned on every part
SILENT = Narrator(quiet=True)


@dataclass(frozen=True)
class Cell:
    """A set with a number of labels (subjects; per class for classification)."""

    find: Callable[[Path], Path]
    modality: str
    task: str
    labels: int


def _plant(folder: Path, **truth: Any) -> Path:
    """A phantom cohort of which it is known what can help."""
    usual = {"seed": 1, "subjects": 300, "size": 32, "local_signal": 0.0, "site_strength": 0.2}
    file = folder / "phantoms.npz"
    if not file.exists():
        save_npz(draw_cohort(PhantomSpec(**(usual | truth))), file)
    return file


def _phantoms(labels: int = 15, **truth: Any) -> Cell:
    modality = truth.get("modality", "ultrasound")
    return Cell(lambda folder: _plant(folder, **truth), modality, "classification", labels)


def _find(*parts: str) -> Callable[[Path], Path]:
    return lambda _: DATA.joinpath(*parts)


CELLS = {
    "breastmnist-25": Cell(
        _find("breastmnist", "breastmnist.npz"), "ultrasound", "classification", 25
    ),
    "breastmnist-100": Cell(
        _find("breastmnist", "breastmnist.npz"), "ultrasound", "classification", 100
    ),
    "pneumoniamnist-25": Cell(
        _find("pneumoniamnist", "pneumoniamnist.npz"), "xray", "classification", 25
    ),
    "busi-20": Cell(_find("busi_seg"), "ultrasound", "segmentation", 20),
    "hc18-20": Cell(_find("hc18"), "ultrasound", "segmentation", 20),
    "hippocampus-20": Cell(_find("hippocampus"), "mri", "segmentation", 20),
    "phantoms, detail": _phantoms(**asdict(describe_cohort(seed=1))),  # pixels do not tell it
    "phantoms, shape": _phantoms(global_signal=1.5),
    "phantoms, trap": _phantoms(local_signal=0.7, site_strength=1.0, site_label_correlation=0.9),
    "phantoms, nothing": _phantoms(),
}


def measure(out: Path, share: float = 1.0, cells: tuple[str, ...] = tuple(CELLS)) -> pd.DataFrame:
    """One row per policy, over all cells and seeds that are measured; what is on disk stays.

    Args:
        out: Gets scout/CELL-SEED/ with pretrainings, truth.csv and choices.csv.
        share: Of the usual epochs, for full pretrainings; pilots take their share of these.
        cells: Keys in `CELLS`.
    """
    hold_memory()
    torch.set_num_threads(1)
    found = []
    for name in cells:
        for seed in SEEDS:
            place = out / "scout" / f"{name}-{seed}-{share:g}"
            if not (place / "choices.csv").exists():
                place.mkdir(parents=True, exist_ok=True)
                _measure(CELLS[name], seed, share, place)
            truth = pd.read_csv(place / "truth.csv", index_col="method")
            choices = pd.read_csv(place / "choices.csv")
            found.append(_charge(choices, truth).assign(cell=name, seed=seed))
    return summarise(pd.concat(found))


def summarise(charged: pd.DataFrame) -> pd.DataFrame:
    """Mean regret of every policy with its interval, hits, and spent share of the oracle's time.

    Args:
        charged: Columns policy, cell, seed, regret and cost. Seeds of a cell are averaged first:
            cells are what varies.
    """
    rows = []
    for policy, own in charged.groupby("policy", sort=False):
        regrets = own.groupby("cell").regret.mean()
        spread = regrets.std() / np.sqrt(len(regrets)) if len(regrets) > 1 else np.nan
        reach = stats.t.ppf(0.5 + CONFIDENCE / 2, max(1, len(regrets) - 1)) * spread
        mean = regrets.mean()
        hits = (own.regret <= ONE_POINT).mean()
        rows.append((policy, mean, mean - reach, mean + reach, hits, own.cost.mean(), len(regrets)))
    columns = ["policy", "regret", "low", "high", "hits", "cost", "cells"]
    return pd.DataFrame(rows, columns=columns).round(3)


def _charge(choices: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Regret and cost of each choice, and of choosing at random or always the same."""
    methods, total = truth.drop(NEVER), truth.seconds.sum()
    best = truth.score.max()
    rows = [("oracle", 0.0, 1.0)]
    for choice in choices.itertuples():
        lost, full = best - truth.score[choice.method], truth.seconds[choice.method]
        rows.append((choice.policy, 100 * lost, (choice.seconds + full) / total))
    rows.append(("random", 100 * (best - methods.score.mean()), 1 / len(methods)))
    for name, known in truth.iterrows():
        rows.append((f"always {name}", 100 * (best - known.score), known.seconds / total))
    return pd.DataFrame(rows, columns=["policy", "regret", "cost"])


def _measure(cell: Cell, seed: int, share: float, place: Path) -> None:
    """Every candidate in full, then what each policy chooses."""
    study = Study(str(cell.find(place)), cell.modality, cell.task, seed=seed, scout="1h")
    prepared = prepare(study, place, SILENT)
    pool = prepared.rows("train", "val")
    ground = lay_ground(study, prepared)
    subset = draw_subsets(
        prepared.store.table, ground.labelled, (cell.labels,), 1, seed,
        stratified=ground.bench.kind.stratified,
    )[0]  # fmt: skip
    ground = replace(ground, labelled=subset.rows)
    every_label = replace(study, protocol=replace(study.protocol, budgets=()))
    advice = seek_advice(every_label, prepared)
    methods = list_candidates(advice)[:CANDIDATES]
    usual = {m: plan_schedule(study, len(pool), prepared.store.dims, m) for m in methods}
    schedules = {
        m: replace(plan, epochs=max(FEWEST_EPOCHS, round(share * plan.epochs)))
        for m, plan in usual.items()
    }
    costs = {m: measure_pilot(ground, m, schedules[m], place / "pilots") for m in methods}
    for method in methods:
        pretrain_method(
            prepared.tensors, pool, method=method, recipe=prepared.recipe,
            profile=ground.profile, views=ground.views, schedule=schedules[method],
            folder=place / "full" / method,
        )  # fmt: skip
    bench = make_bench(study, prepared, {m: place / "full" / m for m in methods})
    truth = dict(_score_all(bench, methods, subset))
    table = pd.DataFrame(
        {"score": truth, "seconds": {m: costs[m].full for m in methods} | {NEVER: 0.0}}
    )
    table.round(5).to_csv(place / "truth.csv", index_label="method")
    floor = measure_floor(ground, place / "pilots", PLENTY, len(methods))
    looks = Looks(floor.probe, floor.last)
    need = floor.took + sum(c.took + looks.climb(c, LEAST) for c in costs.values())
    found = survey(
        ground, schedules, 1.001 * need / RESERVE, place / "pilots",
        prior=partial(expect_gains, advice.query), voice=Voice(SILENT.say, SILENT.stage),
    )  # fmt: skip
    gain = next(tried.posterior for tried in found.tried if tried.method == found.method)
    chosen = found.method if gain and gain[0] > 0 else NEVER
    advised = NEVER if advice.answer == NOT else methods[0]
    choices = [("scout", chosen, found.seconds[0]), ("advisor", advised, 0.0)]
    table = pd.DataFrame(choices, columns=["policy", "method", "seconds"])
    table.assign(answer=[found.answer, advice.answer]).to_csv(place / "choices.csv", index=False)


def _score_all(bench: Bench, methods: list[str], subset: Any) -> Iterator[tuple[str, float]]:
    """Score on the test subjects of each method by its better arm, and of the best baseline."""
    best: dict[str, float] = {}
    for arm in list_arms(bench.task, methods):
        name = arm.method or NEVER
        best[name] = max(best.get(name, -np.inf), _score(bench, arm, subset))
    yield from best.items()


def _score(bench: Bench, arm: Arm, subset: Any) -> float:
    if bench.kind.probed and arm.adaptation != "finetune":
        rows = np.arange(len(bench.tensors.store.table))
        features = make_features(bench, arm, rows)
        model = bench.kind.fit_linear(bench, features, subset.rows, bench.seed)
        table = bench.kind.probe(bench, model, features[bench.test]).table
    else:
        head = fit_arm(bench, arm, subset, bench.tuning)
        table = bench.kind.predict(bench, head, bench.test, fully=False).table
    return score(bench, table, subset.rows)
