"""Whether restored images serve a clinical task: a model of clean images is asked of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import delayed
from torch import Tensor

from tassl.data.tensors import Tensors
from tassl.evaluation.finding import Arm
from tassl.evaluation.splits import Subset
from tassl.trials.bench import Bench
from tassl.trials.fitting import fit_arm
from tassl.trials.working import work_off

MODEL = Arm("scratch", "", "finetune")
CLEAN = "clean images"
FITS = 3  # fewer draws claim nothing


class Restored(Tensors):
    """Serves restored images in the place of those of a store.

    Args:
        tensors: The images that were restored.
        images: (image, channel, *space) on the prepared scale.
        rows: Row of the store of each.
    """

    def __init__(self, tensors: Tensors, images: np.ndarray, rows: np.ndarray) -> None:
        super().__init__(tensors.store, tensors.normalisation, (self._replace,))
        self._rows = pd.Index(rows)
        self._restored = images

    def _replace(self, _: Tensor, rows: np.ndarray) -> Tensor:
        chosen = self._restored[self._rows.get_indexer(rows)]
        return (torch.from_numpy(chosen).float() - self._mean) / self._deviation


def ask_models(
    bench: Bench, rows: np.ndarray, files: Mapping[str, Path]
) -> dict[str, list[pd.DataFrame]]:
    """Fit the task's network to clean images, and ask it of clean and of restored ones.

    Args:
        bench: Of the task, with clean images; its test rows are among those that were restored.
        rows: Labelled rows to fit to.
        files: Restored images by the name of their arm, as predictions keep them.

    Returns:
        Predictions of the test rows by arm, `CLEAN` first; one table per fit.
    """
    found: dict[int, dict[str, pd.DataFrame]] = {}
    work_off([delayed(_ask)(bench, rows, files, fit) for fit in range(FITS)], found.update)
    return {name: [found[fit][name] for fit in range(FITS)] for name in (CLEAN, *files)}


def list_restored(tensors: Tensors, file: Path) -> np.ndarray:
    """Rows of the store that an arm restored and kept, (image,)."""
    with np.load(file) as kept:
        return pd.Index(tensors.store.table.id.astype(str)).get_indexer(kept["ids"])


def read_restored(tensors: Tensors, file: Path) -> Restored:
    """Restored images from the file of an arm."""
    with np.load(file) as kept:
        return Restored(tensors, kept["images"], list_restored(tensors, file))


def _ask(
    bench: Bench, rows: np.ndarray, files: Mapping[str, Path], fit: int
) -> dict[int, dict[str, pd.DataFrame]]:
    head = fit_arm(bench, MODEL, Subset("all", fit, rows), bench.tuning)

    def ask(tensors: Tensors) -> pd.DataFrame:
        asked = replace(bench, tensors=tensors)
        return bench.kind.predict(asked, head, bench.test, fully=False).table

    tables = {arm: ask(read_restored(bench.tensors, file)) for arm, file in files.items()}
    return {fit: {CLEAN: ask(bench.tensors)} | tables}
