"""Blind spots: what a noisy image can teach of itself."""

from __future__ import annotations

import torch
from torch import Tensor

HIDDEN = 1 / 16  # share of the pixels; few steps learn little from the published 1 / 64
REACH = 2  # pixels to either side from which another value is taken


def blind_pixels(images: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Put the value of a neighbour in the place of some pixels.

    Where the noise of pixels is independent, a network can only guess a hidden one without it.

    Args:
        images: (batch, channel, *space).
        rng: Source of the random numbers.

    Returns:
        The images with their blind spots, and what stood there, NaN everywhere else.

    Source:
        Krull et al., CVPR 2019, arXiv:1811.10980, section 4; share: Batson & Royer, ICML 2019,
        arXiv:1901.11365.
    """
    hidden = torch.rand(images.shape, generator=rng, device=rng.device) < HIDDEN
    hidden[(slice(None), 0, *[0] * (images.dim() - 2))] = True  # none is left without
    steps = [
        torch.randint(-REACH, REACH + 1, images.shape, generator=rng, device=rng.device)
        for _ in range(2, images.dim())
    ]
    still = torch.stack(steps).abs().sum(0) == 0
    steps[-1] = torch.where(still, 1, steps[-1])  # a pixel is no neighbour of its own
    numbers = torch.zeros(images.shape, dtype=torch.long, device=images.device)
    for axis, step in enumerate(steps, start=2):
        size = images.shape[axis]
        place = torch.arange(size, device=images.device).view(-1, *[1] * (images.dim() - 1 - axis))
        numbers = numbers * size + (place + step) % size
    moved = images.flatten(2).gather(2, numbers.flatten(2)).view(images.shape)
    nothing = torch.full_like(images, torch.nan)
    return torch.where(hidden, moved, images), torch.where(hidden, images, nothing)
