"""What the evidence says of the effects, and what follows for arms in a context."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from tassl.advisor.effects import FREEDOM, Context, list_effects, name_kind
from tassl.data.files import write_arrays

Effect = tuple[str, str]
Arm = tuple[str, str]

SHIPPED = Path(__file__).with_name("posterior.npz")


@dataclass(frozen=True)
class Posterior:
    """Effects on the logit scale, jointly normal.

    Args:
        names: Group and name of each effect.
        mean: Of each effect (effect,).
        covariance: Of the effects (effect, effect).
        spread: Standard deviation of each group of effects.
        noise: Residual standard deviation.
        studies: Publications that the effects rest on.
        scales: How widely the scores of each one scatter, beside the others.
        moves: What each study adds to each mean (effect, study); the sum over studies is the mean.
    """

    names: tuple[Effect, ...]
    mean: np.ndarray
    covariance: np.ndarray
    spread: Mapping[str, float]
    noise: float
    studies: tuple[str, ...]
    scales: tuple[float, ...]
    moves: np.ndarray

    def predict(
        self, arms: Sequence[Arm], context: Context
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scores of the arms in a study that was not seen, up to a constant that all share.

        Args:
            arms: Arm and canonical method ("" for one that was not seen).
            context: Where they would be compared.

        Returns:
            Mean (arm,), covariance of what further evidence would settle (arm, arm), and that of
            how studies differ (arm, arm). An effect that was not seen counts with the variance of
            its group.
        """
        carried = [
            list(list_effects(arm, context, method or f"unseen {number}"))
            for number, (arm, method) in enumerate(arms)
        ]
        unseen = dict.fromkeys(e for effects in carried for e in effects if e not in self._places)
        order = {effect: place for place, effect in enumerate(unseen)}
        known = self.loadings(arms, context)
        new = np.zeros((len(arms), len(unseen)))
        for row, effects in zip(new, carried, strict=True):
            for effect in effects:
                if effect in order:
                    row[order[effect]] = self.spread[effect[0]]
        return known @ self.mean, known @ self.covariance @ known.T + new @ new.T, self._vary(arms)

    def _vary(self, arms: Sequence[Arm]) -> np.ndarray:
        """Covariance of what a new study and a new case add to the arms (arm, arm)."""
        kinds = np.array([name_kind(arm) for arm, _ in arms])
        names = np.array([arm for arm, _ in arms])
        trained = kinds == "pretrained"
        shared = {
            "kind": kinds[:, None] == kinds,
            "paradigm": (names[:, None] == names) & trained,
        }
        total = self.spread["method in study"] ** 2 * np.eye(len(arms))
        for place in ("study", "case"):
            for what, same in shared.items():
                total += self.spread[f"{what} in {place}"] ** 2 * same
        return total

    def loadings(self, arms: Sequence[Arm], context: Context) -> np.ndarray:
        """Which of the seen effects each arm carries (arm, effect)."""
        table = np.zeros((len(arms), len(self.names)))
        for row, (arm, method) in zip(table, arms, strict=True):
            effects = list_effects(arm, context, method)
            row[[self._places[effect] for effect in effects if effect in self._places]] = 1
        return table

    @cached_property
    def _places(self) -> dict[Effect, int]:
        return {name: place for place, name in enumerate(self.names)}


def draw_scores(
    mean: np.ndarray, settled: np.ndarray, between: np.ndarray, draws: int, seed: int = 0
) -> np.ndarray:
    """Draw scores in studies that were not seen (draw, arm); each study has its own scale."""
    rng = np.random.default_rng(seed)
    scale = np.sqrt(FREEDOM / rng.chisquare(FREEDOM, (draws, 1)))
    fixed = rng.standard_normal((draws, len(mean))) @ _root(settled).T
    return mean + fixed + scale * rng.standard_normal((draws, len(mean))) @ _root(between).T


def write_posterior(posterior: Posterior, file: Path) -> None:
    """Write a posterior as a small npz file."""
    facts = {
        "names": posterior.names,
        "spread": posterior.spread,
        "noise": posterior.noise,
        "studies": posterior.studies,
        "scales": posterior.scales,
    }
    write_arrays(
        file,
        {
            "facts": np.array(json.dumps(facts)),
            "mean": posterior.mean,
            "covariance": posterior.covariance.astype(np.float32),
            "moves": posterior.moves.astype(np.float32),
        },
    )


@cache
def read_posterior(file: Path = SHIPPED) -> Posterior:
    """Read a posterior, by default the one that is shipped."""
    with np.load(file) as arrays:
        facts = json.loads(str(arrays["facts"]))
        return Posterior(
            names=tuple((group, name) for group, name in facts["names"]),
            mean=arrays["mean"],
            covariance=arrays["covariance"].astype(float),
            spread=facts["spread"],
            noise=facts["noise"],
            studies=tuple(facts["studies"]),
            scales=tuple(facts["scales"]),
            moves=arrays["moves"].astype(float),
        )


def _root(covariance: np.ndarray) -> np.ndarray:
    """A matrix whose square is the covariance, which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.clip(values, 0, None))
