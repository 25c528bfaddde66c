"""Findings that every subgroup can be scored on, so that all have the mean of the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tassl.evaluation.columns import columns_of

PREFIX = "finding_"


def keep_shared(
    predictions: Mapping[str, Sequence[pd.DataFrame]], groups: Sequence[np.ndarray], fewest: int
) -> dict[str, list[pd.DataFrame]]:
    """The same tables, with findings unknown that a group has too few subjects with or without.

    Args:
        predictions: Tables of every draw by arm, all of the same rows; without findings they stay
            as they are.
        groups: Rows of each group.
        fewest: Subjects of each group who must show a finding, and who must not.
    """
    first = next(iter(predictions.values()))[0]
    subjects, answers = first.subject.to_numpy(), columns_of(first, PREFIX)
    unknown = {
        f"{PREFIX}{k}": np.nan
        for k, own in enumerate(answers.T)
        if any(
            len(set(subjects[rows][own[rows] == answer])) < fewest
            for rows in groups
            for answer in (0, 1)
        )
    }
    return {arm: [t.assign(**unknown) for t in tables] for arm, tables in predictions.items()}
