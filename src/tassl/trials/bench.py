"""What every trial of a study shares, and the arms that are tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tassl.adaptation import Tuning
from tassl.checkpoint import Recipe
from tassl.data.tensors import Change, Tensors
from tassl.evaluation.protocol import Protocol
from tassl.evaluation.verdict import Arm
from tassl.heads import HEADS
from tassl.transforms.augment import Augment


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
        target: What every image of the store is labelled with, (row,): class, number, or for
            segmentation the row whose mask is the reference.
        test: Rows to predict.
        val: Rows to tune on.
        augment: Views for training with labels.
        recipe: Network of every arm.
        checkpoints: Folder of each pretrained method.
        tuning: Steps and batch of every trained arm.
        protocol: Rates to tune over.
        seed: Of the whole study.
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
    variants: tuple[Variant, ...] = ()


def list_arms(task: str, methods: Sequence[str]) -> list[Arm]:
    """The arms of a study: baselines a reviewer asks for, then each method."""
    arms = [Arm("scratch", "", "finetune"), Arm("random (frozen)", "", "frozen")]
    if HEADS[task].target != "mask":
        arms.append(Arm("raw pixels", "", "pixels"))
        arms += [Arm(f"{method} (frozen)", method, "frozen") for method in methods]
    return arms + [Arm(f"{method} (fine-tuned)", method, "finetune") for method in methods]


def default_tuning(task: str, dims: int) -> Tuning:
    """Steps and batch that fit a small machine, the same for every arm."""
    if HEADS[task].target == "mask":
        if dims == 3:
            return Tuning(fewest_steps=150, most_steps=500, passes=3, batch=1)
        return Tuning(fewest_steps=100, most_steps=300, passes=10, batch=16)
    return Tuning(fewest_steps=100, most_steps=400, passes=25, batch=32 if dims == 2 else 8)
