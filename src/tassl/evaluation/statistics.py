"""Intervals and paired comparisons that carry both sources of variation: subjects and draws.

Every arm is scored on the same test subjects after training on the same label draws. Resampling
subjects within each draw apart would average the subjects' variation away, so subjects are
resampled once for all draws and arms (a cluster bootstrap), and the variation between draws
(label subset, initialisation, order) is added to it. With few draws a normal quantile is too
short; Satterthwaite's degrees of freedom lengthen it.

Sources: Bouthillier et al., MLSys 2021, arXiv:2103.03098 (vary everything together); Owen,
Ann. Appl. Stat. 2007, arXiv:0712.1111 (crossed bootstrap); Holm, Scand. J. Stat. 1979.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from tassl.evaluation.metrics import METRICS

POWER = 0.8


@dataclass(frozen=True)
class Estimate:
    """A mean over draws with its interval.

    Args:
        value: The mean.
        low: Lower end of the interval.
        high: Upper end.
        p: Two-sided probability of a value this far from zero, were zero true.
        detectable: Smallest true value that would be found with 80% power.
    """

    value: float
    low: float
    high: float
    p: float
    detectable: float


@dataclass(frozen=True)
class Scores:
    """Scores of one arm at one budget.

    Args:
        observed: (draw,), on the test subjects as they are.
        resampled: (resample, draw), on resampled subjects.
        subjects: Number of test subjects.
        left_out: Test images that the metric does not count.
    """

    observed: np.ndarray
    resampled: np.ndarray
    subjects: int
    left_out: int = 0

    def minus(self, other: Scores) -> Scores:
        """Paired differences, draw by draw and resample by resample."""
        return Scores(
            self.observed - other.observed, self.resampled - other.resampled, self.subjects
        )


def subject_weights(subjects: pd.Series, resamples: int, seed: int) -> np.ndarray:
    """How often each row's subject is drawn in each bootstrap resample, (resample, row)."""
    numbers, names = pd.factorize(subjects)
    rng = np.random.default_rng((seed, 2))
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    return counts[:, numbers].astype(np.float64)


def score_draws(tables: Sequence[pd.DataFrame], metric: str, weights: np.ndarray) -> Scores:
    """Score the predictions of every draw of one arm and budget; rows as in `weights`."""
    card, plain = METRICS[metric], np.ones((1, weights.shape[1]))
    return Scores(
        np.array([card.score(table, plain)[0] for table in tables]),
        np.stack([card.score(table, weights) for table in tables], axis=1),
        tables[0].subject.nunique(),
        int(np.isnan(card.each(tables[0])).sum()) if card.each else 0,
    )


def estimate(scores: Scores, confidence: float, like: Sequence[Scores] = ()) -> Estimate:
    """Mean over draws, with an interval from the variation of subjects and of draws.

    A few draws tell their own variation badly, and a lucky low value would make a verdict. The
    variation between draws is therefore at least the average one of `like`.

    Args:
        scores: What to estimate.
        confidence: Level of the interval.
        like: Scores whose draws vary for the same reasons (the other arms of the budget).
    """
    draws, value = len(scores.observed), float(scores.observed.mean())
    if not np.isfinite(value):
        return Estimate(value, np.nan, np.nan, 1.0, np.nan)
    by_subject = float(np.nanvar(scores.resampled.mean(axis=1), ddof=1))
    by_draw, draw_freedom = _draw_variance(scores, like)
    error = np.sqrt(by_subject + by_draw / draws)
    if error == 0:
        certain = value != 0 and scores.subjects > 1
        return Estimate(value, value, value, 0.0 if certain else 1.0, 0.0)
    parts = by_subject**2 / max(1, scores.subjects - 1) + (by_draw / draws) ** 2 / draw_freedom
    freedom = error**4 / parts
    reach = float(stats.t.ppf(0.5 + confidence / 2, freedom))
    power = float(stats.t.ppf(POWER, freedom))
    p = float(2 * stats.t.sf(abs(value) / error, freedom))
    return Estimate(
        value, value - reach * error, value + reach * error, p, float((reach + power) * error)
    )


def _draw_variance(scores: Scores, like: Sequence[Scores]) -> tuple[float, int]:
    """Variance of a single draw and its degrees of freedom."""
    draws = len(scores.observed)
    if draws < 2:
        return 0.0, 1
    own = float(np.var(scores.observed, ddof=1))
    pooled = float(np.mean([np.var(other.observed, ddof=1) for other in like])) if like else 0.0
    return max(own, pooled), (draws - 1) * max(1, len(like))


def adjust_holm(values: Sequence[float]) -> np.ndarray:
    """Holm's adjusted p-values, in the order given."""
    p = np.asarray(values, dtype=float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
