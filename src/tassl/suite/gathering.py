"""The tables of a suite: every result of every run, and how each run stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from tassl.report.readers import read_results
from tassl.suite.cells import Cell
from tassl.suite.running import State


def gather_results(cells: Sequence[Cell]) -> pd.DataFrame:
    """One row per set, seed, method, arm, budget and metric, with intervals and verdict."""
    tables = [
        read_results(cell.folder / "results.csv").assign(
            set=cell.set.name, seed=cell.seed, modality=cell.set.modality, task=cell.set.task
        )
        for cell in cells
        if cell.finished
    ]
    if not tables:
        return pd.DataFrame()
    joined = pd.concat(tables, ignore_index=True)
    first = ["set", "seed", "modality", "task"]
    return joined.loc[:, [*first, *(name for name in joined.columns if name not in first)]]


def gather_states(cells: Sequence[Cell], states: Mapping[str, State]) -> pd.DataFrame:
    """One row per run: what became of it, and why."""
    rows = [
        {
            "set": cell.set.name,
            "seed": cell.seed,
            "state": states[cell.name].word,
            "reason": states[cell.name].reason,
            "minutes": round(states[cell.name].seconds / 60, 2),
            "folder": cell.name,
        }
        for cell in cells
    ]
    return pd.DataFrame(rows)
