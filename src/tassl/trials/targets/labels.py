"""A class per image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from tassl.data.store import Store
from tassl.errors import InputError
from tassl.heads.base import Head
from tassl.heads.neighbours import ask_classes
from tassl.heads.probe import STRENGTHS, fit_probe
from tassl.trials.targets.base import Answers, Target, add_columns, name_rows, predict_whole

if TYPE_CHECKING:
    from tassl.trials.bench import Bench


class ClassLabels(Target):
    """Class numbers from 0."""

    words = "class labels"
    stratified = True
    penalties = STRENGTHS

    def known(self, table: pd.DataFrame) -> pd.Series:
        return table.label >= 0

    def count(self, store: Store, rows: Mapping[str, np.ndarray]) -> int:
        classes = store.classes
        if len(classes) < 2:
            names = " ".join(classes)
            raise InputError(f"All labels are of one class ({names}); classification needs two.")
        for side in ("train", "test"):
            present = set(store.table.label.to_numpy()[rows[side]])
            if missing := [name for c, name in enumerate(classes) if c not in present]:
                raise InputError(
                    f"No {side} image is of class {missing[0]}. Add some, or use --own-splits."
                )
        return len(classes)

    def values(self, store: Store) -> np.ndarray:
        return store.table.label.to_numpy(copy=True)

    def predict(self, bench: Bench, head: Head, rows: np.ndarray, *, fully: bool = True) -> Answers:
        return _tabulate(bench, rows, predict_whole(bench, head, rows))

    def fit_linear(
        self, bench: Bench, features: np.ndarray, rows: np.ndarray, seed: int
    ) -> Pipeline:
        subjects = bench.tensors.store.table.subject.to_numpy()[rows]
        even = bench.tuning.class_weights
        return fit_probe(features[rows], bench.target[rows], subjects, seed, class_weights=even)

    def ask_neighbours(
        self, bench: Bench, features: np.ndarray, rows: np.ndarray, seed: int
    ) -> Pipeline | None:
        subjects = bench.tensors.store.table.subject.to_numpy()[rows]
        return ask_classes(features[rows], bench.target[rows], subjects, seed)

    def probe(self, bench: Bench, model: Pipeline, features: np.ndarray) -> Answers:
        scores = np.zeros((len(bench.test), bench.classes))
        scores[:, model.classes_] = model.predict_proba(features)
        return _tabulate(bench, bench.test, scores)


def _tabulate(bench: Bench, rows: np.ndarray, scores: np.ndarray) -> Answers:
    return Answers(add_columns(name_rows(bench, rows, "label"), scores, "score_"))
