"""What cannot be pretrained, refused before any step."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np

from tassl.checkpoint import Recipe
from tassl.data.tensors import Tensors
from tassl.errors import OptionError
from tassl.methods import METHODS
from tassl.networks import NETWORKS
from tassl.pretraining.growing import check_growth
from tassl.pretraining.ranks import Ranks
from tassl.pretraining.schedule import Schedule, fall_back
from tassl.registry import look_up


def check_fit(method: str, recipe: Recipe, images: int, schedule: Schedule) -> None:
    """Refuse what cannot be trained.

    Raises:
        OptionError: The method does not work on this network, on images of these dimensions, on so
            few of them or with so small a batch.
    """
    card = look_up(METHODS, method, "method")
    if recipe.dims not in card.dims:
        raise OptionError(
            f"{card.title} works on {card.dims[0]}D images; these are {recipe.dims}D. "
            "Choose another --method."
        )
    if reason := card.known_failures.get(recipe.network):
        fit = next(name for name in NETWORKS if name not in card.known_failures)
        raise OptionError(
            f"{card.title} does not work on network {recipe.network!r}: {reason}. "
            f"Use --network {fit}."
        )
    check_growth(recipe, schedule)
    least = max(2, card.smallest_batch)
    if images < least or schedule.batch < card.smallest_batch:
        other = fall_back(method, images, schedule.batch)
        raise OptionError(
            f"{card.title} needs at least {least} images in a batch; "
            f"{images} images at batch {schedule.batch} came. "
            f"Give more images or use {'mae' if other == method else other!r}."
        )


def check_sharing(ranks: Ranks, images: int, schedule: Schedule) -> None:
    """Refuse what several processes cannot share evenly.

    Raises:
        OptionError: The batch is no multiple of their number, there are too few images, or the
            batch passes in parts.
    """
    if schedule.batch % ranks.count or images < ranks.count:
        raise OptionError(
            f"--batch is {schedule.batch}, of {images} images; wanted a multiple of the "
            f"{ranks.count} processes that share it. Change --batch or --devices."
        )
    if ranks.count > 1 and schedule.parts > 1:
        raise OptionError(
            f"A batch in {schedule.parts} parts takes one process; {ranks.count} came. "
            "Use 1 part or one device."
        )


def check_same(
    done: Recipe, tensors: Tensors, rows: np.ndarray, method: str, schedule: Schedule
) -> None:
    """Refuse to go on with a run of another kind.

    Raises:
        OptionError: Method, schedule or data are not those it was trained with, or its method
            divides the planned epochs among stages.
    """
    known = {"method": done.method} | done.training
    facts = {"images": len(rows), "data": tensors.store.digest}
    wanted = {"method": method} | asdict(replace(schedule, epochs=known["epochs"])) | facts
    changed = [name for name in wanted if known.get(name) != wanted[name]]
    if changed:
        raise OptionError(
            f"A run cannot go on with another {' and another '.join(changed)}. "
            "Give what it was trained with, or a new folder."
        )
    if METHODS[method].staged:
        raise OptionError(
            f"{METHODS[method].title} divides the epochs that were planned among its stages, so "
            "it cannot go on for more. Give a new folder."
        )
