"""Finished runs set against each other on the test images that they share, row by row."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from tassl.errors import InputError, RunFolderError, UnknownName
from tassl.evaluation.finding import Arm
from tassl.evaluation.metrics import METRICS
from tassl.evaluation.protocol import Protocol
from tassl.evaluation.statistics import (
    Scores,
    adjust_holm,
    estimate,
    score_draws,
    subject_weights,
)

DAMAGED = (OSError, ValueError, KeyError, TypeError, yaml.YAMLError)
FIRST, SECOND, NEITHER = "first", "second", "no evidence"

Cell = tuple[str, str]  # arm and budget


@dataclass(frozen=True)
class Tested:
    """What a finished run predicted for its test images.

    Args:
        folder: The run folder.
        study: Its configuration.
        metric: Key in `METRICS`, the one that its verdict rests on.
        digest: Hash of its images and labels.
        arms: Its arms by name.
        labelled: Ids of the labelled images by budget and draw.
        tables: Predictions by arm and budget, one table per draw, rows ordered by image.
    """

    folder: Path
    study: Mapping[str, Any]
    metric: str
    digest: str
    arms: Mapping[str, Arm]
    labelled: Mapping[tuple[str, int], tuple[str, ...]]
    tables: Mapping[Cell, tuple[pd.DataFrame, ...]]

    @property
    def images(self) -> pd.DataFrame:
        """Id and subject of each test image."""
        return next(iter(self.tables.values()))[0].loc[:, ["id", "subject"]]

    @property
    def budgets(self) -> list[str]:
        """Label budgets from few to all."""
        found = {budget for _, budget in self.tables}
        return sorted(found, key=lambda n: np.inf if n == "all" else float(n.removesuffix("%")))

    @property
    def protocol(self) -> Protocol:
        """The rules that the run kept to."""
        known = {field.name for field in fields(Protocol)}
        told = dict(self.study.get("protocol") or {})
        return Protocol(**{name: told[name] for name in known & told.keys()})

    @cached_property
    def weights(self) -> np.ndarray:
        """The bootstrap of the run's own verdict, (resample, image)."""
        return subject_weights(
            self.images.subject, self.protocol.resamples, int(self.study.get("seed", 0))
        )

    @cached_property
    def _scores(self) -> dict[Cell, Scores]:
        return {}

    def score(self, arm: str, budget: str) -> Scores:
        """Scores of an arm at a budget, on the run's own resamples of its subjects."""
        cell = arm, budget
        if cell not in self._scores:
            self._scores[cell] = score_draws(self.tables[cell], self.metric, self.weights)
        return self._scores[cell]


def read_tested(folder: Path) -> Tested:
    """Read the predictions of a finished run.

    Raises:
        RunFolderError: The run is not finished or is damaged.
    """
    try:
        verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
        audit = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
        subsets = json.loads((folder / "subsets.json").read_text(encoding="utf-8"))
        study = yaml.safe_load((folder / "study.yaml").read_text(encoding="utf-8"))
        files = sorted((folder / "predictions").glob("*.parquet"))
        tables = _gather([pd.read_parquet(file) for file in files])
        labelled = {(s["budget"], int(s["draw"])): tuple(s["images"]) for s in subsets}
        arms = _read_arms(folder / "results.csv")
        if verdict["metric"] not in METRICS or {arm for arm, _ in tables} != arms.keys():
            raise ValueError("predictions, results and verdict do not fit each other")
        return Tested(
            folder, study, verdict["metric"], str(audit["digest"]), arms, labelled, tables
        )
    except DAMAGED as error:
        reason = " ".join((getattr(error, "strerror", "") or str(error)).split())
        raise RunFolderError(
            f"{folder} is no finished run of tassl ({reason}). Give the folder of one that ended."
        ) from None


def _read_arms(file: Path) -> dict[str, Arm]:
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {row["arm"]: Arm(row["arm"], row["method"], row["adaptation"]) for row in rows}


def _gather(tables: Sequence[pd.DataFrame]) -> dict[Cell, tuple[pd.DataFrame, ...]]:
    """Tables by arm and budget, in the order of their draws."""
    found: dict[Cell, dict[int, pd.DataFrame]] = {}
    for table in tables:
        arm, budget, draw = table.loc[0, ["arm", "budget", "draw"]]
        ordered = table.sort_values("id", ignore_index=True)
        found.setdefault((str(arm), str(budget)), {})[int(draw)] = ordered
    return {cell: tuple(draws[k] for k in sorted(draws)) for cell, draws in found.items()}


