"""The walk: floor, costs, pilots from rung to rung, and what they say in the end.

Whatever was done is kept on disk, per method and rung, and time is counted as it was planned: a
scout that was cut short goes on, and decides as one that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tassl.errors import OptionError
from tassl.methods import METHODS
from tassl.pretraining import Schedule
from tassl.scouting.comparing import is_worse, pick_floor, pick_scores
from tassl.scouting.deciding import (
    PRIOR,
    SHORT,
    UNSURE,
    Belief,
    Decision,
    count_needed,
    decide,
    loosen,
    measure_gains,
    update,
)
from tassl.scouting.ground import Ground
from tassl.scouting.pilots import (
    Floor,
    Pilot,
    Voice,
    describe_error,
    finish,
    fly,
    mean_scores,
    measure_floor,
    measure_pilot,
)
from tassl.scouting.rungs import LEAST, RESERVE, Cost, Looks, explain_shortage, next_rung

OUT_OF_TIME = "no time was left for it"
Gain = tuple[float, float, float]  # mean and 80% interval, in points over the best baseline
Gains = tuple[Gain, Gain | None, Gain]  # by prior evidence, by its pilot, by both
Prior = Callable[[Sequence[str], float], Belief]


@dataclass(frozen=True)
class Tried:
    """What became of one candidate.

    Args:
        method: Key in `METHODS`.
        fate: Why it went no further; "" where it reached the last rung.
        share: Of the usual epochs that it was trained for.
        scores: Means over the parts, by the way the features are used.
        health: Verdict of its pretraining.
        full: Seconds of a full pretraining; None where it was not measured.
        prior: Expected by published evidence.
        measured: By its pilot.
        posterior: Both together, for a full pretraining.
        best: Probability that it is the best.
        profile: What its features hold.
    """

    method: str
    fate: str = ""
    share: float = 0.0
    scores: Mapping[str, float] = field(default_factory=dict)
    health: str = ""
    full: float | None = None
    prior: Gain | None = None
    measured: Gain | None = None
    posterior: Gain | None = None
    best: float | None = None
    profile: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Survey:
    """What a scout ends with.

    Args:
        answer: One of the answers in `deciding`.
        method: The method to run in full, or that would come first were anything run.
        because: The reasons, most important first.
        helps: Probability that it gains anything over the best baseline.
        loss: Points expected to be lost by the answer.
        needed: Labelled subjects that would tell, where there are too few.
        floor: The best baseline.
        floors: Mean scores of the baselines, by the way they are used.
        random: What random features hold.
        tried: Every candidate, those of the last rung first.
        labelled: Labelled subjects that were scored.
        seconds: That it took, and was given.
        everything: Seconds of pretraining in full every candidate that was measured.
    """

    answer: str
    method: str
    because: tuple[str, ...]
    helps: float
    loss: float
    needed: int | None
    floor: str
    floors: Mapping[str, Mapping[str, float]]
    random: Mapping[str, float]
    tried: tuple[Tried, ...]
    labelled: int
    seconds: tuple[float, float]
    everything: float

    def facts(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def survey(
    ground: Ground,
    schedules: Mapping[str, Schedule],
    seconds: float,
    folder: Path,
    *,
    prior: Prior,
    voice: Voice,
) -> Survey:
    """Try the candidates, small, and say which to run in full.

    Args:
        ground: What all pilots share.
        schedules: Of a full pretraining of each candidate, on a constant course; the candidates
            in the order in which they are worth trying.
        seconds: Time for all of it.
        folder: Keeps what was done.
        prior: What is expected of methods, given the score of the best baseline.
        voice: Tells how far it is.

    Raises:
        OptionError: The time is too short for one pilot, or none could be trained.
    """
    fates: dict[str, str] = {}
    voice.say("Scoring what needs no pretraining")
    paradigms = len({METHODS[name].paradigm for name in schedules})
    floor = measure_floor(ground, folder, seconds, paradigms)
    looks, left = Looks(floor.probe, floor.last), RESERVE * seconds - floor.took
    costs, alive = _admit(ground, schedules, looks, left, seconds, folder, fates, voice)
    spent = floor.took + sum(cost.took for cost in costs)
    left = RESERVE * seconds - spent
    pilots: dict[str, Pilot] = {}
    share = _climb(ground, alive, looks, left, folder, pilots, fates, voice)
    last = [pilots[cost.method] for cost in alive if cost.method not in fates]
    last = _finish_all(ground, last, floor.parts, folder, fates, voice)
    if not last:
        raise OptionError(_list_failures("No pilot came to an end", fates))
    pilots |= {pilot.method: pilot for pilot in last}
    decision, gains, name = _weigh(ground, last, floor, costs, share, prior)
    full = {cost.method: cost.full for cost in costs}
    took = spent + sum(pilot.seconds for pilot in pilots.values())
    chosen = last[decision.place].method
    return Survey(
        answer=decision.answer,
        method=chosen,
        because=tuple(_explain(decision, last, gains, name, floor)),
        helps=decision.helps,
        loss=decision.loss,
        needed=decision.needed,
        floor=name,
        floors={kind: mean_scores(own) for kind, own in floor.scores.items()},
        random=floor.profile,
        tried=(
            *(
                Tried(p.method, "", p.share, mean_scores(p.scores), p.health, full[p.method],
                      *gains[k], decision.best[k], p.profile)
                for k, p in enumerate(last)
            ),
            *(
                Tried(method, fate, full=full.get(method), **_last_look(pilots.get(method)))
                for method, fate in fates.items()
            ),
        ),
        labelled=len(set(ground.subjects)) if ground.parts else 0,
        seconds=(took, seconds),
        everything=sum(full.values()),
    )  # fmt: skip


def _admit(
    ground: Ground,
    schedules: Mapping[str, Schedule],
    looks: Looks,
    left: float,
    given: float,
    folder: Path,
    fates: dict[str, str],
    voice: Voice,
) -> tuple[list[Cost], list[Cost]]:
    """Candidates that were measured, and those that all reach the least rung in the time left.

    Measuring takes time itself, so it ends where there is none left for what was cheapest so far.
    """
    costs, admitted, needs = [], [], []
    for method, schedule in schedules.items():
        if needs and left < min(needs):
            fates[method] = OUT_OF_TIME
            continue
        voice.say(f"Measuring a few steps of {METHODS[method].title}")
        try:
            costs.append(cost := measure_pilot(ground, method, schedule, folder))
        except Exception as problem:  # one method that fails must not end the others
            fates[method] = f"failed: {describe_error(problem)}"
            continue
        left -= cost.took
        needs.append(need := looks.climb(cost, LEAST))
        if need <= left:
            admitted.append(cost)
            left -= need
        else:
            fates[method] = OUT_OF_TIME
    if not costs:
        raise OptionError(_list_failures("No candidate can be trained", fates))
    if not admitted:
        raise OptionError(explain_shortage(costs, looks, left, given))
    return costs, admitted


def _list_failures(what: str, fates: Mapping[str, str]) -> str:
    told = "; ".join(f"{name} {fate}" for name, fate in fates.items())
    return f"{what}: {told}. Name other methods with --method."


def _climb(
    ground: Ground,
    field: Sequence[Cost],
    looks: Looks,
    left: float,
    folder: Path,
    pilots: dict[str, Pilot],
    fates: dict[str, str],
    voice: Voice,
) -> float:
    """Train and score rung by rung until the time is used up; returns the last rung."""
    share, alive = 0.0, list(field)
    while alive and (rung := next_rung(alive, looks, share, left)):
        if rung > LEAST and not ground.parts:
            break  # without labels nothing more would be learnt
        for cost in alive:
            pilots[cost.method] = pilot = fly(ground, cost, rung, folder, voice)
            if pilot.error:
                fates[cost.method] = f"failed: {pilot.error}"
            elif pilot.veto:
                fates[cost.method] = f"vetoed: {pilot.veto}"
        left -= sum(cost.training(rung) + looks.probe for cost in alive)
        share = rung
        alive = [cost for cost in alive if cost.method not in fates]
        if ground.parts and next_rung(alive, looks, share, left):
            fates |= _find_worse(ground, [pilots[cost.method] for cost in alive])
            alive = [cost for cost in alive if cost.method not in fates]
    return share


def _find_worse(ground: Ground, pilots: Sequence[Pilot]) -> dict[str, str]:
    """Those that are clearly worse than the best of their own paradigm, which stays.

    Learning curves of different paradigms cross, so these are not compared before the end.
    """
    fates = {}
    scores = {p.method: pick_scores(p.scores, len(ground.parts)) for p in pilots}
    for paradigm in {METHODS[p.method].paradigm for p in pilots}:
        own = [p for p in pilots if METHODS[p.method].paradigm == paradigm]
        best = max(own, key=lambda p: np.nanmean(scores[p.method]))
        for p in own:
            if is_worse(scores[p.method], scores[best.method], ground.folds):
                title = METHODS[best.method].title
                fates[p.method] = f"dropped at {p.share:.0%} of its epochs: worse than {title}"
    return fates


def _finish_all(
    ground: Ground,
    pilots: Sequence[Pilot],
    parts: int,
    folder: Path,
    fates: dict[str, str],
    voice: Voice,
) -> list[Pilot]:
    """The pilots of the last rung; those that fail are noted."""
    done = []
    with voice.stage("Fine-tuning, and asking what features hold", len(pilots)) as tick:
        for pilot in pilots:
            done.append(finish(ground, pilot, parts, folder))
            tick(METHODS[pilot.method].title)
    fates |= {p.method: f"failed: {p.error}" for p in done if p.error}
    return [p for p in done if not p.error]


def _weigh(
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
    parts, order = len(ground.parts), range(len(methods))
    if not parts:
        expected = prior(methods, np.nan)
        found = decide(expected, seconds, ground.bench.seed)
        told: list[Gains] = [(_tell(expected, k), None, _tell(expected, k)) for k in order]
        return replace(found, answer=PRIOR), told, ""
    name, base = pick_floor(floor.scores, parts)
    measured = measure_gains([pick_scores(p.scores, parts) for p in pilots], base, ground.folds)
    expected = prior(methods, float(np.nanmean(base)))
    belief = update(expected, loosen(measured, share))
    found = decide(belief, seconds, ground.bench.seed)
    if found.answer == UNSURE:
        rival = max((k for k in order if k != found.place), key=lambda k: belief.mean[k])
        known = len(set(ground.subjects))
        needed = count_needed(measured, known, found.place, rival)
        enough = needed <= known
        found = replace(found, answer=SHORT) if enough else replace(found, needed=needed)
    return found, [(_tell(expected, k), _tell(measured, k), _tell(belief, k)) for k in order], name


def _tell(belief: Belief, place: int) -> Gain:
    return (float(belief.mean[place]), *belief.interval(place))


def _explain(
    decision: Decision,
    pilots: Sequence[Pilot],
    gains: Sequence[Gains],
    floor: str,
    scored: Floor,
) -> list[str]:
    """The reasons of a decision in words."""
    pilot, (mean, low, high) = pilots[decision.place], gains[decision.place][2]
    title = METHODS[pilot.method].title
    told = [
        f"{title} is expected to gain {mean:+.1f} points over {floor or 'the best baseline'} (80% "
        f"interval {low:+.1f} to {high:+.1f}); the probability of any gain is {decision.helps:.0%}",
        f"it is the best of {len(pilots)} at {decision.best[decision.place]:.0%}; "
        f"{decision.loss:.1f} points are expected to be lost by this answer",
    ]
    if decision.needed:
        told.append(
            f"about {decision.needed} labelled subjects would tell it from the next at 80% power"
        )
    if scored.scores and not scored.parts:
        told.append(
            "time was too short to fine-tune: frozen features are compared, which is unfair to "
            "masked methods (arXiv:2210.12843)"
        )
    if not scored.scores:
        told.append("too few subjects are labelled to measure anything: published evidence alone")
    return told


def _last_look(pilot: Pilot | None) -> dict[str, Any]:
    """What is known of a candidate that went no further."""
    if pilot is None:
        return {}
    return {"share": pilot.share, "scores": mean_scores(pilot.scores), "health": pilot.health}
