"""Whether to pretrain at all, with the reasons."""

from __future__ import annotations

from collections.abc import Iterator

from tassl.advisor.effects import NATURAL, SCRATCH
from tassl.advisor.guidelines import pool_is_small
from tassl.advisor.outlook import Outlook, tell_gain
from tassl.advisor.query import Query
from tassl.methods import METHODS

SMALL = 1.0  # points below which a lead does not count
SURE = 0.8  # probability of a gain below which a pilot should come first
FEWEST_STUDIES = 2
PRETRAIN = "pretrain"
NOT = "do not pretrain"
START_NATURAL = "start from natural-image weights"
PILOT = "evidence too thin: run a pilot"


def answer_query(query: Query, outlook: Outlook, studies: int) -> tuple[str, list[str]]:
    """One of `PRETRAIN`, `NOT`, `START_NATURAL` and `PILOT`, and why, most important first.

    Args:
        query: The situation.
        outlook: What is expected in it.
        studies: Studies with figures on its modality and task.
    """
    instead = START_NATURAL if query.natural_weights else NOT
    if not outlook.methods:
        return instead, ["every method is ruled out: see the vetoes"]
    gain = tell_gain(outlook.gains[:, 0], query.task)
    told = [
        f"{METHODS[outlook.methods[0]].title} is expected to change the score by {gain.mean:+.1f} "
        f"points against {name_arm(outlook.baseline)} (80% interval {gain.likely[0]:+.1f} to "
        f"{gain.likely[1]:+.1f}); the probability of a gain is {gain.chance:.0%}",
        *_compare_paradigms(query, outlook),
    ]
    if pool_is_small(query):
        return instead, [
            f"{query.images} images for {query.labels} labels are a small pool: pretraining on "
            "fewer than 1500 images, less than three for each label, seldom pays (G-10, strong); "
            "if at all, try masked restoration (G-11, moderate)",
            *told,
        ]
    if outlook.baseline == NATURAL and gain.mean <= 0:
        return START_NATURAL, told
    if gain.mean <= 0:
        return NOT, told
    if studies < FEWEST_STUDIES:
        count = "no study" if not studies else "one study"
        return PILOT, [f"{count} with figures on {query.modality} {query.task}", *told]
    if gain.chance < SURE:
        return PILOT, [f"a gain is not sure enough: less than {SURE:.0%}", *told]
    return PRETRAIN, told


def _compare_paradigms(query: Query, outlook: Outlook) -> Iterator[str]:
    """How much the choice of the paradigm matters."""
    if len(outlook.methods) > 1:
        lead = tell_gain(outlook.gains[:, 0], query.task).mean
        lead -= tell_gain(outlook.gains[:, 1], query.task).mean
        first, second = (METHODS[name].paradigm for name in outlook.methods[:2])
        weight = "barely matters" if lead < SMALL else "matters"
        yield f"the paradigm {weight} here: {first} leads {second} by {lead:.1f} points"


def name_arm(arm: str) -> str:
    """A baseline in words."""
    return {SCRATCH: "training from scratch", NATURAL: "natural-image weights"}[arm]
