"""What images are labelled with: one kind per file, and all that a study does for it."""

from tassl.heads import HEADS
from tassl.trials.targets.base import Answers, Target
from tassl.trials.targets.boxes import Boxes
from tassl.trials.targets.findings import Findings
from tassl.trials.targets.images import Images
from tassl.trials.targets.labels import ClassLabels
from tassl.trials.targets.masks import Masks
from tassl.trials.targets.regions import Regions
from tassl.trials.targets.values import Values

TARGETS: dict[str, Target] = {
    "label": ClassLabels(),
    "findings": Findings(),
    "mask": Masks(),
    "regions": Regions(),
    "boxes": Boxes(),
    "value": Values(),
    "image": Images(),
}


def target_of(task: str) -> Target:
    """What the images of a task are labelled with."""
    return TARGETS[HEADS[task].target]


__all__ = ["TARGETS", "Answers", "Target", "target_of"]
