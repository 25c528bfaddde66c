"""Predictions on disk: one parquet file per arm, budget and draw."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tassl.data.files import write_table
from tassl.evaluation.finding import Arm
from tassl.evaluation.splits import Subset


def prediction_file(folder: Path, arm: Arm, subset: Subset) -> Path:
    """Where a trial's predictions lie."""
    return folder / "predictions" / f"{slug(arm)}_{subset.budget}_{subset.draw}.parquet"


def slug(arm: Arm) -> str:
    """The arm's name as part of a file name."""
    return "-".join(re.findall(r"[a-z0-9]+", arm.name.lower()))


def read_predictions(
    folder: Path, arms: Sequence[Arm], subsets: Sequence[Subset]
) -> dict[tuple[str, str], list[pd.DataFrame]]:
    """Predictions of every arm and budget, one table per draw."""
    tables: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for arm in arms:
        for subset in subsets:
            table = pd.read_parquet(prediction_file(folder, arm, subset))
            tables.setdefault((arm.name, subset.budget), []).append(table)
    return tables


def keep(table: pd.DataFrame, arm: Arm, subset: Subset, folder: Path) -> None:
    """Write a trial's predictions."""
    table = table.assign(arm=arm.name, budget=subset.budget, draw=subset.draw)
    write_table(prediction_file(folder, arm, subset), table)
