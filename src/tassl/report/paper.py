"""Tables fit for a paper: LaTeX with booktabs, Markdown or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tassl.errors import UnknownName
from tassl.evaluation.metrics import METRICS
from tassl.evaluation.pairing import Cell, Tested, read_tested, subtract
from tassl.evaluation.statistics import adjust_holm, estimate
from tassl.report.checklist import checklist_table
from tassl.report.loading import Run, load_run
from tassl.report.rendering import Table
from tassl.report.words import (
    budget_phrase,
    budget_unit,
    confidence,
    interval,
    markdown,
    metric_title,
    metric_wish,
    number,
)

FORMATS, PARTS = ("latex", "csv", "markdown"), ("results", "checklist")
PAGE = 40  # rows
ESCAPES = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "×": r"$\times$", "²": r"$^2$"}
)


@dataclass(frozen=True)
class Sheet:
    """A table with what a paper says around it.

    Args:
        table: Its cells.
        caption: What it shows and how to read it.
        bold: Row and column of the cells that are set in bold.
    """

    table: Table
    caption: str
    bold: frozenset[tuple[int, int]] = frozenset()


def export_run(folder: Path, to: str, part: str = "results", metric: str | None = None) -> str:
    """A part of a finished run as text.

    Args:
        folder: The run folder.
        to: One of `FORMATS`.
        part: One of `PARTS`.
        metric: Metric of the results; that of the verdict unless given.

    Raises:
        UnknownName: There is no such format, part or metric.
        RunFolderError: The run is not finished, so that it has no results.
    """
    for kind, name, known in (("format", to, FORMATS), ("part", part, PARTS)):
        if name not in known:
            raise UnknownName(kind, name, known)
    run = load_run(folder)
    sheet = _sheet_checklist(run) if part == "checklist" else _sheet_results(run, metric)
    return {"latex": to_latex, "csv": to_csv, "markdown": to_markdown}[to](sheet)


def _sheet_checklist(run: Run) -> Sheet:
    caption = "Items of CLAIM 2024 (10.1148/ryai.240300) and TRIPOD+AI (10.1136/bmj-2023-078378)."
    return Sheet(checklist_table(run), caption)


def _sheet_results(run: Run, metric: str | None) -> Sheet:
    """Arms by budgets: mean and interval; the best in bold where the paired test says so."""
    tested = read_tested(run.folder)
    assert run.results is not None
    name = metric or tested.metric
    rows = run.results.loc[run.results.metric == name]
    if rows.empty:
        raise UnknownName("metric of this run", name, set(run.results.metric))
    best = find_best(replace(tested, metric=name))
    cells, bold = [], set()
    for i, arm in enumerate(tested.arms):
        line = [arm]
        for j, budget in enumerate(tested.budgets, start=1):
            found = rows.loc[(rows.arm == arm) & (rows.budget == budget)].iloc[0]
            line.append(f"{number(found['mean'])} {interval(found.low, found.high)}")
            if (arm, budget) in best:
                bold.add((i, j))
        cells.append(tuple(line))
    heads = [budget_phrase(budget, budget_unit(run)) for budget in tested.budgets]
    told = tested.protocol
    caption = (
        f"{metric_title(name, run)}, mean [{confidence(run)} interval] on "
        f"{rows.test_subjects.iloc[0]} test subjects, {told.draws} draws of labels. "
        f"{metric_wish(name)}. Bold: best at its budget against every other arm, in paired tests "
        f"on the same subjects (Holm, {told.alpha:g})."
    )
    return Sheet(Table(("Arm", *heads), tuple(cells)), caption, frozenset(bold))


def find_best(tested: Tested) -> set[Cell]:
    """Arms that beat every other one at their budget, after Holm over all of these comparisons."""
    merit, rules = METRICS[tested.metric].merit, tested.protocol
    leaders, values = [], []
    for budget in tested.budgets:
        here = {arm: tested.score(arm, budget) for arm in tested.arms}
        lead = max(here, key=lambda arm: merit(float(here[arm].observed.mean())))
        gaps = [subtract(here[lead], other) for arm, other in here.items() if arm != lead]
        leaders.append((lead, budget))
        values.append([estimate(gap, rules.confidence, gaps).p for gap in gaps])
    adjusted = adjust_holm([p for own in values for p in own])
    ends = np.cumsum([len(own) for own in values])
    parts = np.split(adjusted, ends[:-1])
    return {
        cell
        for cell, own in zip(leaders, parts, strict=True)
        if len(own) and max(own) < rules.alpha
    }


def to_csv(sheet: Sheet) -> str:
    """Cells alone, and whether they are bold is left out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(sheet.table.columns)
    writer.writerows(sheet.table.rows)
    return text.getvalue()


def to_markdown(sheet: Sheet) -> str:
    """A Markdown table under its caption."""
    heads = [markdown(column) for column in sheet.table.columns]
    lines = [markdown(sheet.caption), "", _row(heads), _row("---" for _ in heads)]
    for i, cells in enumerate(sheet.table.rows):
        told = [markdown(cell) for cell in cells]
        lines.append(_row(f"**{c}**" if (i, j) in sheet.bold else c for j, c in enumerate(told)))
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def to_latex(sheet: Sheet) -> str:
    """A LaTeX table, of several pages where it is long; needs booktabs, and longtable for those."""
    table, long = sheet.table, len(sheet.table.rows) > PAGE
    column = rf"p{{{0.8 / len(table.columns):.2f}\linewidth}}" if long else "c"
    columns = "l" + column * (len(table.columns) - 1)
    caption, head = rf"\caption{{{escape(sheet.caption)}}}", _line(map(escape, table.columns))
    lines = [
        _line(rf"\textbf{{{c}}}" if (i, j) in sheet.bold else c for j, c in enumerate(told))
        for i, told in enumerate([[escape(cell) for cell in row] for row in table.rows])
    ]
    if long:
        start = [rf"\begin{{longtable}}{{{columns}}}", rf"{caption}\\", r"\toprule", head]
        end = [r"\bottomrule", r"\end{longtable}"]
        return "\n".join([*start, r"\midrule", r"\endhead", *lines, *end]) + "\n"
    start = [r"\begin{table}", r"\centering", caption, rf"\begin{{tabular}}{{{columns}}}"]
    end = [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join([*start, r"\toprule", head, r"\midrule", *lines, *end]) + "\n"


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def escape(text: str) -> str:
    r"""Text that LaTeX sets as it is.

    >>> escape("95% of a_b")
    '95\\% of a\\_b'
    """
    return text.translate(ESCAPES)
