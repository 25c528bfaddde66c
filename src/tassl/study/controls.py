"""Changes of images that put a study to the test: a planted mark, shuffled pixels, corruption."""

from __future__ import annotations

import numpy as np

from tassl.data.planting import Mark, draw_mark
from tassl.data.shuffling import draw_shuffle
from tassl.data.store import Store
from tassl.data.tensors import Change, Tensors
from tassl.modality import MODALITIES
from tassl.study.configuration import Study
from tassl.transforms.severities import list_corruptions
from tassl.trials import target_of
from tassl.trials.bench import Variant

AS_TRAINED, REVERSED, ABSENT = "mark as in training", "mark reversed", "no mark"


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
    Other negative controls have none, nor have images that are degraded already.
    """
    if study.plant_confounder:
        mark = _draw_mark(study, tensors.store).within(split == "test")
        return Variant(AS_TRAINED, 1, mark), Variant(REVERSED, 1, mark.reversed())
    if study.shuffle_pixels or study.shuffle_labels or target_of(study.task).floors:
        return ()
    ranges = MODALITIES[study.modality].load().augmentations["global"]
    return tuple(
        Variant(change.kind, change.severity, change)
        for change in list_corruptions(ranges, tensors.normalisation, study.seed)
    )


def _draw_mark(study: Study, store: Store) -> Mark:
    subjects = store.table.subject.to_numpy()
    return draw_mark(target_of(study.task).groups(store), subjects, study.seed)
