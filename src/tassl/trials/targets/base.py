"""The contract of a target: what an image must be labelled with for a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tassl.adaptation import Examples, Tuning, predict_rows
from tassl.data.store import Store
from tassl.evaluation.finding import Arm
from tassl.evaluation.splits import Subset, draw_subsets
from tassl.heads.base import Head
from tassl.modality.base import Augmentation

if TYPE_CHECKING:
    from tassl.trials.bench import Bench

PREDICT_BATCH = {2: 128, 3: 4}


@dataclass(frozen=True)
class Answers:
    """What a head said of some rows.

    Args:
        table: A prediction table, one row per image.
        arrays: What pictures of them need; nothing where the table says it all.
    """

    table: pd.DataFrame
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


class Target(ABC):
    """One kind of target, and what a study does differently for it.

    Attributes:
        words: What images carry, as messages say it.
        stratified: Whether label subsets count subjects per class.
        even: Whether label subsets spread evenly over the range of values.
        to_scale: Whether all images must be shrunk by the same factor.
        probed: Whether frozen arms are linear models on a vector per image.
        windowed: Whether large volumes are trained on by windows.
        implied: Whether images carry it without being labelled.
        floors: Baselines that learn from no label.
        penalties: Strengths that a linear model chooses one of, within its label subset.
    """

    words: str
    stratified = False
    even = False
    to_scale = False
    probed = True
    windowed = False
    implied = False
    floors: tuple[Arm, ...] = ()
    penalties: tuple[float, ...] = ()

    @abstractmethod
    def known(self, table: pd.DataFrame) -> pd.Series:
        """Which rows of a store's table carry it."""

    @abstractmethod
    def count(self, store: Store, rows: Mapping[str, np.ndarray]) -> int:
        """Number of classes as the head counts them.

        Args:
            store: The images.
            rows: Labelled rows of each side, none of them empty.

        Raises:
            InputError: They do not suffice for the task.
        """

    @abstractmethod
    def values(self, store: Store) -> np.ndarray:
        """What each row is labelled with, (row, ...): itself, or the row where it is found."""

    @abstractmethod
    def predict(self, bench: Bench, head: Head, rows: np.ndarray, *, fully: bool = True) -> Answers:
        """What a head says of these rows; without `fully`, only what the first metric needs."""

    def fit_linear(self, bench: Bench, features: np.ndarray, rows: np.ndarray, seed: int) -> Any:
        """A linear model of the features of these rows; features are of all rows of the store."""
        raise NotImplementedError(f"{self.words} are not predicted from a vector per image")

    def ask_neighbours(
        self, bench: Bench, features: np.ndarray, rows: np.ndarray, seed: int
    ) -> Any:
        """The same of the images nearest to these rows; None where nothing can be averaged."""
        return None

    def floor(self, bench: Bench, arm: Arm) -> Answers:
        """What one of the floors says of the test rows."""
        raise NotImplementedError(f"{self.words} have no floor named {arm.name}")

    def probe(self, bench: Bench, model: Any, features: np.ndarray) -> Answers:
        """What a model of features says of the test rows."""
        raise NotImplementedError(f"{self.words} are not predicted from a vector per image")

    def groups(self, store: Store) -> np.ndarray:
        """A group of what is to be predicted for each row, -1 where unknown; the class if any."""
        return store.table.label.to_numpy()

    def examples(self, bench: Bench, rows: np.ndarray) -> Examples:
        """Labelled rows to fit a head to."""
        return Examples(bench.tensors, rows, self.load(bench, rows), bench.augment)

    def load(self, bench: Bench, rows: np.ndarray) -> Tensor:
        """What these rows are labelled with, one entry each, as the head's loss takes it."""
        return torch.from_numpy(bench.target[rows])

    def strata(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with the column `label` that splits are balanced by."""
        return table

    def subsets(
        self,
        table: pd.DataFrame,
        usable: np.ndarray,
        budgets: Sequence[float],
        draws: int,
        seed: int,
    ) -> list[Subset]:
        """Nested label subsets of the usable rows, as `draw_subsets` gives them."""
        return draw_subsets(
            self.strata(table),
            usable,
            budgets,
            draws,
            seed,
            stratified=self.stratified,
            even=self.even,
        )

    def tally(self, table: pd.DataFrame) -> dict[int, int]:
        """Images of each class that these rows show."""
        return table.label[table.label >= 0].value_counts().sort_index().to_dict()

    def views(self, views: Augmentation) -> Augmentation:
        """Views to train on, from mild ones, that leave what is learnt as it is."""
        return views

    def strong_views(self, views: Augmentation) -> Augmentation:
        """Views, from strong ones, that a semi-supervised head learns from without labels."""
        return views

    def unit(self, store: Store) -> str:
        """Unit of what the metrics measure; that of lengths on the grid unless overridden."""
        return "mm" if store.grid.spacing else "pixels"

    def tuning(self, dims: int) -> Tuning:
        """Steps and batch that fit a small machine, the same for every arm."""
        return Tuning(fewest_steps=100, most_steps=400, passes=25, batch=32 if dims == 2 else 8)


def name_rows(bench: Bench, rows: np.ndarray, *more: str) -> pd.DataFrame:
    """Image and subject of each row, and these columns of the store's table."""
    columns = ["id", "subject", *more]
    return bench.tensors.store.table.iloc[rows][columns].reset_index(drop=True)


def add_columns(
    table: pd.DataFrame, values: np.ndarray, prefix: str, first: int = 0
) -> pd.DataFrame:
    """The table with numbered columns of values (row, column)."""
    names = [f"{prefix}{first + k}" for k in range(values.shape[1])]
    return table.assign(**dict(zip(names, np.round(values.T.astype(float), 6), strict=True)))


def predict_batches(bench: Bench, head: Head, rows: np.ndarray) -> Iterator[Tensor]:
    """What a head predicts, in batches as large as images of this kind allow."""
    batch, window = PREDICT_BATCH[bench.tensors.store.dims], bench.augment.patch
    return predict_rows(head, bench.tensors, rows, batch, window if head.dense else None)


def predict_whole(bench: Bench, head: Head, rows: np.ndarray) -> np.ndarray:
    """The same in one piece, (row, ...)."""
    return torch.cat(list(predict_batches(bench, head, rows))).numpy()
