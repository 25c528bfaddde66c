"""How far each pilot is trained: shares of the usual epochs, each twice the one before.

A pilot goes on from rung to rung: a constant course can be taken up again before its cool-down, so
only the cool-downs are paid twice. All time is planned from measured steps, so that a scout that
was cut short decides as one that was not.

Source:
    Successive halving: Jamieson & Talwalkar, AISTATS 2016, arXiv:1502.07943, section 3; here the
    rungs say how far, and a paired test says who goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tassl.amounts import round_up, show_time
from tassl.errors import OptionError
from tassl.methods import METHODS
from tassl.pretraining import Schedule

RUNGS = (0.125, 0.25, 0.5, 1.0)  # shares of the usual epochs
LEAST = 0.25  # that ranks methods; a tenth did not on BreastMNIST
RESERVE = 0.9  # share of the time that is planned for


@dataclass(frozen=True)
class Cost:
    """What pretraining one method takes, from a few measured steps.

    Args:
        method: Key in `METHODS`.
        schedule: Of a full pretraining, on a constant course.
        start: Seconds before the first step.
        epoch: Seconds of an epoch.
        took: Seconds that the measuring took.
    """

    method: str
    schedule: Schedule
    start: float
    epoch: float
    took: float

    def at(self, share: float) -> Schedule:
        """The schedule of a share of the usual epochs."""
        return replace(self.schedule, epochs=max(1, round(share * self.schedule.epochs)))

    def training(self, share: float, past: float = 0.0) -> float:
        """Seconds to a share, from an earlier one."""
        continued = past and not METHODS[self.method].staged
        done = self.at(past).cooling_from if continued else 0
        return self.start + (self.at(share).epochs - done) * self.epoch

    @property
    def full(self) -> float:
        """Seconds of a full pretraining."""
        return self.training(1.0)


@dataclass(frozen=True)
class Looks:
    """Seconds that it takes to score one pilot.

    Args:
        probe: On every rung.
        tune: Fine-tuned, on the last.
    """

    probe: float
    tune: float

    def climb(self, cost: Cost, share: float) -> float:
        """Seconds to train and score a pilot on every rung up to a share, and to fine-tune it."""
        total, past = self.tune, 0.0
        for rung in (rung for rung in RUNGS if rung <= share):
            total += cost.training(rung, past) + self.probe
            past = rung
        return total


def admit(costs: Sequence[Cost], looks: Looks, left: float) -> list[Cost]:
    """Those that all reach the least rung in the time left, in the order given.

    Raises:
        OptionError: Not even the cheapest does; the message says how much longer it takes.
    """
    admitted = []
    for cost in costs:
        if (need := looks.climb(cost, LEAST)) <= left:
            admitted.append(cost)
            left -= need
    if not admitted:
        raise OptionError(explain_shortage(costs, looks, left))
    return admitted


def explain_shortage(costs: Sequence[Cost], looks: Looks, left: float) -> str:
    """What is missing for the cheapest pilot."""
    cheapest = min(costs, key=lambda cost: looks.climb(cost, LEAST))
    more = show_time(round_up((looks.climb(cheapest, LEAST) - left) / RESERVE))
    return (
        f"The time is too short for one pilot: {METHODS[cheapest.method].title} needs "
        f"{LEAST:.0%} of its usual epochs to be ranked. Give {more} more, or fewer --epochs."
    )


def next_rung(costs: Sequence[Cost], looks: Looks, share: float, left: float) -> float | None:
    """The rung after a share, if all these pilots reach it in the time left."""
    rung = next((rung for rung in RUNGS if rung > share), None)
    if rung is None or rung <= LEAST:
        return rung
    need = sum(cost.training(rung, share) + looks.probe + looks.tune for cost in costs)
    return rung if need <= left else None
