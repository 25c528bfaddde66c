"""Which methods a study pretrains."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tassl.advisor import Advice, advise
from tassl.data.files import write_json
from tassl.errors import OptionError
from tassl.heads import HEADS
from tassl.methods import METHODS
from tassl.pretraining import (
    fall_back,
)
from tassl.pretraining.positives import find_places
from tassl.study.clock import Clock
from tassl.study.configuration import Study
from tassl.study.narrator import Narrator
from tassl.study.preparation import (
    Prepared,
    check_task,
    labelled_rows,
)

TRIED = 2  # methods, unless the user names them


def choose_methods(
    study: Study, prepared: Prepared, folder: Path, narrator: Narrator, clock: Clock
) -> list[str]:
    """The methods to pretrain: what pilots chose, those given, or those of the advice."""
    advice = seek_advice(study, prepared)
    write_json(folder / "advice.json", advice.facts())
    if study.checkpoints:
        return []
    if study.methods and not study.scout:
        return list(study.methods)
    narrator.say(f"Advice before measuring: {advice.answer}; {advice.because[0]}")
    if study.scout:
        from tassl.study.scouting import scout_method  # which builds on this module

        return [scout_method(study, prepared, folder, narrator, clock)]
    chosen = advice.pick(TRIED)
    for item in chosen:
        narrator.say(f"Trying {METHODS[item.method].title} ({item.paradigm}): {item.reason}")
    return [item.method for item in chosen]


def seek_advice(study: Study, prepared: Prepared) -> Advice:
    """What published evidence says of the study, with as many labels as its middle budget."""
    labels = len(labelled_rows(prepared, study.task, "train"))
    if budgets := sorted(study.protocol.budgets):
        each = check_task(prepared, study.task) if HEADS[study.task].unit != "subjects" else 1
        middle = budgets[len(budgets) // 2]
        labels = min(labels, round(middle * (labels if middle < 1 else each)))
    return advise(
        study.modality,
        study.task,
        labels=labels or None,
        images=len(prepared.rows("train", "val")),
        size=max(prepared.store.grid.shape),
        dims=prepared.store.dims,
        locality=study.chosen_locality,
        network=study.chosen_network,
    )


def choose_safe(
    study: Study, prepared: Prepared, methods: list[str], narrator: Narrator
) -> list[str]:
    """The methods, with those that need larger batches replaced by their nearest safe kin.

    Raises:
        OptionError: One of them needs places in a series that the images do not have.
    """
    _check_places(prepared, methods)
    images = len(prepared.rows("train", "val"))
    safe = {name: fall_back(name, images, study.batch) for name in methods}
    for name, other in safe.items():
        if other != name:
            narrator.warn(
                f"{METHODS[name].title} needs {METHODS[name].smallest_batch} images in a batch; "
                f"{METHODS[other].title} is trained instead, which is safe with fewer"
            )
    return list(dict.fromkeys(safe.values()))


def _check_places(prepared: Prepared, methods: list[str]) -> None:
    ordered = [METHODS[name].title for name in methods if METHODS[name].ordered]
    if prepared.store.dims != 2 or not ordered:
        return
    if np.isnan(find_places(prepared.store.table.iloc[prepared.rows("train", "val")])).all():
        raise OptionError(
            f"{ordered[0]} contrasts slices by their place in a series, and nothing tells it of "
            "these images. Give a table with columns subject, study and slice, or another --method."
        )
