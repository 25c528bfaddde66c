"""Block masks for masked pretexts, random or guided."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tassl.registry import look_up


def draw_masks(
    images: Tensor,
    block: int,
    ratio: float,
    rng: torch.Generator,
    *,
    guide: str = "none",
    focus: float = 1.0,
    cell: int = 1,
) -> Tensor:
    """Hide blocks of images (batch, channel, *space), guided by what they show or at random.

    Args:
        images: What is to be hidden.
        block: Side of a block, in cells.
        ratio: Share of blocks to hide.
        rng: Source of the random numbers.
        guide: Key of `GUIDES`, or "none".
        focus: How much more often what the guide points at is hidden.
        cell: Pixels along a side for which one entry of the mask stands.

    Returns:
        (batch, 1, *cells) booleans, True where hidden.
    """
    space = count_cells(tuple(images.shape[2:]), cell)
    if guide == "none":
        return draw_block_masks(len(images), space, block, ratio, rng)
    interest = look_up(GUIDES, guide, "guide")(images, block * cell)
    return draw_guided_masks(interest, space, block, ratio, rng, focus)


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
    cells = count_cells(space, block)
    return hide_highest(
        torch.rand(batch, *cells, generator=rng, device=rng.device), space, block, ratio
    )


def draw_guided_masks(
    interest: Tensor,
    space: tuple[int, ...],
    block: int,
    ratio: float,
    rng: torch.Generator,
    focus: float = 1.0,
) -> Tensor:
    """Hide blocks of high interest more often, the same number in every image.

    Blocks are drawn without replacement, with odds of interest to the power of `focus` (Gumbel
    noise on its logarithm, then the highest: Kool et al., ICML 2019, arXiv:1903.06059).

    Args:
        interest: (batch, *cells) of zero or more, `count_cells` along each axis.
        space: Pixels along each axis.
        block: Side of a block in pixels.
        ratio: Share of blocks to hide.
        rng: Source of every random number.
        focus: 0 hides at random, large values hide the most interesting blocks for sure.

    Returns:
        (batch, 1, *space) booleans, True where hidden.
    """
    level = interest / interest.flatten(1).mean(1).view(-1, *[1] * len(space)).clamp_min(1e-12)
    draws = torch.rand(level.shape, generator=rng, device=rng.device).clamp(1e-9, 1 - 1e-7)
    odds = focus * level.clamp_min(1e-3).log() - (-draws.log()).log()
    return hide_highest(odds, space, block, ratio)


def hide_highest(scores: Tensor, space: tuple[int, ...], block: int, ratio: float) -> Tensor:
    """Hide the blocks with the highest scores, (batch, *cells) to (batch, 1, *space)."""
    hidden = count_hidden(scores[0].numel(), ratio)
    ranks = scores.flatten(1).argsort(1, descending=True).argsort(1)
    mask = (ranks < hidden).view(len(scores), 1, *scores.shape[1:]).float()
    mask = F.interpolate(mask, scale_factor=float(block), mode="nearest") > 0.5
    return mask[(..., *[slice(size) for size in space])]


def count_hidden(blocks: int, ratio: float) -> int:
    """Blocks that are hidden: their share, but not none and not all."""
    return min(blocks - 1, max(1, round(ratio * blocks)))


def count_fewest(space: tuple[int, ...], block: int, ratio: float) -> int:
    """Fewest pixels that `draw_block_masks` can hide: with all cut blocks among the hidden."""
    edges = [[min(block, size - k) for k in range(0, size, block)] for size in space]
    areas = sorted(math.prod(sides) for sides in itertools.product(*edges))
    return sum(areas[: count_hidden(len(areas), ratio)])


def count_cells(space: tuple[int, ...], block: int) -> tuple[int, ...]:
    """Blocks along each axis; the last of an axis may be cut."""
    return tuple(-(-size // block) for size in space)


def mean_per_cell(maps: Tensor, block: int) -> Tensor:
    """Mean of maps (batch, 1, *space) over each block, (batch, *cells)."""
    space = maps.shape[2:]
    padding = [margin for size in reversed(space) for margin in (0, -size % block)]
    pool: Any = F.avg_pool2d if len(space) == 2 else F.avg_pool3d
    inside = pool(F.pad(torch.ones_like(maps), padding), block)
    return (pool(F.pad(maps, padding), block) / inside)[:, 0]


def steepness(images: Tensor) -> Tensor:
    """Summed size of the differences to the next pixel along each axis, (batch, 1, *space)."""
    total = torch.zeros_like(images[:, :1])
    for axis in range(2, images.dim()):
        step = images.diff(dim=axis, append=images.narrow(axis, -1, 1)).abs()
        total = total + step.mean(1, keepdim=True)
    return total


def foreground(images: Tensor) -> Tensor:
    """1 where it is brighter than halfway from its darkest to its mean, (batch, 1, *space)."""
    grey = images.mean(1, keepdim=True)
    flat = grey.flatten(1)
    low = flat.amin(1)
    edge = (low + (flat.mean(1) - low) / 2).view(-1, *[1] * (grey.dim() - 1))
    return (grey > edge).to(images.dtype)


def entropy_per_cell(images: Tensor, block: int, levels: int = 8) -> Tensor:
    """Entropy of the grey levels within each block, (batch, *cells), in nats."""
    grey = images.mean(1, keepdim=True)
    flat = grey.flatten(1)
    low = flat.amin(1).view(-1, *[1] * (grey.dim() - 1))
    high = flat.amax(1).view_as(low)
    step = ((grey - low) / (high - low).clamp_min(1e-6) * levels).long().clamp_max(levels - 1)
    shares = torch.stack(
        [mean_per_cell((step == level).to(grey.dtype), block) for level in range(levels)]
    )
    return -(shares * shares.clamp_min(1e-9).log()).sum(0)


GUIDES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "gradient": lambda images, block: mean_per_cell(steepness(images), block),
    "entropy": entropy_per_cell,
    "foreground": lambda images, block: mean_per_cell(foreground(images), block),
}
