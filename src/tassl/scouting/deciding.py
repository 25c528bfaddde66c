"""What to run in full: prior evidence and the pilots' scores, weighed, with what may go wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from tassl.advisor.advice import LEVEL_POINTS
from tassl.scouting.comparing import widen

DRAWS = 20_000
SURE = 0.8  # probability of being the best, and of any gain or none, that settles the choice
# A full pretraining is not its pilot: another seed, and the course between. Checkpoints of one run
# on BreastMNIST lay up to 5 points of AUROC apart on the same folds. Assumed until it is measured
# on more sets (benchmarks/scout.py).
SEED_POINTS, COURSE_POINTS = 1.0, 2.5
LIKELY = (0.1, 0.9)

BEST = "run the best"
LEVEL = "they do not differ: take the cheapest"
NOT = "do not pretrain"
UNSURE = "too few labels to tell"
SHORT = "pilots too short to tell: give more time"
SLIGHT = "too small a gain to tell"
FEW = "too few labels to measure: a prior, not a measurement"
PRIOR = "no labels: a prior, not a measurement"


@dataclass(frozen=True)
class Belief:
    """Gains over the best baseline, in points of the metric (hundredths).

    Args:
        mean: (candidate,).
        covariance: (candidate, candidate).
    """

    mean: np.ndarray
    covariance: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """Standard error of each, (candidate,)."""
        return np.sqrt(np.diag(self.covariance))

    def interval(self, place: int) -> tuple[float, float]:
        """The 80% interval of one candidate."""
        reach = stats.norm.ppf(LIKELY[1]) * self.error[place]
        return float(self.mean[place] - reach), float(self.mean[place] + reach)


@dataclass(frozen=True)
class Decision:
    """What to do, and how sure that is.

    Args:
        answer: `BEST`, `LEVEL`, `NOT`, `UNSURE`, `SHORT`, `SLIGHT`, `FEW` or `PRIOR`.
        place: Of the chosen candidate.
        best: Probability of each to be the best.
        loss: Points that are expected to be lost by going with the expected gain, against the best
            of all, which may be no pretraining.
        helps: Probability that the chosen one gains anything.
        needed: Labelled subjects that would tell the best from the next, or with which anything
            could be measured, where there are too few.
    """

    answer: str
    place: int
    best: tuple[float, ...]
    loss: float
    helps: float
    needed: int | None = None


@dataclass(frozen=True)
class Parts:
    """Gains over the best baseline in points, part by part.

    Args:
        gains: (candidate, part).
        folds: Of the cross-validation.
        subjects: That are labelled.
        ranked: Whether scores are areas under a ROC curve.
    """

    gains: np.ndarray
    folds: int
    subjects: int
    ranked: bool

    @property
    def scored(self) -> float:
        """Subjects of a part."""
        return self.subjects / self.folds

    @property
    def least(self) -> float:
        """Variance had two subjects changed their order, in one part alone.

        Parts of few subjects often agree by chance.
        """
        step = 100 * (2 / self.scored) ** 2 if self.ranked else 0.0
        return step**2 / self.gains.shape[1]


def list_gains(scores: Sequence[np.ndarray], floor: np.ndarray) -> np.ndarray:
    """Gains over the floor in points, on the parts that all share, (candidate, part).

    Args:
        scores: One score per part and candidate, NaN where there is none.
        floor: The same of the best baseline.
    """
    gains = 100 * (np.stack(scores) - floor)
    return gains[:, np.isfinite(gains).all(0)]


def measure_gains(parts: Parts) -> Belief:
    """Mean gains, and how sure they are.

    All candidates are given one variance and one correlation, since few parts cannot tell more;
    both are widened, because parts share subjects, and to the intervals of Student's t, because
    there are few parts.

    Source:
        Degrees of freedom of a sum of variances: Satterthwaite, Biometrics Bulletin 1946,
        10.2307/3002019.
    """
    candidates, count = parts.gains.shape
    single = np.atleast_2d(np.cov(parts.gains))
    variance = max(np.trace(single) / candidates, parts.least)
    apart = candidates * (candidates - 1)
    shared = (single.sum() - np.trace(single)) / apart if apart else 0.0
    alike = min(1.0, abs(shared) / max(variance, 1e-12))  # candidates that go together tell less
    freedom = (count - 1) * candidates / (1 + (candidates - 1) * alike**2)
    few = (stats.t.ppf(LIKELY[1], freedom) / stats.norm.ppf(LIKELY[1])) ** 2
    shape = shared + (variance - shared) * np.eye(candidates)
    return Belief(parts.gains.mean(1), widen(count, parts.folds) * few * shape)


def loosen(measured: Belief, share: float) -> Belief:
    """What pilots of this share of the epochs tell of full pretrainings."""
    variance = SEED_POINTS**2 + COURSE_POINTS**2 * (1 - share)
    return Belief(measured.mean, measured.covariance + variance * np.eye(len(measured.mean)))


def update(prior: Belief, measured: Belief) -> Belief:
    """Prior and measurement, each with the weight of its certainty (normal-normal)."""
    weight = np.linalg.solve(prior.covariance + measured.covariance, prior.covariance).T
    mean = prior.mean + weight @ (measured.mean - prior.mean)
    covariance = prior.covariance - weight @ prior.covariance
    return Belief(mean, (covariance + covariance.T) / 2)


def decide(belief: Belief, seconds: Sequence[float], seed: int = 0) -> Decision:
    """Choose what to run in full.

    Args:
        belief: On full pretrainings.
        seconds: That each takes.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    draws = rng.multivariate_normal(belief.mean, belief.covariance, DRAWS, method="eigh")
    best = np.bincount(draws.argmax(1), minlength=len(belief.mean)) / DRAWS
    behind = (draws.max(1, keepdims=True) - draws).mean(0)
    place = int(belief.mean.argmax())
    worth, answer = belief.mean[place] > 0, BEST
    if worth and best[place] < SURE:
        level = [k for k in range(len(best)) if behind[k] <= LEVEL_POINTS]
        place = min(level, key=lambda k: seconds[k], default=place)
        answer = LEVEL if level else UNSURE
    helps = float((draws[:, place] > 0).mean())
    if helps < SURE:
        answer = NOT if helps <= 1 - SURE else UNSURE
    chosen = draws[:, place] if worth else 0.0
    loss = float((draws.max(1).clip(0) - chosen).mean())
    return Decision(answer, place, tuple(best.tolist()), loss, helps)


