"""What pilots found: the answer, gains by evidence and measurement, what features hold, cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tassl.errors import InputError
from tassl.evaluation.metrics import METRICS
from tassl.heads import HEADS
from tassl.methods import METHODS
from tassl.report.loading import Run
from tassl.report.readers import DAMAGED, read_json
from tassl.report.rendering import Table, render
from tassl.report.words import duration, method_title, number

KINDS = {"prior": "published evidence", "measured": "its pilot", "posterior": "both together"}
LEFT, RIGHT, ROW, MARK = 250, 780, 58, 13  # of the picture, in its units
STEPS = (1, 2, 5, 10, 20, 50, 100)
MOST_TICKS = 8


@dataclass(frozen=True)
class Bar:
    """One gain with its interval, in units of the picture."""

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


def render_scout(run: Run) -> str:
    """What is known of the pilots, as one HTML page.

    Raises:
        InputError: There is no readable scout.json.
    """
    found = _read(run)
    tried = list(found["tried"])
    last = [item for item in tried if not item["fate"]]
    rows, ticks = _draw(last)
    return render(
        "scout.html.j2",
        run=run,
        found=found,
        title=method_title(found["method"]),
        metric=METRICS[HEADS[found["task"]].metrics[0]].title,
        kinds=KINDS,
        rows=rows,
        ticks=ticks,
        height=len(rows) * ROW + 40,
        gains=_tabulate_gains(last),
        scores=_tabulate_scores(found, tried),
        held=list(_list_held([found["random"], *(item["profile"] for item in last)])),
        titles=["random features", *(method_title(item["method"]) for item in last)],
        took=duration(found["seconds"][0]),
        given=duration(found["seconds"][1]),
        everything=duration(found["everything"]),
        vetoes=Table(
            ("Method", "Why it was out of the question"),
            tuple((method_title(name), why) for name, why in found["vetoes"].items()),
        ),
    )


def _read(run: Run) -> dict[str, Any]:
    file = run.folder / "scout.json"
    try:
        return read_json(file)
    except DAMAGED as error:
        raise InputError(
            f"{file} cannot be read ({error}). Give a folder that 'tassl scout' wrote."
        ) from None


def _draw(last: list[Mapping[str, Any]]) -> tuple[list[Row], list[tuple[float, str]]]:
    """Bars of every candidate and the ticks of the axis."""
    values = [value for item in last for kind in KINDS for value in item[kind] or ()]
    low, high = min([*values, 0.0]), max([*values, 0.0])
    scale = (RIGHT - LEFT) / max(high - low, 1e-9)
    place = lambda value: round(LEFT + (value - low) * scale, 1)  # noqa: E731
    rows = []
    for k, item in enumerate(last):
        top = k * ROW + 14
        bars = tuple(
            Bar(kind, place(gain[0]), top + j * MARK, place(gain[1]), place(gain[2]), _tell(gain))
            for j, kind in enumerate(KINDS)
            if (gain := item[kind])
        )
        rows.append(Row(method_title(item["method"]), top + MARK, bars))
    step = next((s for s in STEPS if (high - low) / s <= MOST_TICKS), STEPS[-1])
    numbers = range(round(low / step), round(high / step) + 1)
    ticks = [(place(n * step), f"{n * step:+d}") for n in numbers if low <= n * step <= high]
    return rows, ticks


def _tabulate_gains(last: Iterable[Mapping[str, Any]]) -> Table:
    return Table(
        ("Candidate", "Paradigm", *(f"Gain: {word}" for word in KINDS.values()), "Best of all",
         "In full"),
        tuple(
            (
                method_title(item["method"]),
                METHODS[item["method"]].paradigm,
                *(_tell(item[kind]) for kind in KINDS),
                f"{item['best']:.0%}",
                duration(item["full"]),
            )
            for item in last
        ),
    )  # fmt: skip


def _tabulate_scores(found: Mapping[str, Any], tried: Iterable[Mapping[str, Any]]) -> Table:
    """Scores of baselines and candidates, by the way their features are used."""
    ways = list(dict.fromkeys(
        way for scores in (*found["floors"].values(), *(item["scores"] for item in tried))
        for way in scores
    ))  # fmt: skip
    rows = [
        (name, "", *(number(scores.get(way)) for way in ways), "baseline")
        for name, scores in found["floors"].items()
    ]
    rows += [
        (
            method_title(item["method"]),
            f"{item['share']:.0%}" if item["share"] else "",
            *(number(item["scores"].get(way)) for way in ways),
            item["fate"] or item["health"] or "reached the last rung",
        )
        for item in tried
    ]
    return Table(("", "Trained", *ways, "What became of it"), tuple(rows))


def _list_held(profiles: list[Mapping[str, float]]) -> Iterator[tuple[str, list]]:
    """For each thing that features may hold, how much of it each holds, and its shade."""
    for name in dict.fromkeys(name for profile in profiles for name in profile):
        values = [profile.get(name) for profile in profiles]
        yield name, [("", 0) if v is None else (f"{v:.2f}", round(100 * v)) for v in values]


def _tell(gain: list[float] | None) -> str:
    return "n/a" if gain is None else "{:+.1f} [{:+.1f}, {:+.1f}]".format(*gain)
