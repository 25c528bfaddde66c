"""Relative position: on which side of the middle tile does another one lie?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tassl.methods.base import Batch, Method
from tassl.methods.parts import build_mlp
from tassl.methods.tiles import cut_tiles
from tassl.networks.base import Encoder
from tassl.transforms.augment import Augment


class RelativePosition(Method):
    """Classifies where a tile lies beside the middle one: 8 places in 2D, 26 in 3D.

    Loss:
        Cross entropy of the place.

    Args:
        encoder: The network to train.
        augment: Draws the view that is cut.

    Source:
        Doersch et al., ICCV 2015, arXiv:1505.05192, section 3; 3D: Taleb et al., NeurIPS 2020,
        arXiv:2006.03829.
    """

    def __init__(self, encoder: Encoder, *, augment: Augment) -> None:
        super().__init__(encoder, augment=augment)
        self.places = 3**encoder.dims - 1
        self.classify = build_mlp(2 * encoder.width, encoder.width, self.places)

    def views(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The middle tile, one beside it, and the number of the place of that one."""
        images, rng = self.augment(batch.images, batch.rng), batch.rng
        tiles = cut_tiles(images, 3, rng)
        size = (len(images),)
        place = torch.randint(self.places, size, generator=rng, device=rng.device)
        middle = self.places // 2
        rows = torch.arange(len(images), device=tiles.device)
        return tiles[:, middle], tiles[rows, place + (place >= middle)], place

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Cross entropy of the place."""
        middle, other, place = views
        features = torch.cat(self.encoder(torch.cat([middle, other])).chunk(2), 1)
        return F.cross_entropy(self.classify(features).float(), place)

    @torch.no_grad()
    def picture(self, views: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Both tiles."""
        return {"middle": views[0], "beside it": views[1]}
