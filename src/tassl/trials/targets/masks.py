"""A mask per image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tassl.adaptation import Examples, Tuning
from tassl.data.store import Store
from tassl.evaluation.segmentation import dice_of_masks, measure_masks
from tassl.evaluation.splits import split_halves
from tassl.heads.base import Head
from tassl.modality.base import Augmentation
from tassl.transforms.foreground import draw_foreground
from tassl.trials.targets.base import Answers, Target, add_columns, name_rows, predict_batches

if TYPE_CHECKING:
    from tassl.trials.bench import Bench

FOREGROUND = 1 / 3  # of the windows, as nnU-Net draws them (10.1038/s41592-020-01008-z)


class MaskedExamples(Examples):
    """Images whose masks move with them; windows are drawn around foreground now and then."""

    def batch(self, chosen: np.ndarray, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        masks = self.target[chosen].to(rng.device)
        spots = draw_foreground(masks, FOREGROUND, rng) if self.augment.patch else None
        return self.augment.paired(self.images(chosen, rng.device), masks, rng, spots)


class Masks(Target):
    """Class numbers of pixels, background 0.

    Attributes:
        dice: Dice of every class of one image.
        measure: Its other scores.
    """

    words = "masks"
    probed = False
    windowed = True
    dice = staticmethod(dice_of_masks)
    measure = staticmethod(measure_masks)

    def known(self, table: pd.DataFrame) -> pd.Series:
        return table.masked

    def count(self, store: Store, rows: Mapping[str, np.ndarray]) -> int:
        return max(2, len(store.mask_values))

    def values(self, store: Store) -> np.ndarray:
        """The row whose mask is the reference."""
        return np.arange(len(store.table))

    def groups(self, store: Store) -> np.ndarray:
        """The class of the image if any has one, else small and large."""
        labels = super().groups(store)
        return labels if (labels >= 0).any() else split_halves(store.measure_masks())

    def load(self, bench: Bench, rows: np.ndarray) -> Tensor:
        return bench.tensors.masks(bench.target[rows])

    def examples(self, bench: Bench, rows: np.ndarray) -> Examples:
        return MaskedExamples(bench.tensors, rows, self.load(bench, rows), bench.augment)

    def strong_views(self, views: Augmentation) -> Augmentation:
        """Grey values alone: pixels stay where their classes were guessed."""
        return views.still()

    def predict(self, bench: Bench, head: Head, rows: np.ndarray, *, fully: bool = True) -> Answers:
        """Scores of the predicted masks per class, Dice alone unless `fully`; and the masks."""
        batches = predict_batches(bench, head, rows)
        masks = np.concatenate([self.decide(batch).numpy() for batch in batches])
        ids = bench.tensors.store.table.id.to_numpy()[rows].astype(str)
        table = self._tabulate(bench, masks, rows, fully=fully)
        return Answers(table, {"ids": ids, "masks": masks})

    def reference(self, store: Store, row: int) -> np.ndarray:
        """What is to be predicted of a row, (*space)."""
        assert store.masks is not None
        return store.masks[row]

    def decide(self, chances: Tensor) -> Tensor:
        """What probabilities (batch, class, *space) are taken for, (batch, *space) uint8."""
        return chances.argmax(1).byte()

    def tuning(self, dims: int) -> Tuning:
        if dims == 3:
            return Tuning(fewest_steps=150, most_steps=500, passes=3, batch=1)
        return Tuning(fewest_steps=100, most_steps=300, passes=10, batch=16)

    def _tabulate(
        self, bench: Bench, masks: np.ndarray, rows: np.ndarray, *, fully: bool
    ) -> pd.DataFrame:
        store = bench.tensors.store
        pairs = [(mask, self.reference(store, row)) for mask, row in zip(masks, rows, strict=True)]
        dice = [self.dice(*pair, bench.classes) for pair in pairs]
        table = add_columns(name_rows(bench, rows), np.array(dice), "dice_", 1)
        if not fully:
            return table
        spacing = store.grid.spacing or (1.0,) * store.dims
        tolerance = bench.protocol.tolerance
        rest = [self.measure(*pair, bench.classes, spacing, tolerance) for pair in pairs]
        return pd.concat([table, pd.DataFrame(rest).round(6)], axis=1)
