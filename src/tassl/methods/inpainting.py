"""Context restoration: patches of the image have changed places; put them back."""

from __future__ import annotations

import torch
from torch import Tensor

from tassl.methods.restoration import Restoration
from tassl.networks.base import Encoder
from tassl.transforms.augment import Augment


class ContextRestoration(Restoration):
    """Restores an image in which pairs of patches were swapped; its histogram is untouched.

    Loss:
        Mean squared error over all pixels.

    Args:
        encoder: The network to train.
        augment: Draws the image that is corrupted.
        swaps: Pairs of patches that change places.
        side: Side of a patch, as a share of the image side.

    Source:
        Chen et al., Medical Image Analysis 2019, 10.1016/j.media.2019.101539, algorithm 1.
    """

    def __init__(
        self, encoder: Encoder, *, augment: Augment, swaps: int = 10, side: float = 0.15
    ) -> None:
        super().__init__(encoder, augment=augment)
        self.options = {"swaps": swaps, "side": side}
        self.swaps, self.side = swaps, side

    def corrupt(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Swap patches, at other places in every image."""
        space = images.shape[2:]
        size = [max(2, round(self.side * n)) for n in space]
        shape = (len(images), self.swaps, 2, len(space))
        draws = torch.rand(shape, generator=rng, device=rng.device).tolist()
        result = images.clone()
        for image, pairs in zip(result, draws, strict=True):
            for first, second in pairs:
                swap_patches(image, _window(first, size, space), _window(second, size, space))
        return result


def swap_patches(image: Tensor, first: tuple[slice, ...], second: tuple[slice, ...]) -> None:
    """Exchange two windows of one image (channel, *space) in place."""
    kept = image[(..., *first)].clone()
    image[(..., *first)] = image[(..., *second)].clone()
    image[(..., *second)] = kept


def _window(draw: list[float], size: list[int], space: torch.Size) -> tuple[slice, ...]:
    starts = [int(d * (n - s + 1)) for d, s, n in zip(draw, size, space, strict=True)]
    return tuple(slice(k, k + s) for k, s in zip(starts, size, strict=True))