def settle(found: Decision, needed: int, subjects: int, share: float) -> Decision:
    """What an unsure decision lacks: labels, time, or a gain that could be told at all.

    Args:
        found: The decision.
        needed: Labelled subjects that would tell.
        subjects: That are labelled.
        share: Of the usual epochs that pilots were trained for.
    """
    if needed > subjects:
        return replace(found, needed=needed)
    if share < 1:
        return replace(found, answer=SHORT)
    return replace(found, answer=BEST if found.helps >= SURE else SLIGHT)


def count_needed(parts: Parts, place: int, rival: int | None) -> int:
    """Labelled subjects with which a candidate would be told from its rival at 80% power.

    The difference that was measured is taken for the true one, at least `LEVEL_POINTS`. Of its
    variance only that of the subjects scored is extrapolated: what hangs on the subjects fitted to
    falls faster, as models settle. Of scores that rank m subjects it goes with (1 + 1 / m) / m,
    of means over them with 1 / m.

    Args:
        parts: What was measured.
        place: Of the candidate.
        rival: Another candidate, or the best baseline where it is None.

    Source:
        Variance of a rank sum without a difference: Mann & Whitney, Annals of Mathematical
        Statistics 1947, 10.1214/aoms/1177730491, section 4.
    """
    apart = parts.gains[place] - (0 if rival is None else parts.gains[rival])
    told = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)  # errors that a difference must measure
    wanted = (max(abs(float(apart.mean())), LEVEL_POINTS) / told) ** 2
    excess = max(float(apart.var(ddof=1)), parts.least) / parts.folds / wanted
    if not parts.ranked:
        return math.ceil(parts.subjects * excess)
    excess *= parts.scored / (1 + 1 / parts.scored)
    return math.ceil(parts.folds * (excess + math.sqrt(excess**2 + 4 * excess)) / 2)
