"""Rotation: by how many quarter turns was the image turned?"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tassl.methods.base import Batch, Method
from tassl.networks.base import Encoder
from tassl.transforms.augment import Augment

PLANES = {2: ((0, 1),), 3: ((0, 1), (0, 2), (1, 2))}


class Rotation(Method):
    """Classifies quarter turns: 4 in 2D, 10 in 3D (none, or three about each axis).

    Every view is cut to a square (cube) first, else its shape would give the turn away.

    Loss:
        Cross entropy of the turn.

    Args:
        encoder: The network to train.
        augment: Draws the view that is turned.

    Source:
        Gidaris et al., ICLR 2018, arXiv:1803.07728, eq. 2 and 3; 3D: Taleb et al., NeurIPS 2020,
        arXiv:2006.03829.
    """

    def __init__(self, encoder: Encoder, *, augment: Augment) -> None:
        super().__init__(encoder, augment=augment)
        self.classify = nn.Linear(encoder.width, len(list_turns(encoder.dims)))

    def views(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Turned images, and the number of each one's turn."""
        images = cut_square(self.augment(batch.images, batch.rng))
        count, rng = len(list_turns(self.encoder.dims)), batch.rng
        chosen = torch.randint(count, (len(images),), generator=rng, device=rng.device)
        return turn_each(images, chosen), chosen

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Cross entropy of the turn."""
        images, turns = views
        return F.cross_entropy(self.classify(self.encoder(images)).float(), turns)

    @torch.no_grad()
    def picture(self, views: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The turned images."""
        return {"turned": views[0]}


def list_turns(dims: int) -> list[tuple[int, tuple[int, int]]]:
    """Quarter turns and plane of each class; the first is no turn."""
    return [(0, PLANES[dims][0])] + [(k, plane) for plane in PLANES[dims] for k in (1, 2, 3)]


def turn_each(images: Tensor, chosen: Tensor) -> Tensor:
    """Turn squares (cubes) by the turn that was chosen for each, (batch,)."""
    pixels = torch.arange(images[0, 0].numel(), device=images.device).view(images.shape[2:])
    turns = list_turns(pixels.dim())
    sources = torch.stack([torch.rot90(pixels, times, plane) for times, plane in turns]).flatten(1)
    index = sources[chosen][:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, index).view_as(images)


def cut_square(images: Tensor) -> Tensor:
    """The middle square (cube) of each image, as large as fits."""
    side = min(images.shape[2:])
    starts = [(size - side) // 2 for size in images.shape[2:]]
    return images[(..., *[slice(start, start + side) for start in starts])]
