"""Cases of predicted numbers, by their distance from the truth."""

from __future__ import annotations

import numpy as np

from tassl.evaluation.regression import absolute_error
from tassl.report.cases.base import MEDIAN, Case, Gallery, Predicted, rank_cases
from tassl.report.shots import Shots
from tassl.report.words import number, signed

CAPTIONS = {
    "Largest errors": "Test images whose predicted number is furthest from the truth. Look for "
    "what they share, and for values that may be wrong themselves.",
    MEDIAN: "Test images from the middle of the ranking: what to expect as a rule.",
    "Smallest errors": "The test images whose predicted number is nearest to the truth.",
}


def show_values(found: Predicted) -> Gallery:
    """Largest, median and smallest errors."""
    table, shots = found.table, Shots(found.run.store)
    errors, unit = absolute_error(table), str(found.run.audit.get("unit") or "")

    def tell(row: int) -> Case:
        name, own = str(table.id.iloc[row]), table.iloc[row]
        facts = (
            f"truth: {number(own.value)} {unit}".strip(),
            f"predicted: {number(own.predicted)} {unit}".strip(),
            f"off by {signed(own.predicted - own.value)} {unit}".strip(),
        )
        return Case(name, facts, shots.plain(name, f"{name}: {', '.join(facts)}"))

    half = f"{number(np.median(errors))} {unit}".strip()
    return Gallery(
        f"{found.where}: half of {len(table)} test images are off by {half} or less.",
        rank_cases(np.argsort(-errors, kind="stable"), tell, CAPTIONS),
    )
