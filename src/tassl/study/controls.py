"""Changes of images that put a study to the test: a planted mark, shuffled pixels, corruption."""

from __future__ import annotations

import numpy as np

from tassl.data.planting import Mark, draw_mark
from tassl.data.shuffling import draw_shuffle
from tassl.data.store import Store
from tassl.data.tensors import Change, Tensors
from tassl.heads import HEADS
from tassl.modality import MODALITIES
from tassl.study.configuration import Study
from tassl.transforms.degradation import list_corruptions
from tassl.trials.bench import Variant

AS_TRAINED, REVERSED = "mark as in training", "mark reversed"


def make_changes(study: Study, store: Store, split: np.ndarray) -> tuple[Change, ...]:
    """The control that a study asks for, as a change of all its images.

    Args:
        study: The configuration.
        store: Its images.
        split: Side of each row; test images are left without the mark.
    """
    if study.plant_confounder:
        return (_draw_mark(study, store).within(split != "test"),)
    return (draw_shuffle(store.grid.shape, study.seed),) if study.shuffle_pixels else ()


def list_variants(study: Study, tensors: Tensors, split: np.ndarray) -> tuple[Variant, ...]:
    """Changes of the test images alone that finished models are tried on.

    Corruptions of the modality; or the planted mark, as the training images have it and reversed.
    Other negative controls have none.
    """
    if study.plant_confounder:
        mark = _draw_mark(study, tensors.store).within(split == "test")
        return Variant(AS_TRAINED, 1, mark), Variant(REVERSED, 1, mark.reversed())
    if study.shuffle_pixels or study.shuffle_labels:
        return ()
    ranges = MODALITIES[study.modality].load().augmentations["global"]
    return tuple(
        Variant(change.kind, change.severity, change)
        for change in list_corruptions(ranges, tensors.normalisation, study.seed)
    )


def answer_groups(store: Store, task: str) -> np.ndarray:
    """What is to be predicted as the number of a group, (row,); -1 where unknown.

    Classes as they are, numbers and sizes of masks as below or above their median.
    """
    target, labels = HEADS[task].target, store.table.label.to_numpy()
    if target == "label" or (target == "mask" and (labels >= 0).any()):
        return labels
    values = store.table.value.to_numpy(float) if target == "value" else measure_sizes(store)
    return np.where(np.isfinite(values), values > np.nanmedian(values), -1).astype(int)


def measure_sizes(store: Store) -> np.ndarray:
    """Pixels (voxels) that each row's mask shows, NaN where it has none, (row,)."""
    masked = store.table.masked.to_numpy()
    if store.masks is None:
        return np.full(len(masked), np.nan)
    sizes = [np.count_nonzero(store.masks[row]) if masked[row] else np.nan
             for row in range(len(masked))]  # fmt: skip
    return np.array(sizes, dtype=float)


def _draw_mark(study: Study, store: Store) -> Mark:
    subjects = store.table.subject.to_numpy()
    return draw_mark(answer_groups(store, study.task), subjects, study.seed)
