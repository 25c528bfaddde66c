"""A number per image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from tassl.data.store import Store
from tassl.errors import InputError
from tassl.evaluation.splits import number_quantiles, split_halves
from tassl.heads.base import Head
from tassl.heads.neighbours import ask_values
from tassl.heads.ridge import PENALTIES, fit_ridge
from tassl.modality.base import Augmentation
from tassl.trials.targets.base import Answers, Target, name_rows, predict_whole

if TYPE_CHECKING:
    from tassl.trials.bench import Bench


class Values(Target):
    """Numbers in their unit."""

    words = "values"
    even = True
    to_scale = True
    penalties = PENALTIES

    def known(self, table: pd.DataFrame) -> pd.Series:
        return pd.Series(np.isfinite(table.value.to_numpy(dtype=float)), index=table.index)

    def count(self, store: Store, rows: Mapping[str, np.ndarray]) -> int:
        if store.table.value.nunique() < 2:
            raise InputError("All values are the same; regression needs them to differ.")
        return 1

    def values(self, store: Store) -> np.ndarray:
        return store.table.value.to_numpy(np.float32, copy=True)

    def predict(self, bench: Bench, head: Head, rows: np.ndarray, *, fully: bool = True) -> Answers:
        return _tabulate(bench, rows, predict_whole(bench, head, rows)[:, 0])

    def fit_linear(
        self, bench: Bench, features: np.ndarray, rows: np.ndarray, seed: int
    ) -> Pipeline:
        subjects = bench.tensors.store.table.subject.to_numpy()[rows]
        return fit_ridge(features[rows], bench.target[rows], subjects)

    def ask_neighbours(
        self, bench: Bench, features: np.ndarray, rows: np.ndarray, seed: int
    ) -> Pipeline | None:
        subjects = bench.tensors.store.table.subject.to_numpy()[rows]
        return ask_values(features[rows], bench.target[rows], subjects)

    def probe(self, bench: Bench, model: Pipeline, features: np.ndarray) -> Answers:
        return _tabulate(bench, bench.test, model.predict(features))

    def groups(self, store: Store) -> np.ndarray:
        """Below and above the median."""
        return split_halves(store.table.value.to_numpy(float))

    def strata(self, table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(label=number_quantiles(table))

    def views(self, views: Augmentation) -> Augmentation:
        """Nothing changes the size of what is measured."""
        return replace(views, crop=1.0, elastic=0.0)

    def unit(self, store: Store) -> str:
        return store.unit


def _tabulate(bench: Bench, rows: np.ndarray, predicted: np.ndarray) -> Answers:
    return Answers(name_rows(bench, rows, "value").assign(predicted=predicted.astype(float)))
