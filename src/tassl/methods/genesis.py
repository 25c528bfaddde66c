"""Models Genesis: undo a curve on the grey values, shuffled pixels and painted-over blocks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tassl.methods.restoration import Restoration
from tassl.networks.base import Encoder
from tassl.transforms.augment import Augment
from tassl.transforms.draws import per_image, uniform
from tassl.transforms.masks import draw_block_masks


class ModelsGenesis(Restoration):
    """Restores an image from a copy that was changed in several ways.

    Half of the images get a monotonic curve on their grey values, half are shuffled locally; nine
    in ten are painted over, either in blocks or all but a block.

    Loss:
        Mean squared error over all pixels.

    Args:
        encoder: The network to train.
        augment: Draws the image that is corrupted.
        curve: Share of the images that get a curve.
        shuffle: Share of the images that are shuffled.
        paint: Share of the images that are painted over.

    Source:
        Zhou et al., Medical Image Analysis 2021, arXiv:2004.07882, section 3.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        augment: Augment,
        curve: float = 0.5,
        shuffle: float = 0.5,
        paint: float = 0.9,
    ) -> None:
        super().__init__(encoder, augment=augment)
        self.options = {"curve": curve, "shuffle": shuffle, "paint": paint}

    def corrupt(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Curve, shuffle, paint over."""
        changed = _some(images, bend_curve(images, rng), self.options["curve"], rng)
        changed = _some(changed, shuffle_locally(changed, rng), self.options["shuffle"], rng)
        return _some(changed, paint_over(changed, rng), self.options["paint"], rng)


def bend_curve(images: Tensor, rng: torch.Generator) -> Tensor:
    """Map grey values by a random monotonic Bezier curve between each image's own extremes."""
    flat = images.flatten(1)
    low, high = per_image(flat.amin(1), images), per_image(flat.amax(1), images)
    level = (images - low) / (high - low).clamp_min(1e-6)
    first = per_image(uniform(len(images), 0, 1, rng), images)
    second = per_image(uniform(len(images), 0, 1, rng), images)
    rest = 1 - level
    bent = 3 * rest.square() * level * first + 3 * rest * level.square() * second + level**3
    return bent * (high - low) + low


def shuffle_locally(images: Tensor, rng: torch.Generator, block: int = 4) -> Tensor:
    """Shuffle the pixels within each block of the image, by one order for the batch."""
    space = images.shape[2:]
    padding = [margin for n in reversed(space) for margin in (0, -n % block)]
    places = torch.arange(space.numel(), device=images.device).view(1, 1, *space).float()
    padded = F.pad(places, padding, value=-1.0)
    order = _shuffle_blocks(padded, block, rng)[(..., *[slice(n) for n in space])].long()
    own = places.long()
    source = torch.where(order < 0, own, order).flatten()
    return images.flatten(2)[:, :, source].view_as(images)


def paint_over(images: Tensor, rng: torch.Generator) -> Tensor:
    """Fill a quarter of the blocks with noise, or all but a quarter, half the images each."""
    space, count = tuple(images.shape[2:]), len(images)
    block = max(2, max(space) // 6)
    hidden = draw_block_masks(count, space, block, 0.25, rng)
    outside = uniform(count, 0, 1, rng) < 0.5
    hidden = hidden ^ per_image(outside, images)
    noise = torch.randn(images.shape, generator=rng, device=rng.device)
    return torch.where(hidden, noise, images)


def _shuffle_blocks(padded: Tensor, block: int, rng: torch.Generator) -> Tensor:
    dims = padded.dim() - 2
    cells = [n // block for n in padded.shape[2:]]
    split = [axis for n in cells for axis in (n, block)]
    front = [2 * k for k in range(dims)] + [2 * k + 1 for k in range(dims)]
    pixels = padded.view(split).permute(front).reshape(*cells, -1)
    order = torch.rand(pixels.shape, generator=rng, device=rng.device).argsort(-1)
    mixed = pixels.gather(-1, order).view(*cells, *[block] * dims)
    back = [axis for k in range(dims) for axis in (k, dims + k)]
    return mixed.permute(back).reshape(padded.shape)


def _some(images: Tensor, changed: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Take the changed form of a random share of the images."""
    return torch.where(per_image(uniform(len(images), 0, 1, rng) < share, images), changed, images)
