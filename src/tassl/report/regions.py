"""How well each region of a mask is found, and what it joins."""

from __future__ import annotations

import pandas as pd

from tassl.evaluation.metrics import METRICS
from tassl.report.loading import Run
from tassl.report.readers import each_row
from tassl.report.rendering import Table
from tassl.report.words import confidence, interval, metric_title, number

NOTE = (
    "With all labels, mean over draws and over the test images that show the region; intervals are "
    "for one arm and region at a time. The mean over the regions of an image decides the verdict."
)


def tell_regions(run: Run) -> str:
    """Values of masks that each region joins: "whole = 1 + 2, core = 2"."""
    joined = run.audit.get("regions", {}).items()
    return ", ".join(f"{name} = {' + '.join(map(str, values))}" for name, values in joined)


def dice_table(found: pd.DataFrame) -> Table:
    """Dice of every arm on each region."""
    dice = found.loc[found.metric == "dice"]
    arms = list(dict.fromkeys(dice.arm))
    scores = {(row.region, row.arm): row for row in each_row(dice)}
    rows = [
        (
            str(name),
            f"{scores[name, arms[0]].shown:g}",
            *(number(scores[name, arm].score) for arm in arms),
        )
        for name in dict.fromkeys(dice.region)
    ]
    return Table(("Region", "Test images", *arms), tuple(rows))


def scores_table(run: Run, found: pd.DataFrame) -> Table:
    """Every score of every arm on each region, with its interval."""
    rows = []
    for row in each_row(found):
        least, most = METRICS[row.metric].bounds
        ends = interval(max(least, row.score_low), min(most, row.score_high))
        title = metric_title(row.metric, run)
        rows.append((str(row.region), title, str(row.arm), number(row.score), ends))
    columns = ("Region", "Metric", "Arm", "Mean", f"{confidence(run)} interval")
    return Table(columns, tuple(rows))
