"""Pictures of what pilots found, as places in an SVG 800 units wide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tassl.report.sketch import choose_ticks
from tassl.report.styles import COLOURS
from tassl.report.words import method_title, number

KINDS = {"prior": "published evidence", "measured": "its pilot", "posterior": "both together"}
LEFT, RIGHT, ROW, MARK = 250, 780, 58, 13
EDGE, TOP, BOTTOM = 60, 16, 236  # of the curves


@dataclass(frozen=True)
class Bar:
    """One gain with its interval."""

    kind: str
    x: float
    y: float
    low: float
    high: float
    words: str


@dataclass(frozen=True)
class Row:
    """One candidate: its name and its bars."""

    title: str
    y: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Curve:
    """One candidate: its name, its colour and its points."""

    title: str
    colour: str
    marks: tuple[tuple[float, float, str], ...]

    @property
    def points(self) -> str:
        """The line through them, as SVG wants it."""
        return " ".join(f"{x},{y}" for x, y, _ in self.marks)


def draw_gains(last: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Bars of every candidate that came to the end, and the ticks of the axis."""
    values = [value for item in last for kind in KINDS for value in item[kind] or ()]
    ticks = choose_ticks(min([*values, 0.0]), max([*values, 0.0]))
    scale = (RIGHT - LEFT) / (ticks[-1] - ticks[0])
    place = lambda value: round(LEFT + (value - ticks[0]) * scale, 1)  # noqa: E731
    rows = []
    for k, item in enumerate(last):
        top = k * ROW + 14
        bars = tuple(
            Bar(kind, place(gain[0]), top + j * MARK, place(gain[1]), place(gain[2]), show(gain))
            for j, kind in enumerate(KINDS)
            if (gain := item[kind])
        )
        rows.append(Row(method_title(item["method"]), top + MARK, bars))
    return {
        "rows": rows,
        "ticks": [(place(tick), f"{tick:+g}") for tick in ticks],
        "height": len(rows) * ROW + 40,
    }


def draw_rungs(tried: Sequence[Mapping[str, Any]], floor: float | None) -> dict[str, Any]:
    """Score against the share of the usual epochs, one line per candidate; {} without scores.

    Args:
        tried: Every candidate.
        floor: Score of the best baseline.
    """
    known = [item for item in tried if item["curve"]]
    if not known:
        return {}
    shares = sorted({share for item in known for share, _ in item["curve"]})
    scores = [score for item in known for _, score in item["curve"]]
    scores += [floor] if floor is not None else []
    ticks = choose_ticks(min(scores), max(scores))
    first, doublings = shares[0], math.log2(shares[-1] / shares[0]) or 1.0

    def across(share: float) -> float:
        return round(EDGE + 40 + (RIGHT - EDGE - 80) * math.log2(share / first) / doublings, 1)

    def down(score: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (score - ticks[0]) / (ticks[-1] - ticks[0]), 1)

    return {
        "curves": [
            Curve(
                method_title(item["method"]),
                COLOURS[k % len(COLOURS)],
                tuple((across(share), down(s), f"{share:.0%}: {number(s)}")
                      for share, s in item["curve"]),
            )
            for k, item in enumerate(known)
        ],
        "shares": [(across(share), f"{share:.0%}") for share in shares],
        "ticks": [(down(tick), f"{tick:g}") for tick in ticks],
        "floor": None if floor is None else down(floor),
    }  # fmt: skip


def show(gain: Sequence[float] | None) -> str:
    """A gain with its interval."""
    return "n/a" if gain is None else "{:+.1f} [{:+.1f}, {:+.1f}]".format(*gain)
