"""Context restoration: patches of the image have changed places; put them back."""

from __future__ import annotations

import torch
from torch import Tensor

from tassl.methods.restoration import Restoration
from tassl.networks.base import Encoder
from tassl.transforms.augment import Augment
from tassl.transforms.windows import list_pixels


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
        draws = torch.rand(shape, generator=rng, device=rng.device)
        room = [n - s + 1 for n, s in zip(space, size, strict=True)]
        starts = (draws * torch.tensor(room, device=rng.device)).long()
        flat = images.flatten(2)
        for pair in starts.unbind(1):
            first, second = (list_pixels(start, size, space) for start in pair.unbind(1))
            flat = swap_pixels(flat, first, second)
        return flat.view_as(images)


def swap_pixels(flat: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Exchange two sets of pixels (batch, pixel) of flat images (batch, channel, all pixels)."""
    first, second = (numbers[:, None].expand(-1, flat.shape[1], -1) for numbers in (first, second))
    changed = flat.scatter(2, first, flat.gather(2, second))
    return changed.scatter(2, second, flat.gather(2, first))
