"""The cost of a pretraining before it starts, and a schedule that keeps to memory and time."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tassl.amounts import round_up, show_memory, show_time
from tassl.checkpoint import Recipe
from tassl.data.files import write_json
from tassl.data.tensors import Tensors
from tassl.errors import OptionError
from tassl.methods import METHODS, MethodCard
from tassl.pretraining.checking import check_fit
from tassl.pretraining.measuring import Cost, measure_cost, own_memory, release_memory
from tassl.pretraining.saving import explain_savings, list_savings
from tassl.pretraining.schedule import Schedule
from tassl.registry import look_up

FEWEST_EPOCHS = 10
RESERVE = 0.9  # share of the time that is planned for; machines are not equally fast all day


@dataclass(frozen=True)
class Plan:
    """What a pretraining will do and cost.

    Args:
        method: Key in `METHODS`.
        schedule: As it will be trained.
        memory: Bytes of the process at the peak of the training; on a GPU, of the GPU.
        epoch: Seconds of an epoch.
        seconds: Of the whole training.
        disk: Bytes of prepared images, checkpoint and the point to resume from.
        reasons: What differs from what was asked, and why.
    """

    method: str
    schedule: Schedule
    memory: float
    epoch: float
    seconds: float
    disk: float
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """One line for a person."""
        return (
            f"{METHODS[self.method].title} will take {show_memory(self.memory)} of memory, "
            f"{show_time(self.epoch)} per epoch, {show_time(self.seconds)} for "
            f"{self.schedule.epochs} epochs at batch {self.schedule.batch}, and "
            f"{show_memory(self.disk)} of disk"
        )


def plan_pretraining(
    tensors: Tensors,
    rows: np.ndarray,
    *,
    method: str,
    recipe: Recipe,
    schedule: Schedule,
    most_memory: float | None = None,
    most_seconds: float | None = None,
    **job: Any,
) -> Plan:
    """Measure a few steps, and change the schedule until it keeps to memory and time.

    Args:
        tensors: The images.
        rows: Rows to train on.
        method: Key in `METHODS`.
        recipe: Network and image facts.
        schedule: What was asked for.
        most_memory: Bytes that the process may have; without it, what the machine gives.
        most_seconds: Of the whole training.
        **job: What else `pretrain_method` needs: profile and views.

    Raises:
        OptionError: It cannot be trained, or not within this memory or time; then the message
            says the least that works.
    """
    card = look_up(METHODS, method, "method")
    check_fit(method, recipe, len(rows), schedule)
    release_memory()
    held = own_memory()
    room = None if most_memory is None else most_memory - held

    def cost_of(schedule: Schedule, most: float | None = room) -> Cost | None:
        full = job | {"method": method, "recipe": recipe, "schedule": schedule}
        return measure_cost(tensors, rows, most=most, **full)

    savings = list_savings(replace(schedule, grow=0.0), card, recipe.shape)
    measured = cache(lambda number: cost_of(savings[number]) if room is None or room > 0 else None)

    def fits(number: int) -> bool:
        cost = measured(number)
        return cost is not None and (room is None or cost.memory <= room)

    numbers = range(len(savings))
    chosen = 0 if fits(0) else bisect_left(numbers, True, lo=1, key=fits)
    if chosen == len(savings):
        _refuse_memory(card, most_memory, held, cost_of(savings[-1], None))
    kept, cost = savings[chosen], measured(chosen)
    assert cost is not None
    why = "what there is" if most_memory is None else show_memory(most_memory)
    reasons = [f"to keep to {why}: {change}" for change in explain_savings(schedule, kept, card)]
    step, kept = cost.step, replace(kept, grow=schedule.grow)
    if kept.grow:
        small = cost_of(replace(kept, grow=1.0)) or cost
        step += kept.grow * (small.step - step)
    epoch = max(1, len(rows) // kept.batch) * step + cost.probe
    if most_seconds is not None:
        epochs = _fit_epochs(card, kept.epochs, epoch, cost.start, most_seconds)
        if epochs < kept.epochs:
            asked, kept = kept.epochs, replace(kept, epochs=epochs)
            reasons.append(f"to end within {show_time(most_seconds)}: {epochs} epochs, not {asked}")
    files = sum(file.stat().st_size for file in tensors.store.folder.iterdir())
    return Plan(
        method=method,
        schedule=kept,
        memory=held + cost.memory,
        epoch=epoch,
        seconds=cost.start + kept.epochs * epoch,
        disk=files + cost.checkpoint + cost.resume,
        reasons=tuple(reasons),
    )


def _refuse_memory(card: MethodCard, most: float | None, held: int, cost: Cost | None) -> None:
    if cost is None or most is None:
        raise OptionError(
            f"{card.title} does not fit into the memory of this machine, with all that saves it. "
            "Give a smaller --size, or use a larger machine."
        )
    raise OptionError(
        f"--memory {show_memory(most)} is too little for {card.title}, with all that saves it. "
        f"Give {show_memory(round_up(held + cost.memory))} or more, or a smaller --size."
    )


def _fit_epochs(card: MethodCard, asked: int, epoch: float, start: float, most: float) -> int:
    """As many of the epochs as end in time.

    Raises:
        OptionError: Even the fewest that are worth training take longer.
    """
    fewest = min(FEWEST_EPOCHS, asked)
    epochs = min(asked, int((RESERVE * most - start) / epoch))
    if epochs < fewest:
        least = show_time(round_up((start + fewest * epoch) / RESERVE))
        raise OptionError(
            f"--time {show_time(most)} is too little for {card.title}: {fewest} epochs, the fewest "
            f"worth training, take longer. Give {least} or more, or a smaller --size."
        )
    return epochs


def write_plan(file: Path, plan: Plan) -> None:
    """Write a plan as JSON."""
    write_json(file, asdict(plan))


def read_plan(file: Path) -> Plan:
    """Read what `write_plan` wrote."""
    facts = json.loads(file.read_text())
    facts |= {"schedule": Schedule(**facts["schedule"]), "reasons": tuple(facts["reasons"])}
    return Plan(**facts)


def correct_plan(file: Path, training: Mapping[str, Any]) -> None:
    """Write a plan anew where memory ran out and the training went another way.

    Args:
        file: The plan, where there is one.
        training: What the checkpoint says of its training.
    """
    if not file.exists():
        return
    plan, names = read_plan(file), [field.name for field in fields(Schedule)]
    trained = Schedule(**{name: training[name] for name in names})
    if trained != plan.schedule:
        write_plan(file, replace(plan, schedule=trained, reasons=tuple(training["reasons"])))
