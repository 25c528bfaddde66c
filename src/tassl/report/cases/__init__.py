"""What the best pretrained arm got right and wrong, image by image; a file per kind of target."""

from __future__ import annotations

from collections.abc import Callable

from tassl.heads import HEADS
from tassl.report.cases.base import Gallery, Predicted, best_arm, read_predicted
from tassl.report.cases.boxes import show_boxes
from tassl.report.cases.findings import show_findings
from tassl.report.cases.images import show_images
from tassl.report.cases.labels import show_labels
from tassl.report.cases.masks import show_masks
from tassl.report.cases.values import show_values
from tassl.report.loading import Run

GALLERIES: dict[str, Callable[[Predicted], Gallery]] = {
    "label": show_labels,
    "findings": show_findings,
    "mask": show_masks,
    "regions": show_masks,
    "boxes": show_boxes,
    "value": show_values,
    "image": show_images,
}


def choose_gallery(run: Run) -> Gallery | None:
    """Cases of the best pretrained arm at its largest budget; None where nothing is predicted."""
    best, card = best_arm(run), HEADS.get(str(run.study.get("task")))
    predicted = read_predicted(run, *best) if best and card else None
    return GALLERIES[card.target](predicted) if predicted and card else None
