"""One estimate from several sets: a meta-analysis with few members.

Sets differ in how much they gain, so their differences are pooled with random effects: the
variance between sets after Paule & Mandel, the interval after Hartung & Knapp with Student's t of
one degree less than there are sets, never narrower than without their factor.

Sources: Paule & Mandel, J. Res. Natl. Bur. Stand. 1982, 10.6028/jres.087.022; Hartung & Knapp,
Stat. Med. 2001, 10.1002/sim.791; IntHout et al., BMC Med. Res. Methodol. 2014,
10.1186/1471-2288-14-25; Röver et al., BMC Med. Res. Methodol. 2015, 10.1186/s12874-015-0091-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import root_scalar


@dataclass(frozen=True)
class Pooled:
    """A mean over sets.

    Args:
        value: The mean.
        low: Lower end of its interval.
        high: Upper end.
        p: Two-sided probability of a mean this far from zero, were zero true.
        spread: Standard deviation of the true values between sets.
        members: Number of sets.
    """

    value: float
    low: float
    high: float
    p: float
    spread: float
    members: int


def pool(values: Sequence[float], errors: Sequence[float], confidence: float) -> Pooled:
    """Pool the estimates of several sets; a single one stands for itself alone.

    Args:
        values: Estimate of each set.
        errors: Its standard error, above zero.
        confidence: Level of the interval.
    """
    found, variances = np.asarray(values, float), np.asarray(errors, float) ** 2
    count = len(found)
    spread = _spread(found, variances)
    weights = 1 / (variances + spread)
    value = float(weights @ found / weights.sum())
    if count == 1:
        freedom, factor = np.inf, 1.0
    else:
        freedom = count - 1
        factor = max(1.0, float(weights @ (found - value) ** 2) / freedom)
    error = float(np.sqrt(factor / weights.sum()))
    reach = float(stats.t.ppf(0.5 + confidence / 2, freedom)) * error
    p = float(2 * stats.t.sf(abs(value) / error, freedom))
    return Pooled(value, value - reach, value + reach, p, float(np.sqrt(spread)), count)


def _spread(values: np.ndarray, variances: np.ndarray) -> float:
    """Variance between sets for which their weighted squares are what chance expects."""

    def excess(between: float) -> float:
        weights = 1 / (variances + between)
        mean = weights @ values / weights.sum()
        return float(weights @ (values - mean) ** 2 - (len(values) - 1))

    if excess(0.0) <= 0:
        return 0.0
    most = float(len(values) * np.var(values)) + 1e-12  # weighted squares fall below one each
    while excess(most) > 0:
        most *= 2
    return float(root_scalar(excess, bracket=(0.0, most)).root)
