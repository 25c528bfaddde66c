"""Cases of classes: the surest errors, and right answers from sure to lucky."""

from __future__ import annotations

import numpy as np

from tassl.evaluation.columns import columns_of
from tassl.report.cases.base import Case, Gallery, Group, Predicted
from tassl.report.shots import Shots
from tassl.report.words import class_title

ERRORS, HITS = 6, 6
SURE = (
    "Test images that the arm got wrong with the highest scores. Look for what they share, and "
    "for labels that may be wrong themselves."
)
RIGHT = (
    "Test images that the arm got right, spread evenly over its scores. A score near that of "
    "chance is a lucky hit rather than knowledge."
)


def show_labels(found: Predicted) -> Gallery:
    """Surest errors, and right answers spread over the scores."""
    table, shots = found.table, Shots(found.run.store)
    scores, labels = columns_of(table, "score_"), table.label.to_numpy()
    said, surety = scores.argmax(1), scores.max(1)
    wrong, right = np.flatnonzero(said != labels), np.flatnonzero(said == labels)
    wrong = wrong[np.argsort(-surety[wrong], kind="stable")][:ERRORS]
    right = right[np.argsort(-surety[right], kind="stable")]
    if len(right):
        right = right[np.unique(np.linspace(0, len(right) - 1, HITS).round().astype(int))]
    classes = found.classes
    classes += [class_title(str(k)) for k in range(len(classes), scores.shape[1])]

    def tell(row: int) -> Case:
        truth, answer = classes[labels[row]], classes[said[row]]
        name = str(table.id.iloc[row])
        alt = f"{name}: truth {truth}, predicted {answer} with score {surety[row]:.3f}"
        facts = (f"truth: {truth}", f"predicted: {answer}", f"score: {surety[row]:.3f}")
        return Case(name, facts, shots.plain(name, alt))

    groups = (
        Group("Surest errors", tuple(map(tell, wrong)), SURE),
        Group("Right answers, from the surest to the least sure", tuple(map(tell, right)), RIGHT),
    )
    return Gallery(
        f"{found.where}: {int((said != labels).sum())} of {len(table)} test images are wrong when "
        "the class with the highest score is taken.",
        groups,
    )
