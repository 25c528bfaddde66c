"""What all pilots share: images, labels of training subjects, and how both are used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from tassl.modality.base import Augmentation, ModalityProfile
from tassl.trials.bench import Bench

FOLDS, REPEATS = 5, 2
FEWEST_SUBJECTS = 4  # of each class
MOST_ROWS, MOST_DENSE_ROWS = 1000, 40  # scored; a dense probe takes its time
FIFTHS = 5
Part = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Ground:
    """What all pilots share.

    Args:
        bench: How labels are used; its test and validation rows are empty.
        labelled: Rows of training subjects that carry what the task needs. No other label is used.
        pool: Rows to pretrain on.
        profile: The modality.
        views: Augmentation ranges of the pretraining.
    """

    bench: Bench
    labelled: np.ndarray
    pool: np.ndarray
    profile: ModalityProfile
    views: Augmentation

    @cached_property
    def rows(self) -> np.ndarray:
        """The labelled rows that are fitted to and scored, a random choice where there are many."""
        rng = np.random.default_rng((self.bench.seed, 4))
        most = MOST_ROWS if self.bench.kind.probed else MOST_DENSE_ROWS
        return np.sort(rng.permutation(self.labelled)[:most])

    @property
    def subjects(self) -> np.ndarray:
        """Subject of each of `rows`."""
        return self.bench.tensors.store.table.subject.to_numpy()[self.rows]

    @property
    def known(self) -> np.ndarray:
        """Subject of each labelled row, scored or not."""
        return self.bench.tensors.store.table.subject.to_numpy()[self.labelled]

    @cached_property
    def strata(self) -> np.ndarray:
        """What folds are balanced by, for each of `rows`: class, fifth of the values, nothing."""
        known = self.bench.target[self.rows]
        if self.bench.kind.stratified:
            return known.astype(int)
        if self.bench.kind.even:
            parts = max(1, min(FIFTHS, len(known) // FOLDS))  # a fold has some of each
            return known.argsort(kind="stable").argsort(kind="stable") * parts // len(known)
        return np.zeros(len(known), dtype=int)

    @property
    def fewest(self) -> int:
        """Labelled subjects from which on anything can be measured."""
        return FEWEST_SUBJECTS * (max(2, self.bench.classes) if self.bench.kind.stratified else 2)

    @cached_property
    def folds(self) -> int:
        """Folds of the cross-validation; 0 where too few subjects are labelled for any."""
        if self.bench.kind.stratified:
            sizes = [len(set(self.subjects[self.strata == c])) for c in range(self.bench.classes)]
            smallest = min(sizes, default=0)
        else:
            smallest = len(set(self.subjects)) // 2
        return min(FOLDS, smallest) if smallest >= FEWEST_SUBJECTS else 0

    @cached_property
    def parts(self) -> list[Part]:
        """Repeated folds by subject, the same for all: places in `rows` to fit on and to score."""
        found = []
        for repeat in range(REPEATS if self.folds else 0):
            split = StratifiedGroupKFold(
                self.folds, shuffle=True, random_state=self.bench.seed + repeat
            )
            found += list(split.split(self.strata, self.strata, self.subjects))
        return found
