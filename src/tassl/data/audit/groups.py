"""Groups of independent images: at most one image of each subject."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tassl.data.manifest import SPLITS

MOST_IMAGES = 2000


@dataclass(frozen=True)
class Kind:
    """One way to group images.

    Args:
        name: "class", "side" (of the split) or "site".
        groups: Names of the groups.
        number: Group of each row, -1 for none; (row,).
    """

    name: str
    groups: tuple[str, ...]
    number: np.ndarray


def pick_independent(table: pd.DataFrame, split: np.ndarray) -> np.ndarray:
    """First row of each subject on a side; 2,000 subjects at most, spread evenly over the table."""
    rows = np.flatnonzero(np.isin(split, SPLITS))
    first = rows[~table.subject.iloc[rows].duplicated().to_numpy()]
    return first[np.unique(np.linspace(0, len(first) - 1, MOST_IMAGES).astype(int))]


def list_kinds(
    table: pd.DataFrame, split: np.ndarray, classes: tuple[str, ...], fewest: int
) -> list[Kind]:
    """Group rows by class, side and site; groups below `fewest`, and kinds of one group, go.

    Args:
        table: Columns label, site.
        split: Side of each row, "train", "val" or "test".
        classes: Names of the labels.
        fewest: Rows that a group needs.
    """
    known = table.label.to_numpy() >= 0
    names = np.array([*classes, ""], dtype=object)
    labels = np.where(known, names[np.where(known, table.label, -1)], "")
    columns = {"class": labels, "side": split, "site": table.site.to_numpy(dtype=object)}
    kinds = [_number(name, values, fewest) for name, values in columns.items()]
    return [kind for kind in kinds if len(kind.groups) > 1]


def _number(name: str, values: np.ndarray, fewest: int) -> Kind:
    names, sizes = np.unique(values.astype(str), return_counts=True)
    groups = [str(name) for name in names[(sizes >= fewest) & (names != "")]]
    places = {group: place for place, group in enumerate(groups)}
    return Kind(name, tuple(groups), np.array([places.get(str(value), -1) for value in values]))
