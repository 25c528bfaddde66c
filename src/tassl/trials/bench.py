"""What every trial of a study shares, and the arms that are tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tassl.adaptation import Tuning
from tassl.checkpoint import Recipe
from tassl.data.tensors import Change, Tensors
from tassl.evaluation.finding import Arm
from tassl.evaluation.protocol import Protocol
from tassl.heads import HEADS
from tassl.transforms.augment import Augment
from tassl.trials.fixmatch import FixMatch
from tassl.trials.targets import Target, target_of


@dataclass(frozen=True)
class Variant:
    """A change of the test images.

    Args:
        kind: What is changed.
        severity: How much.
        change: Makes it.
    """

    kind: str
    severity: int
    change: Change


@dataclass(frozen=True)
class Bench:
    """What every trial of a study shares.

    Args:
        tensors: The images.
        task: Key in `HEADS`.
        classes: Number of classes, background included for segmentation; 1 for a number.
        target: What every image of the store is labelled with, as `Target.values` gives it.
        test: Rows to predict.
        val: Rows to tune on.
        augment: Views for training with labels.
        recipe: Network of every arm.
        checkpoints: Folder of each pretrained method.
        tuning: Steps and batch of every trained arm.
        protocol: Rates to tune over.
        wide_tuning: Tune more than the rate.
        seed: Of the whole study.
        fixmatch: Unlabelled images of the semi-supervised baseline, None to do without it.
        variants: Changes of the test images that the models of all labels are scored on as well.
    """

    tensors: Tensors
    task: str
    classes: int
    target: np.ndarray
    test: np.ndarray
    val: np.ndarray
    augment: Augment
    recipe: Recipe
    checkpoints: dict[str, Path]
    tuning: Tuning
    protocol: Protocol
    seed: int
    wide_tuning: bool = False
    fixmatch: FixMatch | None = None
    variants: tuple[Variant, ...] = ()

    @property
    def kind(self) -> Target:
        """What the images are labelled with."""
        return target_of(self.task)

    def seed_of(self, draw: int) -> int:
        """Of initialisation and order in a draw, the same for every arm."""
        return self.seed * 1000 + draw


def list_arms(
    task: str, methods: Sequence[str], natural: Sequence[str] = (), *, fixmatch: bool = False
) -> list[Arm]:
    """The arms of a study: baselines a reviewer asks for, then each method.

    Args:
        task: Key in `HEADS`.
        methods: Names of the pretrained folders.
        natural: Natural-image weights, as `load_natural` takes them.
        fixmatch: Add the semi-supervised baseline.
    """
    arms = [Arm("scratch", "", "finetune"), Arm("random (frozen)", "", "frozen")]
    arms += target_of(task).floors
    if fixmatch:
        arms.append(Arm("fixmatch", "", "finetune", semi=True))
    starts = [*((name.partition("=")[0], "", name) for name in natural)]
    starts += [(method, method, "") for method in methods]
    if target_of(task).probed or HEADS[task].probe:
        arms.append(Arm("raw pixels", "", "pixels"))
        arms += [Arm(f"{name} (frozen)", method, "frozen", w) for name, method, w in starts]
    return arms + [Arm(f"{name} (fine-tuned)", method, "finetune", w) for name, method, w in starts]
