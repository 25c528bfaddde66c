"""Boxes around the objects of an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tassl.adaptation import Examples, Tuning
from tassl.data.store import Store
from tassl.errors import InputError
from tassl.evaluation.detection import match_boxes
from tassl.evaluation.splits import number_quantiles
from tassl.heads.base import Head
from tassl.transforms.boxes import NOTHING
from tassl.trials.targets.base import Answers, Target, add_columns, name_rows, predict_batches

if TYPE_CHECKING:
    from tassl.trials.bench import Bench


class BoxedExamples(Examples):
    """Images whose boxes move with them."""

    def batch(self, chosen: np.ndarray, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        boxes = self.target[chosen].to(rng.device)
        return self.augment.boxed(self.images(chosen, rng.device), boxes, rng)


class Boxes(Target):
    """Class numbers from 0, and corners in pixels of the grid; an image may show nothing."""

    words = "boxes"
    even = True
    probed = False
    windowed = True

    def known(self, table: pd.DataFrame) -> pd.Series:
        return table.boxes.notna()

    def count(self, store: Store, rows: Mapping[str, np.ndarray]) -> int:
        for side in ("train", "val", "test"):
            if not sum(len(store.table.boxes.iloc[row]) for row in rows[side]):
                raise InputError(
                    f"No {side} image shows an object. Add some with boxes, or use --own-splits."
                )
        every = np.concatenate([rows[side] for side in rows])
        boxes = np.concatenate([boxes_of_row(store, row) for row in every])
        return 1 + int(boxes[:, 0].max())

    def values(self, store: Store) -> np.ndarray:
        """The row whose boxes are the reference."""
        return np.arange(len(store.table))

    def load(self, bench: Bench, rows: np.ndarray) -> Tensor:
        """(row, box, 1 + 2 * dims): class, low and high corner; filled up with class -1."""
        lists = [boxes_of_row(bench.tensors.store, row) for row in bench.target[rows]]
        most, width = max(map(len, lists)), lists[0].shape[1]
        filled = [
            np.pad(x, ((0, max(1, most) - len(x)), (0, 0)), constant_values=NOTHING) for x in lists
        ]
        return torch.from_numpy(np.stack(filled).reshape(len(rows), -1, width))

    def examples(self, bench: Bench, rows: np.ndarray) -> Examples:
        return BoxedExamples(bench.tensors, rows, self.load(bench, rows), bench.augment)

    def predict(self, bench: Bench, head: Head, rows: np.ndarray, *, fully: bool = True) -> Answers:
        """Boxes of each image beside those of the reference, and which of them are right."""
        found = [
            own[own[:, 1] >= 0].numpy()
            for batch in predict_batches(bench, head, rows)
            for own in batch
        ]
        return Answers(_tabulate(bench, rows, found))

    def strata(self, table: pd.DataFrame) -> pd.DataFrame:
        """In the order of the rarest class that an image shows, then of how many objects it shows.

        So each side, and each label subset of five, has its share of what is rare.
        """
        known = self.known(table)
        if not known.any():
            return table
        step = 1 + 2 * len(table["shape"].iloc[0])
        shown = [np.asarray(boxes, dtype=int)[::step] for boxes in table.boxes[known]]
        often = np.bincount(np.concatenate([np.unique(classes) for classes in shown]))
        rarest = [often[classes].min(initial=len(shown) + 1) for classes in shown]
        order = np.lexsort(([-len(classes) for classes in shown], rarest))
        value = pd.Series(np.nan, index=table.index)
        value[known] = order.argsort().astype(float)
        ranked = table.assign(value=value)
        return ranked.assign(label=number_quantiles(ranked))

    def tuning(self, dims: int) -> Tuning:
        if dims == 3:
            return Tuning(fewest_steps=150, most_steps=400, passes=10, batch=2)
        return Tuning(fewest_steps=200, most_steps=400, passes=8, batch=4, learning_rate=3e-3)


def boxes_of_row(store: Store, row: int) -> np.ndarray:
    """The boxes of a row, (box, 1 + 2 * dims)."""
    return np.asarray(store.table.boxes.iloc[row], dtype=np.float32).reshape(-1, 1 + 2 * store.dims)


def _tabulate(bench: Bench, rows: np.ndarray, found: list[np.ndarray]) -> pd.DataFrame:
    store = bench.tensors.store
    truths = [boxes_of_row(store, row) for row in rows]
    counts = [np.bincount(truth[:, 0].astype(int), minlength=bench.classes) for truth in truths]
    hits = [
        match_boxes(own[:, 2:], own[:, 1], truth[:, 1:], truth[:, 0])
        for own, truth in zip(found, truths, strict=True)
    ]
    table = add_columns(name_rows(bench, rows), np.array(counts), "count_")
    return table.assign(
        boxes=[truth.ravel() for truth in truths],
        found=[own[:, 2:].ravel() for own in found],
        scores=[own[:, 0] for own in found],
        classes=[own[:, 1].astype(np.int16) for own in found],
        hits=[hit.ravel() for hit in hits],
    )
