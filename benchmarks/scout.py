"""Does the scout find what to pretrain? Its choices against every candidate pretrained in full.

A cell is a set of images with a number of labels. Every candidate is pretrained in full and scored
on test subjects, from several seeds; policies that choose before that are charged with what they
lose against the best (regret, in points) and with what they spend. Scores are the better of frozen
and fine-tuned use; not to pretrain is a choice too, and scores as the best baseline. Choosing by
folds of the labelled training subjects after everything was pretrained in full is the most that
labels allow. Time is that of pretraining and of fitting to labels. The oracle is picked on the test
subjects, whose chance flatters it; differences between policies are free of that.

Phantoms have a planted truth: only a lesion's detail matters; only the organ's shape does; the site
gives the class away in training; nothing can be learnt.
"""

from __future__ import annotations

import shutil
import time
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
from tassl.evaluation.splits import Subset, draw_subsets
from tassl.methods import METHODS
from tassl.optimisation import hold_memory
from tassl.scouting.comparing import pick_floor, pick_scores
from tassl.scouting.ground import Ground
from tassl.scouting.pilots import (
    Floor,
    Pilot,
    Voice,
    finish,
    fly,
    measure_floor,
    measure_pilot,
    place_of,
)
from tassl.scouting.rungs import LEAST, RESERVE, Cost, Looks
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
VOICE = Voice(SILENT.say, SILENT.stage)


@dataclass(frozen=True)
class Cell:
    """A set with a number of labels (subjects; per class for classification)."""

    find: Callable[[Path], Path]
    modality: str
    task: str
    labels: int


def _plant(folder: Path, **truth: Any) -> Path:
    """A phantom cohort of which it is known what can help."""
    usual = {"seed": 1, "subjects": 1500, "size": 32, "local_signal": 0.0, "site_strength": 0.2}
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
    "phantoms, detail": _phantoms(
        **asdict(describe_cohort(seed=1)) | {"subjects": 1500}
    ),  # pixels do not tell it
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
    full = truth.training + truth.fitting
    best, methods = truth.score.max(), truth.drop(NEVER)
    rows = [("oracle", 0.0, 1.0)]
    for choice in choices.itertuples():
        before = full.sum() if np.isnan(choice.seconds) else choice.seconds + full[choice.method]
        lost = best - truth.score[choice.method]
        rows.append((choice.policy, 100 * lost, before / full.sum()))
    rows.append(
        ("random", 100 * (best - methods.score.mean()), full[methods.index].mean() / full.sum())
    )
    for name, own in truth.iterrows():
        rows.append((f"always {name}", 100 * (best - own.score), full[name] / full.sum()))
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
    few = replace(study, protocol=replace(study.protocol, budgets=(cell.labels,)))
    advice = seek_advice(few, prepared)
    methods = list_candidates(advice)[:CANDIDATES]
    usual = {m: plan_schedule(study, len(pool), prepared.store.dims, m) for m in methods}
    schedules = {
        m: replace(plan, epochs=max(FEWEST_EPOCHS, round(share * plan.epochs)))
        for m, plan in usual.items()
    }
    pilots = place / "pilots"
    costs = {m: measure_pilot(ground, m, schedules[m], pilots) for m in methods}
    floor = measure_floor(ground, pilots, PLENTY, len(methods))
    looks = Looks(floor.probe, floor.last)
    need = floor.took + sum(c.took + looks.climb(c, LEAST) for c in costs.values())
    found = survey(
        ground, schedules, 1.001 * need / RESERVE, pilots,
        prior=partial(expect_gains, advice.query), voice=VOICE,
    )  # fmt: skip
    full = place / "full"
    done = [_finish(ground, costs[m], floor.parts, pilots, full) for m in methods]
    bench = make_bench(study, prepared, {m: place_of(full, m, 1.0) for m in methods})
    table = pd.DataFrame(_score_all(bench, methods, subset)).groupby("method", sort=False)
    truth = table.agg({"score": "max", "fitting": "sum"})
    truth["training"] = pd.Series({m: costs[m].full for m in methods})
    truth.fillna(0.0).round(5).to_csv(place / "truth.csv")
    chosen = next(tried for tried in found.tried if tried.method == found.method)
    worth = chosen.posterior and chosen.posterior[0] > 0
    spent = found.seconds[0] - (_carry_on(costs[chosen.method], chosen.share) if worth else 0.0)
    choices = [
        ("scout", chosen.method if worth else NEVER, spent, found.answer),
        ("advisor", NEVER if advice.answer == NOT else methods[0], 0.0, advice.answer),
        ("everything, by folds", _choose_by_folds(ground, done, floor), None, ""),
    ]
    columns = ["policy", "method", "seconds", "answer"]
    pd.DataFrame(choices, columns=columns).to_csv(place / "choices.csv", index=False)


def _carry_on(cost: Cost, share: float) -> float:
    """Seconds that a full pretraining is spared, since it goes on from its pilot."""
    return 0.0 if METHODS[cost.method].staged else cost.at(share).cooling_from * cost.epoch


def _finish(ground: Ground, cost: Cost, parts: int, pilots: Path, full: Path) -> Pilot:
    """Go on from where a pilot stopped, to the end."""
    begun = place_of(pilots, cost.method, 1.0)
    if begun.exists() and not (full / cost.method).exists():
        shutil.copytree(begun, full / cost.method / begun.name)
    return finish(ground, fly(ground, cost, 1.0, full, VOICE), parts, full)


def _choose_by_folds(ground: Ground, done: list[Pilot], floor: Floor) -> str:
    parts = len(ground.parts)
    scores = {NEVER: pick_floor(floor.scores, parts)[1]}
    scores |= {pilot.method: pick_scores(pilot.scores, parts) for pilot in done}
    return max(scores, key=lambda method: np.nanmean(scores[method]))


def _score_all(bench: Bench, methods: list[str], subset: Subset) -> Iterator[dict[str, Any]]:
    """Score of every arm on the test subjects, and seconds of fitting it."""
    for arm in list_arms(bench.task, methods):
        began = time.monotonic()
        value = _score(bench, arm, subset)
        yield {"method": arm.method or NEVER, "score": value, "fitting": time.monotonic() - began}


def _score(bench: Bench, arm: Arm, subset: Subset) -> float:
    if bench.kind.probed and arm.adaptation != "finetune":
        rows = np.arange(len(bench.tensors.store.table))
        features = make_features(bench, arm, rows)
        model = bench.kind.fit_linear(bench, features, subset.rows, bench.seed)
        table = bench.kind.probe(bench, model, features[bench.test]).table
    else:
        head = fit_arm(bench, arm, subset, bench.tuning)
        table = bench.kind.predict(bench, head, bench.test, fully=False).table
    return score(bench, table, subset.rows)
