"""Read single files of a run folder; a damaged one raises one of `DAMAGED`."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)
RESULT_COLUMNS = [
    "arm",
    "method",
    "adaptation",
    "budget",
    "metric",
    "mean",
    "low",
    "high",
    "draws",
    "test_subjects",
]
HISTORY_COLUMNS = ("epoch", "loss", "feature_std", "effective_rank", "learning_rate", "seconds")
FINDING_COLUMNS = [
    "reference",
    "difference",
    "difference_low",
    "difference_high",
    "p_adjusted",
    "detectable",
    "verdict",
]


def read_json(file: Path) -> dict[str, Any]:
    """Named values."""
    facts = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(facts, dict):
        raise ValueError(f"wanted named values, found a {type(facts).__name__}")
    return facts


def read_history(file: Path) -> pd.DataFrame:
    """One row per epoch of a pretraining."""
    history = pd.read_csv(file)
    return history.loc[:, list(HISTORY_COLUMNS)]


def read_results(file: Path) -> pd.DataFrame:
    """One row per arm, budget and metric; words are never missing, only empty."""
    words = ["arm", "method", "adaptation", "budget", "metric", "reference", "verdict"]
    table = pd.read_csv(file, dtype=dict.fromkeys(words, str))
    table = table[RESULT_COLUMNS].join(table.reindex(columns=["left_out", *FINDING_COLUMNS]))
    table.left_out = table.left_out.fillna(0)
    table[words] = table[words].fillna("")
    return table


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """Arrays by name."""
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        return {name: archive[name].astype(np.float32) for name in archive.files}


def read_masks(file: Path | None) -> dict[str, np.ndarray]:
    """Predicted class maps by image id; empty where there are none."""
    return _read_by_id(file, "masks")


def read_images(file: Path | None) -> dict[str, np.ndarray]:
    """Restored images (channel, *space) by image id; empty where there are none."""
    found = _read_by_id(file, "images")
    return {name: image.astype(np.float32) for name, image in found.items()}


def _read_by_id(file: Path | None, kind: str) -> dict[str, np.ndarray]:
    if file is None:
        return {}
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return dict(zip(archive["ids"].astype(str), archive[kind], strict=True))
    except DAMAGED:
        return {}


def each_row(table: pd.DataFrame) -> Iterator[Any]:
    """Rows with columns as attributes."""
    return iter(table.itertuples())
