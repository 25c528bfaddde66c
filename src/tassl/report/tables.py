"""The tables of the report."""

from __future__ import annotations

from typing import Any

from tassl.evaluation.efficiency import Saving
from tassl.evaluation.finding import OVERALL
from tassl.report.claims import show_word, tell_why
from tassl.report.loading import Run
from tassl.report.readers import each_row
from tassl.report.rendering import Table
from tassl.report.words import (
    class_title,
    confidence,
    duration,
    interval,
    list_findings,
    method_title,
    metric_title,
    number,
    plain,
    probability,
    signed,
    sort_budgets,
)

MOST_ROWS = 100


def verdict_table(run: Run) -> Table:
    """One row per budget, and one over all: the verdict and the comparison that it rests on."""
    rows, why = [], tell_why(run)
    for found in list_findings(run):
        gap, budget = found["difference"], str(found["budget"])
        rows.append(
            (
                "over all" if budget == OVERALL else budget,
                show_word(found["verdict"], gap["low"], gap["high"], why),
                str(found["arm"]),
                signed(gap["value"]),
                interval(gap["low"], gap["high"], signed),
                probability(found["p_adjusted"]),
                str(found["reference"]),
                number(gap["detectable"]),
                _better(found.get("effect")),
            )
        )
    columns = (
        "Budget",
        "Verdict",
        "Pretrained arm",
        "Difference",
        f"{confidence(run)} interval",
        "Adjusted p",
        "Reference",
        "Smallest detectable",
        "Subjects better",
    )
    if not any(row[-1] for row in rows):
        return Table(columns[:-1], tuple(row[:-1] for row in rows))
    return Table(columns, tuple(rows))


def savings_table(run: Run) -> Table:
    """With how many labels the baseline scores what the pretrained arm does, budget by budget."""
    whole = run.verdict.get("overall") or {}
    rows = []
    for found in whole.get("savings", []):
        saving = Saving(**found)
        equal, low, high = map(saving.say, (saving.equal, saving.low, saving.high))
        ours = (saving.budget, saving.arm, f"{saving.labels:.0f}")
        rows.append((*ours, saving.reference, equal, f"{low} to {high}"))
    columns = ("Budget", "Pretrained arm", "Labelled subjects", "Baseline", "Needs as many as")
    return Table((*columns, f"{confidence(run)} interval"), tuple(rows))


def results_table(run: Run) -> Table:
    """Every arm, budget and metric."""
    assert run.results is not None
    places = {budget: place for place, budget in enumerate(sort_budgets(run.results.budget))}
    ordered = run.results.sort_values("budget", key=lambda b: b.map(places), kind="stable")
    rows, why = [], tell_why(run)
    for row in each_row(ordered):
        own = (row.budget, metric_title(row.metric, run), row.arm, number(row.mean))
        counts = (str(row.draws), str(row.test_subjects), f"{row.left_out:g}")
        rows.append((*own, interval(row.low, row.high), *_finding(row, why), *counts))
    level = confidence(run)
    columns = ("Budget", "Metric", "Arm", "Mean", f"{level} interval", "Difference")
    columns += (f"its {level} interval", "Reference", "Adjusted p")
    columns += ("Smallest detectable", "Verdict", "Draws", "Test subjects", "Images not counted")
    return Table(columns, tuple(rows))


def advice_table(run: Run) -> Table:
    """Methods in the order of the advice."""
    rows = [
        (
            str(place),
            method_title(str(item.get("method", ""))),
            *(str(item.get(key, "")) for key in ("paradigm", "reason", "source")),
        )
        for place, item in enumerate(run.advice, start=1)
    ]
    return Table(("Place", "Method", "Paradigm", "Why", "Source"), tuple(rows))


