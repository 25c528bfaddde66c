"""Soft Dice over the whole batch, for methods that segment what they planted."""

from __future__ import annotations

import torch
from torch import Tensor

from tassl.methods.gathering import gather

SMOOTH = 1e-5


def dice_loss(scores: Tensor, target: Tensor, *, background: bool = True) -> Tensor:
    """One minus the mean soft Dice of the classes, each over all pixels of the batch.

    Args:
        scores: (batch, class, *space), before the softmax.
        target: (batch, 1, *space), class numbers.
        background: Whether the first class counts.

    Source:
        Milletari et al., 3DV 2016, arXiv:1606.04797, section 3.
    """
    classes = torch.arange(scores.shape[1], device=scores.device)
    truth = (target == classes.view(-1, *[1] * (scores.dim() - 2))).float()
    chances, pixels = scores.softmax(1), [0, *range(2, scores.dim())]
    sums = torch.stack([part.sum(pixels) for part in (chances * truth, chances + truth)])
    shared, both = gather(sums[None]).sum(0)
    dice = (2 * shared + SMOOTH) / (both + SMOOTH)
    return 1 - dice[0 if background else 1 :].mean()
