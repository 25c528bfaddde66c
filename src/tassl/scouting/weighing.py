"""Published evidence and pilots, weighed: the decision, and its reasons in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from tassl.advisor.advice import LEVEL_POINTS
from tassl.heads import HEADS
from tassl.methods import METHODS
from tassl.scouting.comparing import pick_floor, pick_scores
from tassl.scouting.deciding import (
    FEW,
    PRIOR,
    SURE,
    UNSURE,
    Belief,
    Decision,
    Parts,
    count_needed,
    decide,
    list_gains,
    loosen,
    measure_gains,
    settle,
    update,
)
from tassl.scouting.ground import FEWEST_SUBJECTS, Ground
from tassl.scouting.pilots import Floor, Pilot
from tassl.scouting.records import Gain, Gains
from tassl.scouting.rungs import Cost

Prior = Callable[[Sequence[str], float], Belief]


def weigh(
    ground: Ground,
    pilots: Sequence[Pilot],
    floor: Floor,
    costs: Sequence[Cost],
    share: float,
    prior: Prior,
) -> tuple[Decision, list[Gains], str]:
    """The decision, each pilot's gain by prior, measurement and both, and the best baseline."""
    methods = [pilot.method for pilot in pilots]
    seconds = [next(cost.full for cost in costs if cost.method == name) for name in methods]
    count, order = len(ground.parts), range(len(methods))
    if not count:
        expected = prior(methods, np.nan)
        found = decide(expected, seconds, ground.bench.seed)
        told: list[Gains] = [(_tell(expected, k), None, None) for k in order]
        answer, needed = (FEW, ground.fewest) if len(ground.labelled) else (PRIOR, None)
        return replace(found, answer=answer, needed=needed), told, ""
    name, base = pick_floor(floor.scores, count)
    gains = list_gains([pick_scores(pilot.scores, count) for pilot in pilots], base)
    ranked = HEADS[ground.bench.task].metrics[0].endswith("auroc")
    parts = Parts(gains, ground.folds, len(set(ground.subjects)), ranked)
    measured = measure_gains(parts)
    expected = prior(methods, float(np.nanmean(base)))
    belief = update(expected, loosen(measured, share))
    found = decide(belief, seconds, ground.bench.seed)
    if found.answer == UNSURE:
        rivals = [k for k in order if k != found.place] if found.helps >= SURE else []
        rival = max(rivals, key=lambda k: belief.mean[k], default=None)
        needed = count_needed(parts, found.place, rival)
        found = settle(found, needed, parts.subjects, share)
    return found, [(_tell(expected, k), _tell(measured, k), _tell(belief, k)) for k in order], name


def _tell(belief: Belief, place: int) -> Gain:
    return (float(belief.mean[place]), *belief.interval(place))


def explain(
    ground: Ground,
    decision: Decision,
    pilots: Sequence[Pilot],
    gains: Sequence[Gains],
    floor: str,
    scored: Floor,
) -> list[str]:
    """The reasons of a decision in words."""
    prior, _, posterior = gains[decision.place]
    mean, low, high = posterior or prior
    title = METHODS[pilots[decision.place].method].title
    told = [
        f"{title} is expected to gain {mean:+.1f} points over {floor or 'the best baseline'} (80% "
        f"interval {low:+.1f} to {high:+.1f}); the probability of any gain is {decision.helps:.0%}",
        f"it is the best of {len(pilots)} at {decision.best[decision.place]:.0%}; "
        f"{decision.loss:.1f} points are expected to be lost by going with the expected gain",
    ]
    if not ground.parts:
        return [*told, f"{_count_labels(ground)}: nothing was measured, the gain is a prior"]
    if decision.needed:
        doubt = "it from the next" if decision.helps >= SURE else "whether it helps at all"
        told.append(
            f"about {decision.needed} labelled subjects would tell {doubt} at 80% power, if the "
            f"pilots' difference holds ({LEVEL_POINTS:g} points at least)"
        )
        used, known = (len(set(own)) for own in (ground.subjects, ground.known))
        if used < known:
            told.append(f"pilots are scored on {used} of {known}; 'tassl run' uses them all")
    if not scored.parts:
        told.append(
            "time was too short to fine-tune: frozen features are compared, which is unfair to "
            "masked methods (arXiv:2210.12843)"
        )
    return told


def _count_labels(ground: Ground) -> str:
    """How many labels there are, and how many would let pilots be scored."""
    known = len(set(ground.subjects)) or "no"
    each = f", {FEWEST_SUBJECTS} of each class" if ground.bench.kind.stratified else ""
    return (
        f"{known} labelled training subjects, and pilots are scored from {ground.fewest} on{each}"
    )
