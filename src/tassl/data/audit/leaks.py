"""Subjects on two sides of a split, by their ids and by what file names give away."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from tassl.data.audit.finding import Finding, count

CHECK = "leaks"
# Up to the first number, where a further part or a single letter follows: 012_2, Image_01L.
STEM = re.compile(r"(?:train/|val/|test/)?(\D*\d+)(?=[_. -]\w|[A-Za-z]$)")
MOST_PER_STEM = 50
LEAST_SHARE = 0.05


def check_leaks(table: pd.DataFrame, split: np.ndarray) -> list[Finding]:
    """Tell of subjects that cross the split, and of names that look like one subject's.

    Args:
        table: Columns id, subject.
        split: Split of each row.
    """
    findings = [_crossing(table, split), _stems(table, split)]
    return [finding for finding in findings if finding]


def _crossing(table: pd.DataFrame, split: np.ndarray) -> Finding | None:
    sides = table.assign(split=split).groupby("subject").split.nunique()
    crossing = sides.index[sides > 1]
    if crossing.empty:
        return None
    return Finding(
        CHECK,
        "error",
        f"On two sides of the split: {count(len(crossing), 'subject')}",
        "Scores on them are too high: use --own-splits to split anew by subject.",
        tuple(map(str, crossing)),
    )


def _stems(table: pd.DataFrame, split: np.ndarray) -> Finding | None:
    """Each image its own subject, yet names share a number: 012_1 and 012_2."""
    if table.subject.nunique() < len(table):
        return None
    stems = table.id.map(lambda name: match[1] if (match := STEM.match(name)) else name)
    groups = table.assign(stem=stems, split=split).groupby("stem")
    sizes = groups.id.size()
    shared = sizes[(sizes > 1) & (sizes <= MOST_PER_STEM)]
    if shared.sum() < LEAST_SHARE * len(table) or sizes.max() > MOST_PER_STEM:
        return None
    crossing = int((groups.split.nunique()[shared.index] > 1).sum())
    return Finding(
        CHECK,
        "warning",
        f"Names that share a number may be one subject's, yet each image counts as its own: "
        f"{count(int(shared.sum()), 'image')} of {count(len(shared), 'name')}, {crossing} of these "
        "on two sides of the split",
        r"If the number tells the subject, say so: --subject '(\d+)', or a closer expression.",
        tuple(shared.index),
    )
