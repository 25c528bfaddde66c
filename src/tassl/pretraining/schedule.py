"""How long and how fast to pretrain."""

from __future__ import annotations

from dataclasses import dataclass

from tassl.methods import MethodCard


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
        parts: Parts in which a batch passes the network; their gradients are summed.
        recompute: Whether the encoder's activations are computed anew for the gradient.
        window: Most pixels along a side of a view; 0 leaves it to the size of the images.
    """

    epochs: int
    batch: int
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    seed: int = 0
    parts: int = 1
    recompute: bool = False
    window: int = 0


def default_schedule(images: int, dims: int, seed: int, card: MethodCard) -> Schedule:
    """A schedule for a small machine: about 80,000 images in 2D, 8,000 volumes in 3D.

    Small sets are seen up to 200 times in 2D and 40 times in 3D; large ones at least ten times.
    """
    views, most = (80_000, 200) if dims == 2 else (8_000, 40)
    epochs = min(most, max(10, round(views / max(1, images))))
    usual = card.batches[dims - 2]
    batch = max(min(usual, images // 4), min(images, card.smallest_batch), 1)
    return Schedule(epochs, batch, seed=seed)
