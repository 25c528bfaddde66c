"""How long and how fast to pretrain."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Args:
        epochs: Passes over the images.
        batch: Images per step.
        learning_rate: Peak of the cosine schedule.
        weight_decay: Decoupled decay of the weights.
        warmup: Share of the steps in which the rate rises.
        seed: Of initialisation, order, augmentation and masks.
    """

    epochs: int
    batch: int
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    seed: int = 0


def default_schedule(images: int, dims: int, seed: int, smallest_batch: int = 1) -> Schedule:
    """A schedule for a small machine: about 80,000 views in 2D, 12,000 windows in 3D.

    Small sets are seen up to 200 times in 2D and 60 times in 3D; large ones at least ten times.
    """
    views, most, batch = (80_000, 200, 128) if dims == 2 else (12_000, 60, 16)
    epochs = min(most, max(10, round(views / max(1, images))))
    batch = max(min(batch, images // 4), min(images, smallest_batch), 1)
    return Schedule(epochs, batch, seed=seed)
