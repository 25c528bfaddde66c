"""Whether the scout's expectation held: what pilots foretold against what test subjects showed."""

from __future__ import annotations

import math

from scipy import stats

from tassl.evaluation.metrics import METRICS
from tassl.report.claims import tell_why, tell_word
from tassl.report.loading import Run
from tassl.report.readers import each_row
from tassl.report.scout_figures import show
from tassl.report.words import budget_phrase, budget_unit, method_title, sort_budgets

EXPECTED, MEASURED = 0.8, 0.95  # levels of the intervals
DOUBT = float(stats.norm.ppf(0.975))  # standard errors from which on two figures disagree


def tell_foresight(run: Run) -> str:
    """Expected and measured gain in one line; "" where there is nothing to tell.

    The scout speaks of all labels, so the largest budget is what is compared, and of the chosen
    method's better arm. The gap counts against both errors together.
    """
    if not run.scout or run.results is None or not run.verdict:
        return ""
    metric, budget = str(run.verdict["metric"]), sort_budgets(run.results.budget)[-1]
    chosen = run.results.query("metric == @metric and budget == @budget and method != ''")
    arms = [row for row in each_row(chosen) if row.method == run.scout["method"]]
    if not (arms := [row for row in arms if math.isfinite(row.difference)]):
        return ""
    arm = max(arms, key=lambda row: METRICS[metric].merit(row.mean))
    foretold = next(
        tried["posterior"] or tried["prior"]
        for tried in run.scout["tried"]
        if tried["method"] == arm.method
    )
    # An error is told in points by the scout and in its own unit by the run: signs alone compare.
    points = 100.0 if math.isfinite(METRICS[metric].bounds[1]) else math.nan
    gain = [points * end for end in (arm.difference, arm.difference_low, arm.difference_high)]
    sign = METRICS[metric].sign * arm.difference
    if math.isfinite(points):
        held = _miss(foretold, gain) <= DOUBT
        measured = f"{show(gain)} (95% interval)"
    else:
        held, measured = (foretold[0] > 0) == (sign > 0), "a gain" if sign > 0 else "no gain"
    word = tell_word(arm.verdict, arm.difference_low, arm.difference_high, tell_why(run))
    return (
        f"The scout's expectation {'held' if held else 'did not hold'}: it answered "
        f"'{run.scout['answer']}' and expected {show(foretold)} points (80% interval) from "
        f"{method_title(arm.method)}; with {budget_phrase(budget, budget_unit(run))}, {arm.arm} "
        f"against {arm.reference} on test subjects: {measured}, {word}."
    )


def _miss(foretold: list[float], measured: list[float]) -> float:
    """How many standard errors lie between two figures, both with their intervals."""
    levels = zip((foretold, measured), (EXPECTED, MEASURED), strict=True)
    errors = [
        (high - low) / 2 / stats.norm.ppf(0.5 + level / 2) for (_, low, high), level in levels
    ]
    return abs(foretold[0] - measured[0]) / max(math.hypot(*errors), 1e-9)
