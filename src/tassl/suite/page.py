"""A suite as one Markdown and one HTML page: claims, verdicts, every run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tassl.evaluation.finding import FEWEST_DRAWS
from tassl.evaluation.metrics import METRICS
from tassl.heads import HEADS
from tassl.report.claims import FEW_DRAWS, blame_number, show_word, tell_word
from tassl.report.readers import each_row
from tassl.report.rendering import Table, render
from tassl.report.words import interval, number, probability, signed
from tassl.suite.declaring import Suite
from tassl.suite.judging import Judgement
from tassl.suite.running import FAILED


def render_pages(
    suite: Suite, states: pd.DataFrame, results: pd.DataFrame, judgements: Sequence[Judgement]
) -> tuple[str, str]:
    """The Markdown and the HTML page of a suite.

    Args:
        suite: As declared.
        states: One row per run.
        results: One row per set, seed, arm, budget and metric; empty where no run has ended.
        judgements: One per claim.
    """
    shared = {
        "suite": suite,
        "claims": claims_table(judgements),
        "members": members_table(judgements),
        "says": {judged.claim.name: judged.claim.says for judged in judgements},
        "results": results_table(results),
        "runs": states_table(states),
        "failed": int((states.state == FAILED).sum()),
        "count": len(states),
    }
    return render("suite.md.j2", **shared), render("suite.html.j2", **shared)


def claims_table(judgements: Sequence[Judgement]) -> Table:
    """One row per claim."""
    rows, why = [], blame_number(len(judgements), "claims")
    for judged in judgements:
        found, word = judged.pooled, judged.verdict
        numbers = ("n/a", "n/a", "n/a", "n/a", "0")
        if found:
            word = tell_word(word, found.low, found.high, why)
            numbers = (
                signed(found.value),
                interval(found.low, found.high, signed),
                probability(judged.p_adjusted),
                number(found.spread),
                str(found.members),
            )
        rows.append((judged.claim.name, word, *numbers))
    columns = ("Claim", "Verdict", "Difference", "Interval", "Adjusted p")
    return Table((*columns, "Spread between sets", "Sets"), tuple(rows))


def members_table(judgements: Sequence[Judgement]) -> Table:
    """One row per claim and set."""
    rows = [
        (
            judged.claim.name,
            member.set,
            signed(member.value),
            interval(member.low, member.high, signed) if np.isfinite(member.value) else "n/a",
            str(member.seeds),
            member.reason,
        )
        for judged in judgements
        for member in judged.members
    ]
    return Table(("Claim", "Set", "Difference", "Interval", "Seeds", "Note"), tuple(rows))


def results_table(results: pd.DataFrame) -> Table:
    """Every arm at every budget by the metric that decides."""
    columns = ("Set", "Seed", "Budget", "Arm", "Metric", "Mean", "Interval")
    columns += ("Difference", "its interval", "Verdict")
    if results.empty:
        return Table(columns, ())
    rows = []
    for row in each_row(results.loc[results.metric == results.task.map(_first_metric)]):
        found = ("", "", "")
        if row.verdict:
            gap = interval(row.difference_low, row.difference_high, signed)
            why = FEW_DRAWS if row.draws < FEWEST_DRAWS else "one of several in its run"
            word = show_word(row.verdict, row.difference_low, row.difference_high, why)
            found = (signed(row.difference), gap, word)
        own = (row.set, str(row.seed), row.budget, row.arm, METRICS[row.metric].title)
        rows.append((*own, number(row.mean), interval(row.low, row.high), *found))
    return Table(columns, tuple(rows))


def _first_metric(task: str) -> str:
    return HEADS[task].metrics[0]


def states_table(states: pd.DataFrame) -> Table:
    """How each run stands."""
    rows = [(row.set, str(row.seed), row.state, row.reason, row.folder) for row in each_row(states)]
    return Table(("Set", "Seed", "State", "Reason", "Folder"), tuple(rows))
