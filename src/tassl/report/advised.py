"""Whether the advice held: the order that was advised against the one that was measured."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import mean

from tassl.evaluation.metrics import METRICS, show_score
from tassl.report.loading import Run
from tassl.report.readers import each_row
from tassl.report.words import method_title, metric_title


def tell_outcome(run: Run) -> str:
    """Advised and measured order of the methods in one line; "" where there is nothing to tell.

    A method counts by its better arm at each budget, and budgets count alike.
    """
    scores = _measure(run)
    advised = [name for item in run.advice if (name := str(item.get("method"))) in scores]
    if len(advised) < 2:
        return ""
    metric = METRICS[run.verdict["metric"]]
    measured = sorted(advised, key=lambda name: -metric.merit(scores[name]))
    held = "held" if measured == advised else "did not hold"
    told = ", ".join(f"{method_title(name)} {show_score(scores[name])}" for name in measured)
    return (
        f"The advice {held}: it put {_order(advised)}; measured, as mean {_metric(run)} over "
        f"budgets: {told}. The order of near scores is chance: see the differences."
    )


def _measure(run: Run) -> dict[str, float]:
    """Mean over budgets of each method's better arm."""
    if run.results is None:
        return {}
    chosen = str(run.verdict.get("metric"))
    best: dict[str, dict[str, float]] = defaultdict(dict)
    for row in each_row(run.results):
        if row.metric == chosen and row.method and math.isfinite(row.mean):
            budgets = best[row.method]
            rivals = (row.mean, budgets.get(row.budget, math.nan))
            budgets[row.budget] = max(rivals, key=METRICS[chosen].merit)
    return {method: mean(budgets.values()) for method, budgets in best.items()}


def _order(methods: list[str]) -> str:
    return " before ".join(method_title(name) for name in methods)


def _metric(run: Run) -> str:
    return metric_title(str(run.verdict.get("metric")), run)
