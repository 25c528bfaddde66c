"""Columns of a table that hold a mask file per region, as mask_organ and mask_lesion do."""

from __future__ import annotations

import re

import pandas as pd

NAME = re.compile(r"(?:mask|seg)_(?!path$)(.+)|(.+)_(?:mask|seg)", re.I)
FILE = re.compile(r".*\.[a-z]\w*", re.I)
FEWEST = 2


def find_regions(table: pd.DataFrame) -> pd.DataFrame:
    """Mask files of every row by the name of their region; "" where one is not shown.

    Fewer than two such columns are no regions: the table then has no columns.
    """
    found = {}
    for column in table:
        match = NAME.fullmatch(str(column).strip())
        texts = table[column].fillna("").astype(str).str.strip()
        known = texts[texts != ""]
        if match and len(known) and all(map(FILE.fullmatch, known)):
            found[match[1] or match[2]] = texts
    return pd.DataFrame(found if len(found) >= FEWEST else {}, index=table.index)


def stack_masks(regions: pd.DataFrame) -> list[tuple[str, ...]]:
    """The masks of each row in the order of their regions, () where there is none."""
    return [tuple(row) if any(row) else () for row in regions.itertuples(index=False)]
