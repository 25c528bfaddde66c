"""What was measured beside the verdict: findings, regions, sites, subgroups, changed images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tassl.evaluation.metrics import METRICS
from tassl.evaluation.per_finding import METRIC
from tassl.evaluation.robustness import MEAN
from tassl.evaluation.subgroups import FEWEST_PER_CLASS
from tassl.report.loading import Run
from tassl.report.readers import DAMAGED, each_row
from tassl.report.regions import NOTE, dice_table, scores_table
from tassl.report.rendering import Table
from tassl.report.restored import service_table, tell_service
from tassl.report.words import (
    class_title,
    confidence,
    interval,
    metric_title,
    number,
    probability,
    signed,
    sort_budgets,
)

KINDS = {"site": "Site", "sex": "Sex", "age": "Age", "size": "Size of what the mask shows"}
CLASSES = {  # what stands for the class of an image where it has none
    "multilabel": " Class here: whether an image shows more findings than most.",
    "regression": " Class here: whether the value is above the median.",
}
FALLS, HOLDS = "falls", "no evidence of a fall"


@dataclass(frozen=True)
class Check:
    """One question and its answer.

    Args:
        title: The question.
        table: The answer, None where it could not be measured.
        details: More of it, to be unfolded.
        note: How to read it, or why there is no answer.
    """

    title: str
    table: Table | None
    details: Table | None = None
    note: str = ""


def show_checks(run: Run) -> list[Check]:
    """The checks of a run; one that is not there or damaged is left out."""
    notes = run.checks.get("notes") or {}
    checks = []
    for name, show in SHOWN.items():
        title = TITLES[name]
        if isinstance(run.checks.get(name), pd.DataFrame):
            try:
                checks.append(show(run, run.checks[name], title))
            except (*DAMAGED, AttributeError):
                checks.append(Check(title, None, note=f"checks/{name}.csv cannot be read."))
        elif name in notes:
            checks.append(Check(title, None, note=str(notes[name])))
    return checks


def _per_finding(run: Run, found: pd.DataFrame, title: str) -> Check:
    scores = found.pivot(index="finding", columns="arm", values="score")
    single, arms = found.drop_duplicates("finding"), list(dict.fromkeys(found.arm))
    rows = [
        (
            class_title(str(row.finding)),
            f"{row.shown:g} of {row.known:g}",
            *(number(scores.loc[row.finding, arm]) for arm in arms),
        )
        for row in each_row(single)
    ]
    details = [
        (
            class_title(str(row.finding)),
            str(row.arm),
            number(row.score),
            interval(*_bound(run, row.score_low, row.score_high, METRIC)),
        )
        for row in each_row(found)
        if pd.notna(row.score)
    ]
    unranked = [class_title(str(row.finding)) for row in each_row(single) if pd.isna(row.score)]
    note = (
        "AUROC with all labels, mean over draws; intervals are for one arm and finding at a time. "
        "Answers that are unknown are not counted."
    )
    if unranked:
        note += (
            f" Left out of every mean, since all tested images show it or none does: "
            f"{', '.join(unranked)}."
        )
    columns = ("Finding", "Arm", "AUROC", f"{confidence(run)} interval")
    return Check(
        title,
        Table(("Finding", "Test images", *arms), tuple(rows)),
        Table(columns, tuple(details)),
        note,
    )


def _per_region(run: Run, found: pd.DataFrame, title: str) -> Check:
    return Check(title, dice_table(found), scores_table(run, found), NOTE)


def _leakage(run: Run, found: pd.DataFrame, title: str) -> Check:
    rows = [
        (
            str(row.arm),
            number(row.accuracy),
            interval(row.accuracy_low, row.accuracy_high),
            number(row.chance),
            probability(row.accuracy_p),
            number(row.robustness),
            interval(row.robustness_low, row.robustness_high),
        )
        for row in each_row(found)
    ]
    level = confidence(run)
    columns = ("Features", "Site told", f"{level} interval", "By guessing", "p")
    columns += ("Robustness index", f"its {level} interval")
    first = found.iloc[0]
    note = (
        f"Site told: balanced accuracy of a linear probe on {first.subjects:g} subjects of "
        f"{first.sites:g} sites, none of whom it was fitted to; every site and class counts alike, "
        "so that what is told of the class is not taken for the site. Robustness index: of the "
        "nearest images that share the class or the site but not both, the share that has the "
        "class; 0.5 is even, below it the site weighs more."
    ) + CLASSES.get(str(run.study.get("task")), "")
    return Check(title, Table(columns, tuple(rows)), note=note)


def _subgroups(run: Run, found: pd.DataFrame, title: str) -> Check:
    rows = [
        (
            KINDS.get(str(row.kind), str(row.kind)),
            str(row.name),
            str(row.arm),
            f"{row.subjects:g}",
            *(
                ("too few", "")
                if pd.isna(row.score)
                else (number(row.score), interval(*_bound(run, row.score_low, row.score_high)))
            ),
        )
        for row in each_row(found)
    ]
    level, metric = confidence(run), _metric(run)
    details = Table(("Kind", "Group", "Arm", "Subjects", metric, f"{level} interval"), tuple(rows))
    gaps = run.checks.get("gaps")
    told = [] if gaps is None else [
        (
            KINDS.get(str(gap.kind), str(gap.kind)),
            str(gap.arm),
            str(gap.worst),
            str(gap.best),
            signed(gap.difference),
            interval(gap.difference_low, gap.difference_high, signed),
            probability(gap.p),
        )
        for gap in each_row(gaps)
    ]  # fmt: skip
    columns = ("Kind", "Arm", "Worst group", "Best group", "Best minus worst", f"{level} interval")
    note = (
        "With all labels. Best and worst were picked after looking, which widens the difference; "
        "p knows that: it is the probability of a difference as large among groups that are alike. "
        "It is not corrected for the number of arms and kinds."
    )
    if run.study.get("task") == "multilabel":
        note += (
            f" Scores are means over the findings that {FEWEST_PER_CLASS} subjects of every group "
            f"show and {FEWEST_PER_CLASS} do not."
        )
    table = Table((*columns, "p"), tuple(told)) if told else None
    return Check(title, table, details, note)


def _changes(run: Run, found: pd.DataFrame, title: str) -> Check:
    sign = METRICS[run.verdict["metric"]].sign
    rows = []
    for arm, own in found.groupby("arm", sort=False):
        mean = own[own.kind == MEAN].set_index("severity")
        single = own[own.kind != MEAN]
        worst = single.loc[(sign * single.difference).idxmin()]
        strongest = mean.iloc[-1]
        rows.append(
            (
                str(arm),
                number(worst.plain),
                *(_gap(part, "difference") for part in mean.itertuples()),
                _gap(strongest, "against") if pd.notna(strongest.against) else "",
                f"{worst.kind}, x{worst.severity} ({signed(worst.difference)})",
            )
        )
    levels = sorted(set(found.severity))
    columns = ("Arm", f"{_metric(run)} as they are", *(f"Change at x{s}" for s in levels))
    columns += (f"At x{levels[-1]}, less that of scratch", "Worst")
    note = (
        "The models of all labels, first draw, on test images with the noise, blur, levels and "
        "fields that the modality has, up to one and several times as strong as in the views of "
        "pretraining, and at a lower resolution; mean over these kinds with its "
        f"{confidence(run)} interval over subjects, for one comparison at a time."
    )
    return Check(title, Table(columns, tuple(rows)), _list_drops(run, found), note)


def _confounder(run: Run, found: pd.DataFrame, title: str) -> Check:
    alpha = float((run.study.get("protocol") or {}).get("alpha", 0.05))
    sign = METRICS[run.verdict["metric"]].sign
    rows = [
        (
            str(row.arm),
            str(row.kind),
            number(row.plain),
            number(row.changed),
            signed(row.difference),
            interval(row.difference_low, row.difference_high, signed),
            probability(row.p_adjusted),
            FALLS if row.p_adjusted < alpha and sign * row.difference < 0 else HOLDS,
        )
        for row in each_row(found)
    ]
    metric, level = _metric(run), confidence(run)
    columns = ("Arm", "Test images", f"{metric}, mark as in training", f"{metric} now")
    columns += ("Change", f"{level} interval", "Adjusted p", "In words")
    note = (
        "All images but those of the test carry a mark whose brightness tells the class in at "
        "least nine of ten subjects. A model that looks at the clinical sign alone scores the same "
        "whatever the mark of the test images says. Pairs of the same subjects, all labels, first "
        "draw; p is adjusted for all rows, an interval is for its own."
    ) + CLASSES.get(str(run.study.get("task")), "")
    return Check(title, Table(columns, tuple(rows)), note=note)


def _service(run: Run, found: pd.DataFrame, title: str) -> Check:
    return Check(title, service_table(run, found), note=tell_service(run, found))


def _neighbours(run: Run, found: pd.DataFrame, title: str) -> Check:
    found = found.assign(budget=found.budget.astype(str))
    budgets, level, metric = sort_budgets(found.budget), confidence(run), _metric(run)
    cells = {(row.arm, row.budget): row for row in each_row(found)}
    rows = [
        (arm, *(f"{number(cells[arm, b].score)} ({signed(cells[arm, b].gain)})" for b in budgets))
        for arm in dict.fromkeys(found.arm)
    ]
    details = [
        (
            row.arm,
            row.budget,
            number(row.score),
            interval(*_bound(run, row.score_low, row.score_high)),
            number(row.linear),
            _gap(row, "gain"),
            f"{row.fewest:g} to {row.most:g}",
        )
        for row in each_row(found)
    ]
    columns = ("Arm", "Budget", f"{metric}, neighbours", f"{level} interval", "Linear")
    columns += (f"Neighbours less linear, {level} interval", "Neighbours asked")
    note = (
        f"Mean {metric} over draws, and in brackets by how much it differs from the linear model "
        "of the same arm. Nearest neighbours fit nothing: what they find lies open in the "
        "features. Where they fall far behind, the linear model had to look for it; where they "
        "lead with many labels, test images may have near-copies among those of training. They "
        "vote by the cosine of standardised features (arXiv:1805.01978, section 3.4); how many are "
        "asked is chosen by inner folds of each label subset. They take no part in the verdict."
    )
    return Check(title, Table(("Arm", *budgets), tuple(rows)), Table(columns, tuple(details)), note)


def _list_drops(run: Run, found: pd.DataFrame) -> Table:
    rows = [
        (
            str(row.arm),
            str(row.kind),
            f"x{row.severity}",
            number(row.changed),
            signed(row.difference),
            interval(row.difference_low, row.difference_high, signed),
        )
        for row in each_row(found)
    ]
    columns = ("Arm", "Kind", "Severity", _metric(run), "Change", f"{confidence(run)} interval")
    return Table(columns, tuple(rows))


def _gap(row: Any, name: str) -> str:
    low, high = getattr(row, f"{name}_low"), getattr(row, f"{name}_high")
    return f"{signed(getattr(row, name))} {interval(low, high, signed)}"


def _bound(run: Run, low: float, high: float, metric: str = "") -> tuple[float, float]:
    least, most = METRICS[metric or run.verdict["metric"]].bounds
    return max(least, low), min(most, high)


def _metric(run: Run) -> str:
    return metric_title(str(run.verdict.get("metric", "")), run)


TITLES = {
    "service": "PSNR went up, and the task?",
    "per_finding": "How well is each finding told?",
    "per_region": "How well is each region found?",
    "confounder": "Does a planted mark make the score?",
    "leakage": "Do the features tell the site?",
    "subgroups": "Who is served worst?",
    "changes": "How far do scores fall on worse images?",
    "neighbours": "What do nearest neighbours find in the features?",
}
SHOWN: dict[str, Callable[[Run, pd.DataFrame, str], Check]] = {
    "service": _service,
    "per_finding": _per_finding,
    "per_region": _per_region,
    "confounder": _confounder,
    "leakage": _leakage,
    "subgroups": _subgroups,
    "changes": _changes,
    "neighbours": _neighbours,
}
