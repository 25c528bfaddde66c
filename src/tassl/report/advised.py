"""Whether the advice held: the order that was advised against the one that was measured."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import mean

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
    measured = sorted(advised, key=lambda name: -scores[name])
    held = "held" if measured == advised else "did not hold"
    told = ", ".join(f"{method_title(name)} {scores[name]:.3f}" for name in measured)
    return (
        f"The advice {held}: it put {_order(advised)}; measured, as mean {_metric(run)} over "
        f"budgets: {told}. The order of near scores is chance: see the differences."
    )


def _measure(run: Run) -> dict[str, float]:
    """Mean over budgets of each method's better arm."""
    if run.results is None:
        return {}
    best: dict[str, dict[str, float]] = defaultdict(dict)
    for row in each_row(run.results):
        if row.metric == run.verdict.get("metric") and row.method and math.isfinite(row.mean):
            budgets = best[row.method]
            budgets[row.budget] = max(row.mean, budgets.get(row.budget, -math.inf))
    return {method: mean(budgets.values()) for method, budgets in best.items()}


def _order(methods: list[str]) -> str:
    return " before ".join(method_title(name) for name in methods)


def _metric(run: Run) -> str:
    return metric_title(str(run.verdict.get("metric")))
