"""Are a scout's claims right as often as it says? Decisions on drawn gains, without images.

Gains of full pretrainings are drawn from what published evidence expects, scores of pilots with
the errors that the scout allows for: another seed and course, and parts that share subjects. Then
a candidate and its baseline, whose features tell two classes apart to a known degree, are
cross-validated on few subjects, and on as many as the scout says would tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.figures import Figure
from tassl.advisor import Query
from tassl.scouting.comparing import pick_floor
from tassl.scouting.deciding import (
    COURSE_POINTS,
    NOT,
    SEED_POINTS,
    SURE,
    Belief,
    Parts,
    count_needed,
    decide,
    list_gains,
    loosen,
    measure_gains,
    update,
)
from tassl.scouting.ground import FOLDS, REPEATS
from tassl.study.scouting import expect_gains

FIELD = ("mae", "simclr", "rotation", "byol")
QUERY = Query("ultrasound", "classification", labels=50, images=500)
BASE = 0.75
SCOUTS, STUDIES = 700, 300
PENALTY = 5.0  # of ridge regression
COVERAGE, RIGHT, WRONG = (0.75, 0.85), 0.78, 0.2


@dataclass(frozen=True)
class World:
    """How pilots are scored.

    Args:
        noise: Points by which the score of a part varies.
        parts: Scored.
        share: Of the usual epochs.
        floors: Baselines, equally good.
    """

    noise: float
    parts: int = FOLDS * REPEATS
    share: float = 0.25
    floors: int = 1


WORLDS = {
    "few labels": World(noise=12),
    "few labels, three baselines": World(noise=12, floors=3),
    "three parts fine-tuned": World(noise=6, parts=3, share=0.5),
    "many labels, full course": World(noise=3, share=1.0),
}


def measure() -> Iterator[Figure]:
    """Coverage, claims and regret in every world, and power with the labels that are asked for."""
    for name, world in WORLDS.items():
        yield from _judge(name, _simulate(world, SCOUTS))
    for subjects in (8, 20, 40):
        yield from _power(subjects)


def _judge(name: str, found: pd.DataFrame) -> Iterator[Figure]:
    least, limit = COVERAGE
    sure, none = found[found.helps >= SURE], found[found.answer == NOT]
    yield Figure(f"{name}: 80% intervals hold the gain", found.held.mean(), "", limit, least)
    yield Figure(f"{name}: claims of a gain", len(sure) / len(found))
    yield Figure(f"{name}: ... as they say", sure.helps.mean())
    yield Figure(f"{name}: ... that are right", (sure.gain > 0).mean(), "", least=RIGHT)
    yield Figure(f"{name}: claims of none", len(none) / len(found))
    yield Figure(f"{name}: ... that are wrong", (none.gain > 0).mean(), "", WRONG)
    yield Figure(f"{name}: regret of the prior", found.without.mean(), "points")
    yield Figure(f"{name}: regret", found.regret.mean(), "points", found.without.mean())


def _simulate(world: World, scouts: int) -> pd.DataFrame:
    """What each scout says of gains that are known here."""
    rng, prior = np.random.default_rng(0), expect_gains(QUERY, FIELD, BASE)
    return pd.DataFrame([_scout(world, prior, rng) for _ in range(scouts)])


def _scout(world: World, prior: Belief, rng: np.random.Generator) -> dict[str, object]:
    gains = rng.multivariate_normal(prior.mean, prior.covariance, method="eigh")
    moved = sqrt(SEED_POINTS**2 + COURSE_POINTS**2 * (1 - world.share))
    shown = gains + rng.normal(0, moved, len(gains))
    floors = _draw_parts(np.zeros(world.floors), world, rng)
    scores = {str(k): {"frozen": own.tolist()} for k, own in enumerate(floors)}
    _, floor = pick_floor(scores, world.parts)
    told = list_gains(list(_draw_parts(shown, world, rng)), floor)
    measured = measure_gains(Parts(told, FOLDS, QUERY.labels or 0, ranked=False))
    belief = update(prior, loosen(measured, world.share))
    found = decide(belief, range(len(gains)))
    low, high = belief.interval(found.place)
    gain, best = gains[found.place], max(0.0, gains.max())
    first = gains[prior.mean.argmax()] if prior.mean.max() > 0 else 0.0
    return {
        "answer": found.answer,
        "helps": found.helps,
        "gain": gain,
        "held": low <= gain <= high,
        "regret": best - (gain if belief.mean[found.place] > 0 else 0.0),
        "without": best - first,
    }


def _draw_parts(means: np.ndarray, world: World, rng: np.random.Generator) -> np.ndarray:
    """Scores (candidate, part) around means in points, correlated as parts that share subjects.

    Source:
        Nadeau & Bengio, Machine Learning 2003, 10.1023/A:1024068626366, section 3.
    """
    size, joint = (len(means), world.parts), 1 / FOLDS
    same, own = rng.normal(size=(len(means), 1)), rng.normal(size=size)
    noise = world.noise / sqrt(2)  # a gain is the difference of two scores
    return (means[:, None] + noise * (sqrt(joint) * same + sqrt(1 - joint) * own)) / 100


def _power(subjects: int) -> Iterator[Figure]:
    """Power of a test at 5% with as many subjects as the scout asks for, of this many."""
    gain = _cross_validate(300, seed=0).mean()
    few = _cross_validate(subjects, seed=1)
    few += gain - few.mean(1, keepdims=True)  # the scout takes what it measured for the truth
    asked = [count_needed(_part(own, subjects), 0, None) for own in few]
    enough = int(np.median(asked))
    many = _cross_validate(enough, seed=2)
    own = np.array([measure_gains(_part(scores, enough)).error[0] for scores in many])
    for name, error in (("", many.mean(1).std()), (", by the scout's error", own)):
        power = (many.mean(1) > stats.norm.ppf(0.975) * error).mean()
        least = None if name else 0.7
        yield Figure(f"{subjects} labels ask for {enough}: power{name}", power, "", least=least)


def _part(gains: np.ndarray, subjects: int) -> Parts:
    return Parts(gains[None], len(gains) // REPEATS, subjects, ranked=True)


def _cross_validate(subjects: int, seed: int) -> np.ndarray:
    """Gains in AUROC points of a linear model of better features, (study, part).

    Half of the subjects are ill; features of both kinds are correlated.
    """
    rng, width, half = np.random.default_rng(seed), 8, subjects // 2
    folds = min(FOLDS, half)
    ill = np.repeat([1.0, -1.0], half)
    shape = (STUDIES, 2 * half, width)
    shared, scores = rng.normal(size=shape), []
    kinds = [
        sqrt(0.7) * shared + sqrt(0.3) * rng.normal(size=shape) + ill[:, None] * signal
        for signal in (0.21, 0.14)
    ]
    for _ in range(REPEATS):
        order = rng.random((STUDIES, 2, half)).argsort(-1).reshape(STUDIES, -1) % folds
        for fold in range(folds):
            fitted = order != fold
            better, worse = (_score_fold(kind, ill, fitted) for kind in kinds)
            scores.append(100 * (better - worse))
    return np.stack(scores, 1)


def _score_fold(features: np.ndarray, ill: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """AUROC of ridge regression on the subjects that it was not fitted to, (study,)."""
    known = features * fitted[..., None]  # centred already, and both classes are as large
    inner = np.einsum("sna,snb->sab", known, known) + PENALTY * np.eye(features.shape[2])
    weights = np.linalg.solve(inner, np.einsum("sna,n->sa", known, ill)[..., None])
    told, half = (features @ weights)[..., 0], len(ill) // 2
    pairs = ~fitted[:, :half, None] & ~fitted[:, None, half:]
    right = told[:, :half, None] > told[:, None, half:]
    return (right & pairs).sum((1, 2)) / pairs.sum((1, 2))