def splits_table(audit: dict[str, Any]) -> Table:
    """Images, subjects and labels on each side."""
    splits = audit.get("splits", {})
    classes = list(dict.fromkeys(c for side in splits.values() for c in side.get("classes", {})))
    values = list(dict.fromkeys(q for side in splits.values() for q in side.get("values", {})))
    rows = [
        (
            name,
            *(str(side.get(key, "")) for key in ("images", "subjects", "labelled")),
            *(str(side.get("classes", {}).get(c, 0)) for c in classes),
            *(number(side.get("values", {}).get(q)) for q in values),
        )
        for name, side in splits.items()
    ]
    unit = f" ({audit['unit']})" if audit.get("unit") else ""
    columns = ("Split", "Images", "Subjects", "Labelled", *map(class_title, classes))
    columns += tuple(f"{name.capitalize()} value{unit}" for name in values)
    return Table(columns, tuple(rows))


def set_aside_table(audit: dict[str, Any]) -> Table:
    """Files left out, with the reason."""
    items = audit.get("set_aside", [])[:MOST_ROWS]
    return Table(("File", "Reason"), tuple((str(i["file"]), str(i["reason"])) for i in items))


def duplicates_table(audit: dict[str, Any]) -> Table:
    """Identical images: which was kept, which removed."""
    keys = ("removed", "removed_split", "kept", "kept_split")
    rows = [tuple(str(item[key]) for key in keys) for item in audit.get("duplicates", [])]
    return Table(("Removed", "from", "Same as", "kept in"), tuple(rows[:MOST_ROWS]))


def ranges_table(audit: dict[str, Any]) -> Table:
    """Levels of the images, overall and per site."""
    keys = ("p1", "p50", "p99")
    rows = [
        (str(item["site"]), str(item["images"]), *(f"{item[key]:g}" for key in keys))
        for item in audit.get("ranges", [])
    ]
    columns = ("Site", "Images", "1st percentile", "Median", "99th percentile")
    return Table(columns, tuple(rows))


def tuning_table(run: Run) -> Table:
    """What every trained arm was tried at, and what was chosen."""
    rows = [
        (
            str(facts.get("arm", name)),
            str(len(facts["validation"])),
            ", ".join(map(str, sorted(set(facts.get("steps", {}).values())))),
            str(facts.get("budget", "")),
            str(facts.get("chosen", "")),
            "; ".join(f"{tried}: {number(score)}" for tried, score in facts["validation"].items()),
        )
        for name, facts in run.tuning.items()
        if "validation" in facts
    ]
    columns = ("Arm", "Tries", "Steps each", "Tuned at budget", "Chosen", "Validation scores")
    return Table(columns, tuple(rows))


def strengths_table(run: Run) -> Table:
    """The strengths of the penalty that every linear model chose, draw by draw."""
    held = [facts for facts in run.tuning.values() if "strengths" in facts]
    budgets = sort_budgets(budget for facts in held for budget in facts["chosen"])
    rows = [
        (
            str(facts["arm"]),
            str(len(facts["strengths"])),
            *(", ".join(map(plain, facts["chosen"].get(budget, []))) for budget in budgets),
        )
        for facts in held
    ]
    return Table(("Arm", "Tries", *(f"Chosen with {b}" for b in budgets)), tuple(rows))


def facts_table(facts: dict[str, Any], heads: tuple[str, str]) -> Table:
    """Named values, one per row."""
    return Table(heads, tuple((str(key), plain(value)) for key, value in facts.items()))


def times_table(run: Run) -> Table:
    """Time that each stage took."""
    seconds = run.environment.get("seconds", {})
    rows = [(str(stage), duration(spent)) for stage, spent in seconds.items()]
    return Table(("Stage", "Time"), tuple(rows))


def _better(effect: dict[str, float] | None) -> str:
    """Share of the subjects on which the arm is better, with its interval."""
    if not effect:
        return ""
    share, low, high = (f"{100 * effect[name]:.0f}" for name in ("superiority", "low", "high"))
    return f"{share}% [{low}, {high}]"


def _finding(row: Any, why: str) -> tuple[str, ...]:
    """The comparison of a results row; blank where it has none."""
    if not row.verdict:
        return ("",) * 6
    return (
        signed(row.difference),
        interval(row.difference_low, row.difference_high, signed),
        row.reference,
        probability(row.p_adjusted),
        number(row.detectable),
        show_word(row.verdict, row.difference_low, row.difference_high, why),
    )
