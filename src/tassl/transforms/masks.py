"""Random block masks for masked pretexts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def draw_block_masks(
    batch: int, space: tuple[int, ...], block: int, ratio: float, rng: torch.Generator
) -> Tensor:
    """Hide the same number of blocks in every image.

    Args:
        batch: Number of images.
        space: Pixels along each axis.
        block: Side of a block in pixels; the last block of an axis may be cut.
        ratio: Share of blocks to hide.
        rng: Source of the random numbers.

    Returns:
        (batch, 1, *space) booleans, True where hidden.
    """
    cells = tuple(-(-size // block) for size in space)
    total = int(torch.tensor(cells).prod())
    hidden = min(total - 1, max(1, round(ratio * total)))
    ranks = torch.rand(batch, total, generator=rng, device=rng.device).argsort(1).argsort(1)
    mask = (ranks < hidden).view(batch, 1, *cells).float()
    mask = F.interpolate(mask, scale_factor=float(block), mode="nearest") > 0.5
    return mask[(..., *[slice(size) for size in space])]
