"""What the nearest images make of the features that linear models are fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tassl.evaluation.finding import Arm
from tassl.evaluation.splits import Subset
from tassl.trials.bench import Bench
from tassl.trials.predictions import keep, prediction_file, read_predictions

FOLDER = "neighbours"


def keep_neighbours(
    bench: Bench, arm: Arm, subset: Subset, folder: Path, features: np.ndarray
) -> None:
    """Predict the test images from their nearest labelled images, where the task allows it.

    Args:
        bench: What the trials share.
        arm: Whose features they are.
        subset: The labelled rows.
        folder: Gets neighbours/predictions/ARM_BUDGET_DRAW.parquet.
        features: Of every row of the store, (row, width).
    """
    seed = bench.seed_of(subset.draw)
    model = bench.kind.ask_neighbours(bench, features, subset.rows, seed)
    if model is not None:
        table = bench.kind.probe(bench, model, features[bench.test]).table
        asked = model[-1].get_params()["n_neighbors"]
        keep(table.assign(neighbours=asked), arm, subset, folder / FOLDER)


def read_neighbours(
    folder: Path, arms: Sequence[Arm], subsets: Sequence[Subset]
) -> dict[tuple[str, str], list[pd.DataFrame]]:
    """Predictions of every arm and budget, one table per draw; of arms that have them alone."""
    place = folder / FOLDER
    asked = [arm for arm in arms if prediction_file(place, arm, subsets[0]).exists()]
    return read_predictions(place, asked, subsets)
