"""Cases in groups, and the predictions that they are chosen from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tassl.evaluation.metrics import METRICS
from tassl.report.loading import Run, read_predictions
from tassl.report.pictures import Picture
from tassl.report.words import budget_phrase, budget_unit, class_title, sort_budgets

PER_RANK = 3
MEDIAN = "Around the median"


@dataclass(frozen=True)
class Case:
    """One test image.

    Args:
        id: Its id.
        facts: Short lines about it.
        panels: Pictures with their headings; none where the image is not there.
    """

    id: str
    facts: tuple[str, ...]
    panels: tuple[tuple[str, Picture], ...]


@dataclass(frozen=True)
class Group:
    """Cases of one kind.

    Args:
        title: As in "surest errors".
        cases: The cases; may be empty.
        caption: What the pictures show.
    """

    title: str
    cases: tuple[Case, ...]
    caption: str


@dataclass(frozen=True)
class Gallery:
    """Cases of one arm.

    Args:
        summary: What is shown, in one or two sentences.
        groups: Good and bad ones.
        legend: Name and colour of each outlined class.
    """

    summary: str
    groups: tuple[Group, ...]
    legend: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Predicted:
    """What an arm predicted for the test images in the first draw.

    Args:
        run: The run.
        arm: Name of the arm.
        budget: Its label budget.
        table: Predictions, one row per image.
        file: Arrays of the same, None where there are none.
    """

    run: Run
    arm: str
    budget: str
    table: pd.DataFrame
    file: Path | None

    @property
    def where(self) -> str:
        """Whose predictions they are, in words."""
        trained = budget_phrase(self.budget, budget_unit(self.run))
        return f"The arm {self.arm}, trained on {trained} (first draw)"

    @property
    def classes(self) -> list[str]:
        """Names of classes or findings, as far as the data name them."""
        return [class_title(str(name)) for name in self.run.audit.get("classes", [])]

    def baseline(self, adaptation: str = "finetune") -> Predicted | None:
        """What a baseline predicted on the same budget; None where there is nothing."""
        results = self.run.results
        assert results is not None
        names = results.arm[(results.method == "") & (results.adaptation == adaptation)]
        return read_predicted(self.run, str(names.iloc[0]), self.budget) if len(names) else None


def read_predicted(run: Run, arm: str, budget: str) -> Predicted | None:
    """Predictions of an arm; None where they are not in the run folder."""
    table, file = read_predictions(run, arm, budget)
    return None if table is None else Predicted(run, arm, budget, table, file)


def best_arm(run: Run) -> tuple[str, str] | None:
    """Pretrained arm with the best mean of the first metric at the largest budget."""
    if run.results is None or run.results.empty:
        return None
    results = run.results
    rows = results.loc[(results.method != "") & (results.metric == results.metric.iloc[0])]
    rows = rows.loc[rows["mean"].notna()]
    if rows.empty:
        return None
    budget = sort_budgets(rows.budget)[-1]
    rows = rows.loc[rows.budget == budget]
    merits = rows["mean"].map(METRICS[rows.metric.iloc[0]].merit)
    return str(rows.arm.loc[merits.idxmax()]), budget


def rank_cases(
    order: np.ndarray, tell: Callable[[int], Case], captions: Mapping[str, str]
) -> tuple[Group, ...]:
    """The first, middle and last three of an order.

    Args:
        order: Rows of the predictions, (row,).
        tell: The case of a row.
        captions: By title, one for each of the three.
    """
    return tuple(
        Group(title, tuple(map(tell, rows)), caption)
        for (title, caption), rows in zip(captions.items(), pick_ranks(order), strict=True)
    )


def pick_ranks(order: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First, middle and last three of an order, none of them twice."""
    middle = order[PER_RANK : max(PER_RANK, len(order) - PER_RANK)]
    start = max(0, (len(middle) - PER_RANK) // 2)
    return order[:PER_RANK], middle[start : start + PER_RANK], order[PER_RANK:][-PER_RANK:]
