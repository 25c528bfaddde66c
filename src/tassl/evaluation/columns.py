"""Columns of a prediction table, and means over its rows under resampling.

A prediction table has one row per test image. Weights are (resample, row): how often the row's
subject was drawn; a row of ones is the plain metric.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def columns_of(table: pd.DataFrame, prefix: str) -> np.ndarray:
    """The numbered columns with this prefix, in order of their numbers."""
    names = [name for name in table.columns if name.startswith(prefix)]
    return table[sorted(names, key=lambda name: int(name.removeprefix(prefix)))].to_numpy()


def mean_known(values: np.ndarray) -> np.ndarray:
    """Mean along the last axis over what is not NaN, NaN where nothing is known."""
    return divide(np.nansum(values, axis=-1), np.isfinite(values).sum(axis=-1))


def weigh(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of the rows that are not NaN, (resample,)."""
    known = np.isfinite(values)
    return divide(weights[:, known] @ values[known], weights[:, known].sum(1))


def divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Quotient, NaN where the divisor is zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(below == 0, np.nan, above / below)
