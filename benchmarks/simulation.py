"""Studies whose truth is known: scores of arms, budgets and draws, without images.

A latent quality adds up from what subjects, draws and both do, shared or not between arms and
budgets; the metric is a function of it. Quality rises with the logarithm of the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from tassl.evaluation.finding import Arm
from tassl.evaluation.statistics import Scores

LABELS = {"5": 10.0, "25": 50.0, "all": 200.0}
SLOPE = 0.2  # of quality over log labels
BASELINES = (Arm("scratch", "", "finetune"), Arm("random (frozen)", "", "frozen"))
SHAPES = {"dice": expit, "mae": np.exp}


@dataclass(frozen=True)
class World:
    """How a simulated study's scores come about; deviations are on the latent scale.

    Args:
        name: In tables.
        metric: "dice" (logistic in quality), "mae" (exponential) or "auroc" (ranks of scores).
        subjects: Number of test subjects.
        draws: Label subsets per budget.
        images: Most images of a subject; each has between one and this many.
        pretrained: Number of pretrained arms.
        level: Quality of every arm at the smallest budget.
        between: Deviation between subjects, shared by all arms.
        own: Deviation between subjects that each arm has of its own.
        draw: Deviation between draws.
        noise: Deviation of each subject at each draw.
        image: Deviation between images of a subject, shared by all arms.
        common: Share of the draws' variance that all arms have in common.
        nested: Share of the variance of draws, and of subjects by arm, common to all budgets.
        failing: Share of subjects on which every arm fails.
        ranked: Keep the means by subject that Wilcoxon's test takes, which costs time.
    """

    name: str
    metric: str = "dice"
    subjects: int = 50
    draws: int = 4
    images: int = 1
    pretrained: int = 2
    level: float = 0.4
    between: float = 0.8
    own: float = 0.3
    draw: float = 0.15
    noise: float = 0.3
    image: float = 0.6
    common: float = 0.5
    nested: float = 0.5
    failing: float = 0.0
    ranked: bool = False

    @property
    def arms(self) -> list[Arm]:
        """Two baselines and the pretrained arms, of which "a" has the effect."""
        return [*BASELINES, *(Arm(letter, letter, "finetune") for letter in self._letters)]

    @property
    def _letters(self) -> str:
        return "abcdefgh"[: self.pretrained]

    def levels(self, effect: float) -> np.ndarray:
        """Quality of every arm at every budget, (arm, budget)."""
        rise = SLOPE * np.log(np.array(list(LABELS.values())) / LABELS["5"])
        helped = np.array([arm.method == "a" for arm in self.arms])
        return self.level + rise + effect * helped[:, None]

    def truth(self, effect: float = 0.0) -> np.ndarray:
        """Expected metric over subjects, images and draws, (arm, budget)."""
        spread = np.hypot(self.between, np.hypot(self.own, self.noise))
        spread = np.hypot(spread, self.image) if self.images > 1 else spread
        levels = self.levels(effect)
        if self.metric == "auroc":
            return norm.cdf(levels / np.sqrt(2 * spread**2 + self.draw**2))
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        points = levels[..., None] + np.hypot(spread, self.draw) * nodes
        fine, failed = (SHAPES[self.metric](points - shift) @ weights for shift in (0, FALL))
        return ((1 - self.failing) * fine + self.failing * failed) / weights.sum()


FALL = 4.0  # of quality where a subject fails


def draw_study(
    world: World, effect: float, counts: np.ndarray, rng: np.random.Generator
) -> dict[tuple[str, str, str], Scores]:
    """Scores of one study, by arm, budget and metric.

    Args:
        world: How they come about.
        effect: What arm "a" gains in quality.
        counts: How often each subject is drawn, (resample, subject).
        rng: Of everything but the resamples.
    """
    subjects, draws = _draw_parts(world, rng)
    owner = np.arange(world.subjects)
    if world.images > 1:
        owner = np.repeat(owner, rng.integers(1, world.images + 1, world.subjects))
        subjects = subjects[..., owner] + rng.normal(0, world.image, len(owner))
    weights, levels = counts[:, owner], world.levels(effect)[..., None, None]
    if world.metric == "auroc":
        positive = np.arange(len(owner)) % 2 == 0
        values = np.where(positive, levels + draws, 0.0) + subjects
        observed, resampled = _rank_all(values, positive, weights)
    else:
        values = SHAPES[world.metric](levels + draws + subjects)
        flat = values.reshape(-1, len(owner))
        observed = flat.mean(axis=1).reshape(values.shape[:3])
        means = (weights @ flat.T) / weights.sum(axis=1, keepdims=True)
        resampled = np.moveaxis(means.reshape(-1, *values.shape[:3]), 0, 2)
    return {
        (arm.name, budget, world.metric): Scores(
            observed[a, b],
            resampled[a, b],
            world.subjects,
            by_subject=values[a, b].mean(axis=0) if world.ranked else None,
        )
        for a, arm in enumerate(world.arms)
        for b, budget in enumerate(LABELS)
    }


def _draw_parts(world: World, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What hangs on the subject, (arm, budget, draw, subject), and what on the draw alone."""
    arms, budgets = len(world.arms), len(LABELS)

    def nest(deviation: float, shape: tuple[int, ...]) -> np.ndarray:
        whole = rng.normal(0, deviation * world.nested**0.5, (shape[0], 1, *shape[1:]))
        rest = (shape[0], budgets, *shape[1:])
        return whole + rng.normal(0, deviation * (1 - world.nested) ** 0.5, rest)

    failed = FALL * (rng.random(world.subjects) < world.failing)
    subjects = rng.normal(0, world.between, world.subjects) - failed
    subjects = subjects + nest(world.own, (arms, 1, world.subjects))
    subjects = subjects + rng.normal(0, world.noise, (arms, budgets, world.draws, world.subjects))
    draws = nest(world.draw * world.common**0.5, (1, world.draws, 1))
    return subjects, draws + nest(world.draw * (1 - world.common) ** 0.5, (arms, world.draws, 1))


