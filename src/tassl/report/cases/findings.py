"""Cases of several findings per image, by the error of their probabilities."""

from __future__ import annotations

import numpy as np

from tassl.evaluation.columns import columns_of
from tassl.evaluation.multilabel import brier_per_image
from tassl.report.cases.base import MEDIAN, Case, Gallery, Predicted, rank_cases
from tassl.report.shots import Shots
from tassl.report.words import number

SAID = 3  # surest findings
CAPTIONS = {
    "Largest errors": "Test images whose probabilities are furthest from what is shown, over all "
    "findings. Look for what they share, and for findings that may be wrong themselves.",
    MEDIAN: "Test images from the middle of the ranking: what to expect as a rule.",
    "Smallest errors": "The test images whose probabilities are nearest to what is shown.",
}


def show_findings(found: Predicted) -> Gallery:
    """Largest, median and smallest errors."""
    table, shots, names = found.table, Shots(found.run.store), np.array(found.classes)
    scores, answers = columns_of(table, "score_"), columns_of(table, "finding_")
    errors = brier_per_image(table)

    def tell(row: int) -> Case:
        image, own = str(table.id.iloc[row]), scores[row]
        surest = np.argsort(-own, kind="stable")[:SAID]
        facts = [
            f"shows: {', '.join(names[answers[row] == 1]) or 'none of the findings'}",
            f"predicted: {', '.join(f'{names[k]} {own[k]:.2f}' for k in surest)}",
        ]
        if np.isnan(answers[row]).any():
            facts.append(f"unknown: {', '.join(names[np.isnan(answers[row])])}")
        return Case(image, tuple(facts), shots.plain(image, f"{image}: {'; '.join(facts)}"))

    return Gallery(
        f"{found.where}: the squared error of a probability is "
        f"{number(float(np.nanmean(errors)))} on average over {len(table)} test images and their "
        "findings.",
        rank_cases(np.argsort(-errors, kind="stable"), tell, CAPTIONS),
    )
