"""What restoring is worth: over no learning at all, and to the task that images serve."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tassl.evaluation.finding import HELPS, HURTS, NO_EVIDENCE
from tassl.evaluation.metrics import METRICS
from tassl.heads import HEADS
from tassl.report.claims import blame_number, show_word
from tassl.report.loading import Run
from tassl.report.readers import each_row
from tassl.report.rendering import Table
from tassl.report.words import (
    confidence,
    interval,
    list_findings,
    number,
    probability,
    signed,
)

SCRATCH = "scratch"
NEEDED = {"group", "arm", "reference", "p_adjusted"} | {
    f"difference{end}" for end in ("", "_low", "_high")
}


def floors_table(run: Run) -> Table:
    """The arms of the verdict and training from scratch against what learns from no label."""
    found = run.checks.get("floors")
    if not isinstance(found, pd.DataFrame) or not set(found) >= NEEDED:
        return Table((), ())
    references = list(dict.fromkeys(found.reference.dropna()))
    told = {
        (str(row.group), row.arm, row.reference): _gap(row)
        for row in each_row(found.dropna(subset=["reference"]))
    }
    rows = []
    for shown in list_findings(run):
        budget = str(shown["budget"])
        for arm in (str(shown["arm"]), SCRATCH):
            cells = [told.get((budget, arm, name), "") for name in references]
            if all(cells):
                rows.append((budget, arm, *cells))
    columns = ("Budget", "Arm", *(f"Minus {name}" for name in references))
    return Table(columns, tuple(rows))


def service_table(run: Run, found: pd.DataFrame) -> Table:
    """What models of clean images score on clean, degraded and restored ones."""
    why = blame_number(found.difference.count(), "comparisons")
    rows = [
        (
            _name(row.group),
            str(row.arm),
            number(row.psnr),
            number(row.score),
            _bound(row),
            *_compare(run, row, why),
        )
        for row in each_row(found)
    ]
    level = confidence(run)
    columns = ("Task", "Images", "PSNR (dB)", "Score", f"{level} interval", "Minus degraded")
    return Table((*columns, f"its {level} interval", "Adjusted p", "In words"), tuple(rows))


def tell_service(run: Run, found: pd.DataFrame) -> str:
    """How to read it."""
    first = found.iloc[0]
    scores = " and ".join(
        f"{METRICS[HEADS[task].metrics[0]].title} for {task}" for task in found.group.unique()
    )
    return (
        f"Does restoring help what images are for? Score: {scores}. The study's network is "
        "fitted from scratch to clean training images with all their labels, three times, and "
        f"asked of the same {first.subjects:g} test subjects in clean images, in degraded ones and "
        "in those that each arm restored (all labels, first draw). Clean images are the most that "
        f"restoring could reach. {confidence(run)} intervals over subjects and fits."
    )


def _bound(row: Any) -> str:
    least, most = METRICS[HEADS[row.group].metrics[0]].bounds
    return interval(max(least, row.score_low), min(most, row.score_high))


def _name(task: str) -> str:
    return f"{task}, {METRICS[HEADS[task].metrics[0]].title}"


def _compare(run: Run, row: Any, why: str) -> tuple[str, ...]:
    """The paired difference of a row, and what it says; blank for the degraded images."""
    if pd.isna(row.difference):
        return ("",) * 4
    alpha = float((run.study.get("protocol") or {}).get("alpha", 0.05))
    better = METRICS[HEADS[row.group].metrics[0]].sign * row.difference > 0
    word = (HELPS if better else HURTS) if row.p_adjusted < alpha else NO_EVIDENCE
    gap = signed(row.difference), interval(row.difference_low, row.difference_high, signed)
    shown = show_word(word, row.difference_low, row.difference_high, why)
    return (*gap, probability(row.p_adjusted), shown)


def _gap(row: Any) -> str:
    ends = interval(row.difference_low, row.difference_high, signed)
    return f"{signed(row.difference)} {ends}, p {probability(row.p_adjusted)}"