def _rank_all(
    values: np.ndarray, positive: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC of every arm, budget and draw: as it is, and resampled after budget."""
    stacked = np.vstack([np.ones(len(positive)), weights]).astype(np.float32)
    above, below = stacked[:, positive], stacked[:, ~positive]
    flat = values.reshape(-1, values.shape[-1])
    wins = (flat[:, positive, None] > flat[:, None, ~positive]).astype(np.float32)
    beaten = (wins.reshape(-1, below.shape[1]) @ below.T).reshape(len(flat), -1, len(stacked))
    found = np.einsum("trk,kr->tk", beaten, above) / (above.sum(1) * below.sum(1))
    shaped = found.reshape(*values.shape[:3], -1)
    return shaped[..., 0], np.swapaxes(shaped[..., 1:], 2, 3)


def list_worlds() -> Sequence[World]:
    """The settings of the coverage study."""
    grid = [
        World(f"{subjects} subjects, {draws} draw{'s' * (draws > 1)}", "dice", subjects, draws)
        for subjects in (20, 50, 200)
        for draws in (1, 2, 3, 4, 10)
    ]
    ranked = [
        World("50 subjects, 4 draws, ranked", ranked=True),
        World("draws vary not at all, ranked", draw=0.0, ranked=True),
    ]
    near = [
        World(f"Dice near 1, {subjects} subjects", subjects=subjects, level=2.5)
        for subjects in (20, 50, 200)
    ]
    rest = [
        World(f"{metric.upper()}, {subjects} subjects", metric, subjects, level=level)
        for metric, level in (("auroc", 1.0), ("mae", 0.0))
        for subjects in (20, 50, 200)
    ]
    return [
        *grid,
        *ranked,
        *near,
        *rest,
        World("AUROC near 1, 50 subjects", "auroc", level=2.5),
        World("one subject in 20 fails", level=2.5, failing=0.05),
        World("1 to 9 images per subject", images=9),
        World("six pretrained arms", pretrained=6),
        World("draws vary much", draw=0.4),
        World("draws vary much, all arms alike", draw=0.4, common=1.0),
        World("draws vary much, each arm apart", draw=0.4, common=0.0),
        World("noise alone", own=0.0, draw=0.0, noise=0.6),
    ]
