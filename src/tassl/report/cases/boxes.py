"""Cases of boxes, by F1, beside those of the baseline from scratch."""

from __future__ import annotations

import numpy as np

from tassl.evaluation.detection import cut_at_best
from tassl.report.cases.base import MEDIAN, Case, Gallery, Predicted, rank_cases
from tassl.report.pictures import class_colour
from tassl.report.shots import Shots
from tassl.report.words import number

CAPTIONS = {
    "Worst by F1": "One test image per row: as it is, with the boxes of the reference, and with "
    "those predicted with and without pretraining that are surer than the threshold. Volumes show "
    "one slice, and the boxes that it cuts; F1 counts the whole image.",
    MEDIAN: "Test images from the middle of the ranking, shown in the same way: what to expect as "
    "a rule.",
    "Best by F1": "The test images with the highest F1, shown in the same way.",
}


def show_boxes(found: Predicted) -> Gallery:
    """Worst, median and best."""
    arms, scratch = {"pretrained": cut_at_best(found.table)}, found.baseline()
    if scratch:
        arms["scratch"] = cut_at_best(scratch.table)
    own, table, shots = arms["pretrained"], found.table, Shots(found.run.store)

    def tell(row: int) -> Case:
        name = str(table.id.iloc[row])
        facts = [
            f"{who}: {arm.right[row]} of {arm.wanted[row]} found, {arm.wrong[row]} false alarms"
            for who, arm in arms.items()
        ]
        boxes = {"reference": own.truth[row]} | {who: arm.boxes[row] for who, arm in arms.items()}
        return Case(name, tuple(facts), shots.boxed(name, boxes))

    summary = (
        f"{found.where}: {own.right.sum()} of {own.wanted.sum()} objects in {len(table)} test "
        f"images are found, with {own.wrong.sum()} false alarms, where boxes surer than "
        f"{number(own.threshold)} are taken. Each arm has the threshold that serves it best here."
    )
    colours = enumerate(found.classes or ["object"], 1)
    return Gallery(
        summary,
        rank_cases(np.argsort(own.f1, kind="stable"), tell, CAPTIONS),
        tuple((name, class_colour(k)) for k, name in colours),
    )
