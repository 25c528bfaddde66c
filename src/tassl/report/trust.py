"""How far predictions can be trusted: reliability of probabilities, agreement of numbers."""

from __future__ import annotations

import html
from collections.abc import Mapping

import pandas as pd

from tassl.report.agreement import LIMITS, draw_agreement, furthest
from tassl.report.cases.base import best_arm
from tassl.report.loading import Run, read_predictions
from tassl.report.readers import each_row
from tassl.report.reliability import RANGE, Draws, draw_reliability
from tassl.report.rendering import Figure
from tassl.report.styles import style_arms
from tassl.report.words import budget_phrase, budget_unit, confidence, interval, number

Arms = Mapping[str, Draws]


def show_trust(run: Run) -> list[Figure]:
    """The best pretrained arm at its largest budget beside its reference; none without either."""
    best = best_arm(run)
    if best is None or run.results is None:
        return []
    arm, budget = best
    results = run.results.loc[run.results.budget == budget]
    named = dict.fromkeys([arm, *filter(None, results.reference[results.arm == arm])])
    arms = {name: found for name in named if (found := _read_draws(run, name, budget))}
    columns = set[str]().union(*(draws[0].columns for draws in arms.values()))
    where = f"trained on {budget_phrase(budget, budget_unit(run))}"
    if {"label", "score_0"} <= columns:
        return [_show_reliability(run, results, arms, where)]
    return _show_agreement(run, results, arms, where) if "predicted" in columns else []


def _show_reliability(run: Run, results: pd.DataFrame, arms: Arms, where: str) -> Figure:
    errors = results.loc[results.metric == "ece"].set_index("arm").reindex(list(arms))
    told = {
        row.Index: f"{html.escape(row.Index)}: ECE {number(row.mean)} {interval(row.low, row.high)}"
        for row in each_row(errors)
    }
    styles = style_arms(results)
    return Figure(
        "reliability",
        draw_reliability(
            {told[name]: draws for name, draws in arms.items()},
            {told[name]: styles[name] for name in arms},
            float((run.study.get("protocol") or {}).get("confidence", 0.95)),
        ),
        f"Reliability, {where}, all draws together: of the test images whose most probable class "
        "has a probability in one of 15 even bins, the share of which that class is right. On the "
        "dotted line probabilities say what they mean; below it the arm is too sure. The larger "
        f"the marker, the more images; bars are Wilson's {confidence(run)} intervals, over the "
        "distinct subjects of a bin. ECE is the mean distance from the line, with its interval.",
    )


def _show_agreement(run: Run, results: pd.DataFrame, arms: Arms, where: str) -> list[Figure]:
    by_metric = results.set_index("metric")
    limits = {
        name: by_metric.loc[by_metric.arm == name].reindex(index=LIMITS, columns=RANGE)
        for name in arms
    }
    shown = [name for name in arms if limits[name].notna().all(axis=None)]
    reach = 1.1 * max((furthest(arms[name][0], limits[name]) for name in shown), default=0.0)
    unit, styles = str(run.audit.get("unit") or ""), style_arms(results)
    return [
        Figure(
            f"agreement-{place}",
            draw_agreement(arms[name][0], limits[name], styles[name], unit, reach),
            f"Agreement (Bland and Altman) of {name}, {where}. {'' if place else _explain(run)}",
        )
        for place, name in enumerate(shown)
    ]


def _explain(run: Run) -> str:
    return (
        "Points are the test images, first draw. The line in the middle is the bias, the dashed "
        "ones are the limits between which 95% of the differences are expected: means over the "
        f"draws, shaded with their {confidence(run)} intervals. Points that rise or fall from "
        "left to right, or spread out, say that the error depends on the size of the number."
    )


def _read_draws(run: Run, arm: str, budget: str) -> list[pd.DataFrame]:
    """Predictions of an arm, from the first draw to the last that is there."""
    found: list[pd.DataFrame] = []
    while (table := read_predictions(run, arm, budget, len(found))[0]) is not None:
        found.append(table)
    return found
