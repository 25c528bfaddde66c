"""The verdict as a static picture, drawn by hand so that it opens anywhere."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tassl.report.loading import Run
from tassl.report.readers import each_row
from tassl.report.rendering import render
from tassl.report.styles import UNPROVEN, WORD_COLOURS, Style, style_arms
from tassl.report.words import (
    SYMBOLS,
    budget_unit,
    confidence,
    headline,
    is_small,
    metric_title,
    overall_verdict,
    sort_budgets,
)

WIDTH, LEFT, RIGHT, PLOT, LINE = 800, 78, 784, 270, 21
LETTERS_PER_LINE, COLUMNS, STEPS = 92, 3, 4
NOTHING = "There are no results yet."


@dataclass(frozen=True)
class Mark:
    """One value with its interval, in units of the picture."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One arm: its look, its values, and where its name stands below the plot."""

    name: str
    style: Style
    marks: tuple[Mark, ...]
    x: float
    y: float

    @property
    def points(self) -> str:
        """The line through its values, as SVG wants it."""
        return " ".join(f"{mark.x},{mark.y}" for mark in self.marks)


def sketch_verdict(run: Run, *, with_sentence: bool = True) -> str:
    """Draw a run's label-efficiency curve as SVG.

    Args:
        run: The run.
        with_sentence: Whether the verdict's sentence stands above the curve.
    """
    word = overall_verdict(run)
    sentence = str(run.verdict.get("sentence") or NOTHING)
    lines = textwrap.wrap(sentence, LETTERS_PER_LINE) if with_sentence else []
    top = 58 + LINE * len(lines) if lines else 16
    scene: dict[str, Any] = {"lines": lines, "top": top, "bottom": top, "height": top + 12}
    if run.results is not None and run.results["mean"].notna().to_numpy().any():
        scene |= _plot(run, run.results, top)
    return render(
        "verdict.svg.j2",
        **scene,
        width=WIDTH,
        left=LEFT,
        right=RIGHT,
        leading=LINE,
        sentence=sentence,
        name=run.name,
        headline=headline(run),
        colour=UNPROVEN if is_small(run) else WORD_COLOURS.get(word, UNPROVEN),
    )


def _plot(run: Run, results: pd.DataFrame, top: float) -> dict[str, Any]:
    metric = str(results.loc[results["mean"].notna()].metric.iloc[0])
    rows, styles = results.loc[results.metric == metric], style_arms(results)
    budgets, bottom = sort_budgets(rows.budget), top + PLOT
    shown = rows[["mean", "low", "high"]].to_numpy()
    ticks = choose_ticks(float(np.nanmin(shown)), float(np.nanmax(shown)))
    scale = _Scale(budgets, ticks[0], ticks[-1], top + 26, bottom)
    per_row = (RIGHT - 16) / COLUMNS
    arms = []
    for k, (arm, style) in enumerate(styles.items()):
        shift = (k - (len(styles) - 1) / 2) * min(11.0, 66 / len(styles))
        marks = [
            Mark(scale.x(row.budget) + shift, *map(scale.y, (row.mean, row.low, row.high)))
            for row in each_row(rows.loc[rows.arm == arm])
            if math.isfinite(row.mean + row.low + row.high)
        ]
        marks.sort(key=lambda mark: mark.x)
        place = (24 + per_row * (k % COLUMNS), bottom + 74 + 24 * (k // COLUMNS))
        arms.append(Line(textwrap.shorten(arm, 30), style, tuple(marks), *place))
    words = {str(b["budget"]): str(b["verdict"]) for b in run.verdict.get("budgets", [])}
    return {
        "bottom": bottom,
        "height": bottom + 74 + 24 * math.ceil(len(styles) / COLUMNS),
        "ticks": [(f"{tick:g}", scale.y(tick)) for tick in ticks],
        "budgets": [
            (name, scale.x(name), words.get(name, ""), SYMBOLS.get(words.get(name, ""), ""))
            for name in budgets
        ],
        "word_colours": WORD_COLOURS,
        "arms": arms,
        "metric": metric_title(metric, run),
        "unit": budget_unit(run),
        "confidence": confidence(run),
    }


class _Scale:
    """Places of budgets and scores on the picture."""

    def __init__(self, budgets: list[str], low: float, high: float, top: float, bottom: float):
        self.budgets, self.low, self.high = budgets, low, high
        self.top, self.bottom = top, bottom

    def x(self, budget: object) -> float:
        step = (RIGHT - LEFT) / len(self.budgets)
        return round(LEFT + step * (self.budgets.index(str(budget)) + 0.5), 1)

    def y(self, score: float) -> float:
        share = (score - self.low) / (self.high - self.low)
        return round(self.bottom - share * (self.bottom - self.top), 1)


def choose_ticks(low: float, high: float) -> list[float]:
    """Round numbers, evenly apart, from at or below `low` to at or above `high`."""
    span = max(high - low, 1e-3)
    size = 10 ** math.floor(math.log10(span / STEPS))
    step = next(size * k for k in (1, 2, 2.5, 5, 10) if size * k * STEPS >= span)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(float(k * step), 6) for k in np.arange(first, max(last, first + 1) + 1)]