def check_alike(first: Tested, second: Tested) -> None:
    """Refuse two runs that cannot be compared image by image.

    Raises:
        InputError: They differ in task, metric, data or test images.
    """
    a, b = first.folder, second.folder
    for name in ("task", "modality"):
        if first.study.get(name) != second.study.get(name):
            raise InputError(
                f"{a} is a run of {name} {first.study.get(name)}, {b} of "
                f"{second.study.get(name)}. Give two runs of one {name}."
            )
    if first.metric != second.metric:
        raise InputError(
            f"{a} is judged by {first.metric}, {b} by {second.metric}. Give two runs of one metric."
        )
    ours, theirs = set(first.images.id), set(second.images.id)
    if ours != theirs:
        raise InputError(
            f"{a} tests {len(ours)} images, {b} {len(theirs)}, and they share "
            f"{len(ours & theirs)}. Give two runs of the same data, --seed and splits."
        )
    if first.digest != second.digest or not first.images.equals(second.images):
        raise InputError(
            f"The images, labels or subjects of {a} and {b} differ (digests {first.digest[:8]} "
            f"and {second.digest[:8]}). Give two runs of the same data and --size."
        )


def compare_runs(
    first: Tested, second: Tested, pairs: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Paired differences of two runs on the same test subjects, first minus second.

    Args:
        first: A finished run; its protocol sets the level, resamples and error.
        second: Another one on the same data.
        pairs: Arms of the first by what they are set against in the second; unless given, each
            arm against that of the same name.

    Returns:
        One row per arm and budget, with `first` or `second` under "verdict" for the better run,
        after Holm over all rows.

    Raises:
        InputError: The runs cannot be compared, or have no arm or budget in common.
        UnknownName: A run has no arm of this name.
    """
    check_alike(first, second)
    second = replace(second, study=first.study)  # one bootstrap for both
    if pairs is None:
        pairs = {arm: arm for arm in first.arms if arm in second.arms}
    for ours, theirs in pairs.items():
        for run, name in ((first, ours), (second, theirs)):
            if name not in run.arms:
                raise UnknownName(f"arm of {run.folder}", name, run.arms)
    budgets = [budget for budget in first.budgets if budget in second.budgets]
    if not pairs or not budgets:
        what = "budget" if pairs else "arm"
        raise InputError(
            f"{first.folder} and {second.folder} have no {what} in common. "
            + ("Give runs with one." if pairs else "Name two with --pair FIRST=SECOND.")
        )
    several = len(budgets) * len(pairs)
    rows = [
        row for budget in budgets for row in _compare_budget(first, second, pairs, budget, several)
    ]
    return _judge(pd.DataFrame(rows), first)


def _compare_budget(
    first: Tested, second: Tested, pairs: Mapping[str, str], budget: str, several: int
) -> list[dict[str, Any]]:
    scored = [
        (first.score(ours, budget), second.score(theirs, budget)) for ours, theirs in pairs.items()
    ]
    gaps = [subtract(a, b) for a, b in scored]
    rows = []
    for (ours, theirs), (a, b), gap in zip(pairs.items(), scored, gaps, strict=True):
        found = estimate(gap, first.protocol.confidence, gaps, comparisons=several)
        rows.append(
            {
                "first_arm": ours,
                "second_arm": theirs,
                "budget": budget,
                "metric": first.metric,
                "first_mean": float(a.observed.mean()),
                "second_mean": float(b.observed.mean()),
                "difference": found.value,
                "difference_low": found.low,
                "difference_high": found.high,
                "p": found.p,
                "detectable": found.detectable,
                "draws": len(gap.observed),
                "same_labels": draw_alike(first, second, budget, len(gap.observed)),
                "test_subjects": gap.subjects,
            }
        )
    return rows


def subtract(first: Scores, second: Scores) -> Scores:
    """Paired differences over the draws that both have."""
    draws = min(len(first.observed), len(second.observed))
    return _cut(first, draws).minus(_cut(second, draws))


def _cut(scores: Scores, draws: int) -> Scores:
    return Scores(scores.observed[:draws], scores.resampled[:, :draws], scores.subjects)


def draw_alike(first: Tested, second: Tested, budget: str, draws: int) -> bool:
    """Whether both runs learnt from the same labelled images in each of the first draws."""
    keys = [(budget, draw) for draw in range(draws)]
    return all(set(first.labelled[key]) == set(second.labelled[key]) for key in keys)


def _judge(rows: pd.DataFrame, run: Tested) -> pd.DataFrame:
    merit, alpha = METRICS[run.metric].merit, run.protocol.alpha
    adjusted = adjust_holm(rows.p.tolist())
    words = [
        NEITHER if p >= alpha else FIRST if merit(gap) > 0 else SECOND
        for gap, p in zip(rows.difference, adjusted, strict=True)
    ]
    return rows.assign(p_adjusted=adjusted, verdict=words)
