"""The forest plot of paired differences."""

from __future__ import annotations

import html
from typing import Any

import pandas as pd

from tassl.report.claims import tell_word
from tassl.report.figures import INK, Spec, make_axis, make_layout, make_reach, make_values
from tassl.report.readers import each_row
from tassl.report.styles import WORD_COLOURS, WORD_MARKERS
from tassl.report.words import budget_phrase, interval, probability, signed, sort_budgets


def draw_forest(results: pd.DataFrame, title: str, unit: str, why: str) -> Spec:
    """Forest plot: every pretrained arm minus its reference, budget by budget.

    Markers are hollow where the interval leaves zero out and yet nothing is claimed.

    Args:
        results: The results table.
        title: The metric as the field writes it.
        unit: What a budget counts.
        why: Why nothing is claimed there.
    """
    found = results.loc[results.difference.notna() & (results.verdict != "")]
    labels: dict[int, str] = {}
    places: dict[Any, int] = {}
    headings = []
    place = 0
    for budget in sort_budgets(found.budget):
        headings.append(_heading(place, budget_phrase(budget, unit)))
        for row in each_row(found.loc[found.budget == budget]):
            place += 1
            places[row.Index], labels[place] = place, html.escape(str(row.arm))
        place += 1
    said = [
        tell_word(row.verdict, row.difference_low, row.difference_high, why)
        for row in each_row(found)
    ]
    traces = [_differences(rows, name, places) for name, rows in found.groupby(said)]
    ends = [0.0, *found["difference_low"].dropna(), *found["difference_high"].dropna()]
    margin = 0.06 * (max(ends) - min(ends)) or 0.01
    zero = {"type": "line", "x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper"}
    layout = make_layout(
        110 + 25 * place,
        xaxis=make_axis(
            f"difference in {title}",
            tickformat="+.2~f",
            nticks=5,
            tickangle=0,
            range=[min(ends) - margin, max(ends) + margin],
        ),
        yaxis=make_axis(
            "",
            tickvals=list(labels),
            ticktext=list(labels.values()),
            range=[place - 0.4, -0.8],
            showgrid=False,
            ticks="",
        ),
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        showlegend=True,
        shapes=[zero | {"line": {"color": INK, "width": 1.2}}],
        annotations=headings,
    )
    return {"data": traces, "layout": layout}


def _heading(place: int, text: str) -> Spec:
    return {
        "x": 0,
        "xref": "paper",
        "xanchor": "left",
        "y": place,
        "text": f"<b>{html.escape(text)}</b>",
        "showarrow": False,
        "bgcolor": "white",
    }


def _differences(rows: pd.DataFrame, name: str, places: dict[Any, int]) -> Spec:
    names, word = ("difference", "difference_low", "difference_high"), rows.verdict.iloc[0]
    colour = WORD_COLOURS[word]
    look = {"symbol": WORD_MARKERS[word], "size": 11, "line": {"color": colour, "width": 1.8}}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": html.escape(name),
        "x": make_values(rows["difference"]),
        "y": [places[index] for index in rows.index],
        "error_x": make_reach(rows, names, colour),
        "marker": look | {"color": colour if name == word else "white"},
        "text": [
            f"{html.escape(row.arm)} against {html.escape(row.reference)}<br>"
            f"{signed(row.difference)} {interval(row.difference_low, row.difference_high, signed)}"
            f"<br>adjusted p {html.escape(probability(row.p_adjusted))}"
            for row in each_row(rows)
        ],
        "hovertemplate": "%{text}<extra></extra>",
    }
