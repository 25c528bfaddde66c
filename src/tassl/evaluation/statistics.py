"""Intervals and paired comparisons that carry both sources of variation: subjects and draws.

Every arm is scored on the same test subjects after training on the same label draws. Resampling
subjects within each draw apart would average the subjects' variation away, so subjects are
resampled once for all draws and arms (a cluster bootstrap). The variation between draws (label
subset, initialisation, order) is added to it, less what both hold: each subject's own response to
each draw. With few draws a normal quantile is too short; Satterthwaite's degrees of freedom
lengthen it.

Scores near an end of their scale are skewed, and a symmetric interval of a mean then misses on one
side; Hall's transformation moves both ends. Differences of arms are left symmetric: their skewness
is small, and correcting by its estimate did harm in simulation (`python -m benchmarks coverage`).

Sources: Bouthillier et al., MLSys 2021, arXiv:2103.03098 (vary everything together); Owen,
Ann. Appl. Stat. 2007, arXiv:0712.1111 (crossed bootstrap); Satterthwaite, Biometrics Bull. 1946;
Hall, J. R. Stat. Soc. B 54, 1992 (removal of skewness); Holm, Scand. J. Stat. 1979.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from tassl.errors import OptionError
from tassl.evaluation.metrics import METRICS

POWER = 0.8
CHECK_RESAMPLES = 500  # of what stands beside the verdict
ROUNDING = 1e-12
MOST_LEAN = 0.4  # skewness beyond which the cubic runs off: at 0.5 it reaches four times as far
SHARED = 0.25  # correlation of the variances of two differences from one baseline


@dataclass(frozen=True)
class Estimate:
    """A mean over draws with its interval.

    Args:
        value: The mean.
        low: Lower end of the interval.
        high: Upper end.
        p: Two-sided probability of a value this far from zero, were zero true.
        detectable: Smallest true value that would be found with 80% power, in the strictest step
            of Holm's correction where there are several comparisons.
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
        by_subject: (subject,), means over images and draws, NaN where none counts; None where the
            metric is one of the whole table.
    """

    observed: np.ndarray
    resampled: np.ndarray
    subjects: int
    left_out: int = 0
    by_subject: np.ndarray | None = None

    def minus(self, other: Scores) -> Scores:
        """Paired differences, draw by draw and resample by resample."""
        gaps = None
        if self.by_subject is not None and other.by_subject is not None:
            gaps = self.by_subject - other.by_subject
        return Scores(
            self.observed - other.observed,
            self.resampled - other.resampled,
            self.subjects,
            by_subject=gaps,
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
        _mean_by_subject(tables, card.each) if card.each else None,
    )


def average(parts: Sequence[Scores]) -> Scores:
    """Mean of scores on the same subjects, over the draws that all have.

    Raises:
        OptionError: There is nothing to average.
    """
    if not parts:
        raise OptionError("No arm came to average; name at least one.")
    draws = min(len(part.observed) for part in parts)
    return Scores(
        np.mean([part.observed[:draws] for part in parts], axis=0),
        np.mean([part.resampled[:, :draws] for part in parts], axis=0),
        parts[0].subjects,
    )


def _mean_by_subject(
    tables: Sequence[pd.DataFrame], each: Callable[[pd.DataFrame], np.ndarray]
) -> np.ndarray:
    """Means over images and draws, in the order of the subjects' names."""
    values = tables[0][["subject"]].assign(mean=np.mean([each(t) for t in tables], axis=0))
    return np.asarray(values.groupby("subject")["mean"].mean())


def estimate(
    scores: Scores,
    confidence: float,
    like: Sequence[Scores] = (),
    *,
    skewed: bool = False,
    comparisons: int = 1,
) -> Estimate:
    """Mean over draws, with an interval from the variation of subjects and of draws.

    A few draws tell their own variation badly, and a lucky low value would make a verdict. The
    variation between draws is therefore at least the average one of `like`. No probability is
    smaller than that of n signs being equal.

    Args:
        scores: What to estimate.
        confidence: Level of the interval.
        like: Scores whose draws vary for the same reasons (the other arms of the budget).
        skewed: Let the interval lean as the resamples do.
        comparisons: How many the probability will be corrected for.
    """
    value = float(scores.observed.mean())
    resampled = scores.resampled[np.isfinite(scores.resampled).all(axis=1)]
    if not np.isfinite(value) or len(resampled) < 2:
        return Estimate(value, np.nan, np.nan, 1.0, np.nan)
    error, freedom = _measure_error(scores, resampled, like)
    least = 2.0 ** (1 - scores.subjects) if value else 1.0
    if error <= ROUNDING * abs(value):
        return Estimate(value, value, value, least, 0.0)
    strict = 1 - (1 - confidence) / 2 / comparisons
    reach, far, power = special.stdtrit(freedom, (0.5 + confidence / 2, strict, POWER))
    p = 2 * float(special.stdtr(freedom, -abs(value) / error))
    means = resampled.mean(axis=1)
    lean = float(np.mean(((means - means.mean()) / error) ** 3)) if skewed else 0.0
    lean = min(max(lean, -MOST_LEAN), MOST_LEAN)
    low, high = (value - error * _untransform(end, lean) for end in (reach, -reach))
    return Estimate(value, low, high, max(p, least), float((far + power) * error))


def _measure_error(
    scores: Scores, resampled: np.ndarray, like: Sequence[Scores]
) -> tuple[float, float]:
    """Standard error of the mean over draws, and its degrees of freedom."""
    draws, subjects = len(scores.observed), scores.subjects
    unbias = subjects / max(1, subjects - 1)
    means = resampled.mean(axis=1, keepdims=True)
    by_subject = unbias * float(means.var(ddof=1))
    if draws < 2:
        return by_subject**0.5, max(1, subjects - 1)
    by_both = unbias * float((resampled - means).var(axis=0, ddof=1).sum()) / (draws - 1)
    pool = [float(np.var(other.observed, ddof=1)) for other in like or (scores,)]
    by_draw = max(float(np.var(scores.observed, ddof=1)), float(np.mean(pool)))
    spare = (draws - 1) * len(pool) / (1 + (len(pool) - 1) * SHARED)
    variance = by_subject + max(0.0, by_draw - by_both) / draws
    if by_draw <= by_both:
        return variance**0.5, max(1, subjects - 1)
    parts = by_subject**2 / max(1, subjects - 1) + (by_draw / draws) ** 2 / spare
    return variance**0.5, max(variance**2 / parts, min(spare, max(1, subjects - 1)))


def _untransform(end: float, skewness: float) -> float:
    """Where a skewed standardised mean has the quantile that a symmetric one has at `end`.

    Source: Hall 1992, the cubic transformation with a = 1/3 and b = 1/6.
    """
    if abs(skewness) < 1e-9:
        return end
    return float(3 / skewness * (np.cbrt(1 + skewness * (end - skewness / 6)) - 1))


def adjust_holm(values: Sequence[float]) -> np.ndarray:
    """Holm's adjusted p-values, in the order given."""
    p = np.asarray(values, dtype=float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
