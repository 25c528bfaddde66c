"""Images that stand on both sides of a split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

GUARDED = {"test": 2, "val": 1, "train": 0}


@dataclass(frozen=True)
class Duplicate:
    """An image that leaves its split because identical pixels stand in a more guarded one."""

    kept: str
    kept_split: str
    removed: str
    removed_split: str


def find_duplicates(table: pd.DataFrame, split: np.ndarray) -> list[Duplicate]:
    """Find images with identical pixels on two sides of a split.

    The copy in the more guarded split stays (test before val before train).

    Args:
        table: Columns id, digest.
        split: Split of each row.
    """
    sides = table.assign(split=split)
    found = []
    for _, group in sides.groupby("digest", sort=False):
        if group.split.nunique() < 2:
            continue
        ranked = group.sort_values("split", key=lambda s: -s.map(GUARDED), kind="stable")
        (kept, kept_split), *others = ranked[["id", "split"]].to_numpy()
        found += [Duplicate(kept, kept_split, *row) for row in others if row[1] != kept_split]
    return found
