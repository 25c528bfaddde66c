"""Scores of a predicted number: columns `predicted` and `value`.

All of them follow from weighted means of the rows, so that resamples cost one product each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tassl.evaluation.columns import divide

LIMIT = 1.96  # standard deviations that hold 95% of a normal distribution


@dataclass(frozen=True)
class Moments:
    """Means and (co)variances of truth and prediction, (resample,) each; divisor n."""

    count: np.ndarray
    value: np.ndarray
    predicted: np.ndarray
    value_variance: np.ndarray
    predicted_variance: np.ndarray
    covariance: np.ndarray


def absolute_error(table: pd.DataFrame) -> np.ndarray:
    """Distance of prediction and truth, (row,)."""
    return (table.predicted - table.value).abs().to_numpy()


def rmse(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Root of the mean squared error."""
    return np.sqrt(weights @ absolute_error(table) ** 2 / weights.sum(1))


def r2(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Share of the variance explained; 0 for the mean of the test images, below for worse."""
    return 1 - divide(rmse(table, weights) ** 2, _moments(table, weights).value_variance)


def ccc(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Lin's concordance: correlation times agreement in level and spread."""
    m = _moments(table, weights)
    spread = m.value_variance + m.predicted_variance + (m.value - m.predicted) ** 2
    return divide(2 * m.covariance, spread)


def calibration_slope(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Slope of truth on prediction; below 1 where predictions are too extreme."""
    m = _moments(table, weights)
    return divide(m.covariance, m.predicted_variance)


def bias(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Mean of prediction minus truth."""
    m = _moments(table, weights)
    return m.predicted - m.value


def agreement_low(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Bias less 1.96 standard deviations (divisor n - 1) of prediction minus truth."""
    return bias(table, weights) - _reach(table, weights)


def agreement_high(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    """Bias plus 1.96 standard deviations (divisor n - 1) of prediction minus truth."""
    return bias(table, weights) + _reach(table, weights)


def _reach(table: pd.DataFrame, weights: np.ndarray) -> np.ndarray:
    m = _moments(table, weights)
    variance = m.value_variance + m.predicted_variance - 2 * m.covariance
    return LIMIT * np.sqrt(divide(variance.clip(0) * m.count, m.count - 1))


def _moments(table: pd.DataFrame, weights: np.ndarray) -> Moments:
    """Moments around the plain mean, since raw squares of large values lose their digits."""
    centre = float(table.value.mean())
    value, predicted = (table[name].to_numpy() - centre for name in ("value", "predicted"))
    count = weights.sum(1)
    powers = np.stack([value, predicted, value**2, predicted**2, value * predicted], axis=1)
    v, p, vv, pp, vp = (weights @ powers / count[:, None]).T
    variances = (_settle(vv - v**2, vv), _settle(pp - p**2, pp))
    return Moments(count, v + centre, p + centre, *variances, vp - v * p)


def _settle(variance: np.ndarray, square: np.ndarray) -> np.ndarray:
    """A variance that is rounding alone is zero."""
    return np.where(variance <= 1e-12 * square, 0.0, variance)
