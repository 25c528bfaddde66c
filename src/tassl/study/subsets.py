"""Label subsets as a file, so that others can train on the same labels.

subsets.json is a list with one entry per budget and draw, from few labels to many:
`{"budget": "5", "draw": 0, "images": [id, ...]}`. Ids are those of the manifest; budgets are any
names, "all" standing for all labels; every budget has the same draws, numbered from 0.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tassl.data.files import write_json
from tassl.errors import InputError
from tassl.evaluation.splits import Subset

FORM = '[{"budget": "5", "draw": 0, "images": ["id", ...]}, ...]'
SHOWN = 3


def write_subsets(file: Path, table: pd.DataFrame, subsets: Sequence[Subset]) -> None:
    """Write subsets.json."""
    ids = table.id.to_numpy()
    facts = [{"budget": s.budget, "draw": s.draw, "images": ids[s.rows].tolist()} for s in subsets]
    write_json(file, facts)


def read_subsets(file: Path, table: pd.DataFrame, usable: np.ndarray) -> list[Subset]:
    """The label subsets of a file, as rows of this study's images.

    Args:
        file: As `write_subsets` writes it.
        table: Columns id, subject.
        usable: Rows that may be labelled.

    Raises:
        InputError: The file cannot be read, or does not fit the study.
    """
    try:
        entries = [
            (str(entry["budget"]), int(entry["draw"]), list(map(str, entry["images"])))
            for entry in json.loads(file.read_text(encoding="utf-8"))
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file} holds no label subsets ({reason}). Wanted: {FORM}.") from None
    rows = {str(name): int(row) for name, row in zip(table.id.iloc[usable], usable, strict=True)}
    strange = list(dict.fromkeys(i for *_, images in entries for i in images if i not in rows))
    if strange:
        raise InputError(
            f"{file} names {len(strange)} images that are no labelled training images of this "
            f"study, as {', '.join(strange[:SHOWN])}. Give the same data, seed and split options."
        )
    subsets = [Subset(b, d, np.sort([rows[i] for i in set(ids)])) for b, d, ids in entries]
    _check_grid(file, subsets)
    return subsets


def _check_grid(file: Path, subsets: Sequence[Subset]) -> None:
    """Every budget has images and the same draws; budgets rise."""
    if not subsets or not all(len(subset.rows) for subset in subsets):
        raise InputError(f"{file} holds an empty label subset. Wanted: {FORM}.")
    budgets = list(dict.fromkeys(subset.budget for subset in subsets))
    draws = 1 + max(subset.draw for subset in subsets)
    wanted = [(budget, draw) for budget in budgets for draw in range(draws)]
    if [(subset.budget, subset.draw) for subset in subsets] != wanted:
        raise InputError(
            f"{file} does not hold draws 0 to {draws - 1} of each of the budgets "
            f"{', '.join(budgets)}, in this order. Complete it, or draw anew without --subsets."
        )
    sizes: dict[str, int] = {}
    for subset in subsets:
        sizes[subset.budget] = sizes.get(subset.budget, 0) + len(subset.rows)
    if sorted(sizes, key=sizes.__getitem__) != budgets or len(set(sizes.values())) < len(sizes):
        raise InputError(
            f"{file} has budgets that do not rise: {', '.join(budgets)}. Order them from few "
            "labels to many."
        )
