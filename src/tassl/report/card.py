"""What the model card adds to the verdict: data by split, scores with intervals, how it was made.

Source: Mitchell et al., FAT* 2019, arXiv:1810.03993: the sections of a card.
"""

from __future__ import annotations

from typing import Any

from tassl.report import tables
from tassl.report.checklist import tell_facts
from tassl.report.loading import Run
from tassl.report.readers import each_row
from tassl.report.rendering import Table
from tassl.report.words import confidence, interval, metric_title, number, sort_budgets


def describe_card(run: Run) -> dict[str, Any]:
    """Context of the card beside what page and card share."""
    return {
        "facts": tell_facts(run),
        "splits": tables.splits_table(run.audit),
        "scores": scores_table(run),
        "environment": {
            name: value
            for part in ("versions", "machine")
            for name, value in run.environment.get(part, {}).items()
        },
    }


def scores_table(run: Run) -> Table:
    """Every arm and budget by the metric of the verdict, with intervals."""
    metric = str(run.verdict.get("metric", ""))
    columns = ("Labels", "Arm", metric_title(metric, run), f"{confidence(run)} interval")
    if run.results is None:
        return Table(columns, ())
    kept = run.results.loc[run.results.metric == metric]
    places = {budget: place for place, budget in enumerate(sort_budgets(kept.budget))}
    ordered = kept.sort_values("budget", key=lambda b: b.map(places), kind="stable")
    return Table(
        columns,
        tuple(
            (row.budget, row.arm, number(row.mean), interval(row.low, row.high))
            for row in each_row(ordered)
        ),
    )
