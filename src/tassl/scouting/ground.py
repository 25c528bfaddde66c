"""What all pilots share: images, labels of training subjects, and how both are used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold

from tassl.adaptation import Tuning
from tassl.checkpoint import Recipe
from tassl.data.tensors import Tensors
from tassl.heads import HEADS
from tassl.modality.base import Augmentation, ModalityProfile
from tassl.transforms.augment import Augment

FOLDS, REPEATS = 5, 2
FEWEST_SUBJECTS = 4  # of each class
MOST_ROWS = {"label": 1000, "value": 1000, "mask": 40}  # scored; a dense probe takes its time
FIFTHS = 5
Part = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Ground:
    """What all pilots share.

    Args:
        tensors: The images.
        task: Key in `HEADS`.
        classes: Number of classes, background included for segmentation; 1 for a number.
        target: Class or number of every row of the store; masks are read from the store.
        labelled: Rows of training subjects that carry what the task needs. No other label is used.
        pool: Rows to pretrain on.
        recipe: The network of every pilot.
        profile: The modality.
        views: Augmentation ranges of the pretraining.
        augment: Views for training with labels.
        tuning: Steps and rates of a short fine-tuning.
        seed: Of folds, networks and fits.
    """

    tensors: Tensors
    task: str
    classes: int
    target: np.ndarray
    labelled: np.ndarray
    pool: np.ndarray
    recipe: Recipe
    profile: ModalityProfile
    views: Augmentation
    augment: Augment
    tuning: Tuning
    seed: int

    @property
    def kind(self) -> str:
        """What an image is labelled with: "label", "mask" or "value"."""
        return HEADS[self.task].target

    @cached_property
    def rows(self) -> np.ndarray:
        """The labelled rows that are fitted to and scored, a random choice where there are many."""
        rng = np.random.default_rng((self.seed, 4))
        return np.sort(rng.permutation(self.labelled)[: MOST_ROWS[self.kind]])

    @property
    def subjects(self) -> np.ndarray:
        """Subject of each of `rows`."""
        return self.tensors.store.table.subject.to_numpy()[self.rows]

    @cached_property
    def strata(self) -> np.ndarray:
        """What folds are balanced by, for each of `rows`: class, fifth of the values, or nothing."""
        if self.kind == "label":
            return self.target[self.rows].astype(int)
        if self.kind == "value":
            order = self.target[self.rows].argsort(kind="stable").argsort(kind="stable")
            return order * FIFTHS // max(1, len(order))
        return np.zeros(len(self.rows), dtype=int)

    @cached_property
    def folds(self) -> int:
        """Folds of the cross-validation; 0 where too few subjects are labelled for any."""
        if self.kind == "label":
            known = np.unique(self.strata)
            sizes = [len(set(self.subjects[self.strata == c])) for c in known]
            smallest = min(sizes, default=0) if len(known) > 1 else 0
        else:
            smallest = len(set(self.subjects)) // 2
        return min(FOLDS, smallest) if smallest >= FEWEST_SUBJECTS else 0

    @cached_property
    def parts(self) -> list[Part]:
        """Repeated folds by subject, the same for all: places in `rows` to fit on and to score."""
        found = []
        for repeat in range(REPEATS if self.folds else 0):
            split = StratifiedGroupKFold(self.folds, shuffle=True, random_state=self.seed + repeat)
            found += list(split.split(self.strata, self.strata, self.subjects))
        return found

    def targets(self, rows: np.ndarray) -> torch.Tensor:
        """What a head is fitted to, for these rows of the store."""
        if self.kind == "mask":
            return self.tensors.masks(rows)
        return torch.from_numpy(self.target[rows])
