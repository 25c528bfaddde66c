"""Places of what a mask marks, so that windows of large volumes do not miss it."""

from __future__ import annotations

import torch
from torch import Tensor

from tassl.transforms.draws import uniform
from tassl.transforms.saliency import find_places

MOST_CLASSES = 256


def draw_foreground(masks: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Draw one foreground pixel of some masks: first a class that is there, then a pixel of it.

    Args:
        masks: Class numbers (batch, *space), background 0.
        share: Probability that a mask gets one.
        rng: Source of the random numbers.

    Returns:
        (batch, dims) in torch's places, NaN where a mask gets none or has no foreground.

    Source:
        Isensee et al., Nature Methods 2021, 10.1038/s41592-020-01008-z, supplementary note 2.
    """
    flat = masks.flatten(1)
    counts = torch.zeros(len(flat), MOST_CLASSES, device=flat.device)
    counts.scatter_add_(1, flat, torch.ones_like(flat, dtype=counts.dtype))
    draws = torch.rand(flat.shape, generator=rng, device=rng.device).clamp(1e-9, 1 - 1e-7)
    odds = (-counts.gather(1, flat).log() - (-draws.log()).log()).masked_fill(flat == 0, -torch.inf)
    best, chosen = odds.max(1)
    wanted = (uniform(len(flat), 0, 1, rng) < share) & best.isfinite()
    places = find_places(chosen, masks.shape[1:])
    return torch.where(wanted[:, None], places, torch.nan)
