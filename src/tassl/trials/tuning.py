"""The tuning of trained arms: as many tries for each, scored on validation subjects.

Every arm is tried at the same learning rates, on the same label subset. Asked for more, a
pretrained arm may also hold its encoder back, and an arm from scratch, which has nothing to hold
back, may train longer or shorter.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tassl.adaptation import Tuning
from tassl.data.files import write_json
from tassl.evaluation.finding import Arm
from tassl.evaluation.metrics import METRICS, score_once
from tassl.evaluation.splits import Subset
from tassl.heads import HEADS
from tassl.trials.bench import Bench
from tassl.trials.fitting import fit_arm
from tassl.trials.predictions import slug


def list_tries(bench: Bench, arm: Arm) -> dict[str, Tuning]:
    """What a trained arm may be tuned to, by name; the plain ones first."""
    plain = bench.tuning
    ways = {"": plain}
    if bench.wide_tuning and (arm.method or arm.weights):
        ways[", layer decay 0.5"] = replace(plain, layer_decay=0.5)
        ways[", head first for 30%"] = replace(plain, head_first=0.3)
    elif bench.wide_tuning:
        ways[", twice the steps"] = plain.stretched(2)
        ways[", half the steps"] = plain.stretched(0.5)
    return {
        f"rate {rate:g}{words}": replace(way, learning_rate=rate)
        for words, way in ways.items()
        for rate in bench.protocol.rates
    }


def try_tuning(bench: Bench, arm: Arm, name: str, subsets: Sequence[Subset], folder: Path) -> None:
    """Score one try on validation subjects, with the first draw's middle budget."""
    file, tuning = _try_file(bench, arm, name, folder), list_tries(bench, arm)[name]
    if file.exists():
        return
    draws = [subset for subset in subsets if subset.draw == subsets[0].draw]
    subset, metric = draws[len(draws) // 2], HEADS[bench.task].metrics[0]
    head = fit_arm(bench, arm, subset, tuning)
    table = bench.kind.predict(bench, head, bench.val, fully=False).table
    score, steps = score_once(table, metric), tuning.steps(len(subset.rows))
    write_json(file, {"name": name, "budget": subset.budget, "steps": steps, "score": score})


def choose_tuning(bench: Bench, arm: Arm, folder: Path) -> Tuning:
    """The try with the best validation score; nearest to the usual rate among equals, then plain.

    Args:
        bench: What the trials share.
        arm: Whose tries are all made.
        folder: The run folder; gets tuning/ARM.json.
    """
    tries = list_tries(bench, arm)
    tried = [json.loads(_try_file(bench, arm, name, folder).read_text()) for name in tries]
    usual = bench.tuning.learning_rate
    merit = METRICS[HEADS[bench.task].metrics[0]].merit

    def rank(one: dict) -> tuple[float, float]:
        return merit(one["score"]), -abs(np.log(tries[one["name"]].learning_rate / usual))

    best = max(tried, key=rank)
    facts = {
        "arm": arm.name,
        "budget": best["budget"],
        "validation": {one["name"]: one["score"] for one in tried},
        "steps": {one["name"]: one["steps"] for one in tried},
        "chosen": best["name"],
    }
    write_json(folder / "tuning" / f"{slug(arm)}.json", facts)
    return tries[best["name"]]


def keep_strength(bench: Bench, model: Any, arm: Arm, subset: Subset, folder: Path) -> None:
    """Write the strength that a linear model was fitted with, where it has a single one."""
    if bench.kind.penalties:
        told = model[-1].get_params()  # C of logistic, alpha of ridge regression
        file = _strength_file(arm, subset, folder)
        write_json(file, {"strength": told.get("C", told.get("alpha"))})


def list_strengths(bench: Bench, arm: Arm, subsets: Sequence[Subset], folder: Path) -> None:
    """Gather what `keep_strength` wrote into tuning/ARM.json, by budget and draw."""
    if not bench.kind.penalties:
        return
    chosen: dict[str, list[float]] = {}
    for subset in subsets:
        told = json.loads(_strength_file(arm, subset, folder).read_text())
        chosen.setdefault(subset.budget, []).append(told["strength"])
    facts = {"arm": arm.name, "strengths": bench.kind.penalties, "chosen": chosen}
    write_json(folder / "tuning" / f"{slug(arm)}.json", facts)


def _strength_file(arm: Arm, subset: Subset, folder: Path) -> Path:
    return folder / "tuning" / "strengths" / f"{slug(arm)}_{subset.budget}_{subset.draw}.json"


def _try_file(bench: Bench, arm: Arm, name: str, folder: Path) -> Path:
    place = list(list_tries(bench, arm)).index(name)
    return folder / "tuning" / "tries" / f"{slug(arm)}_{place}.json"
