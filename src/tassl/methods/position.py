"""Relative position: on which side of the middle tile do others lie?"""

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
    """Classifies where tiles lie beside the middle one: 8 places in 2D, 26 in 3D.

    Loss:
        Cross entropy of the place.

    Args:
        encoder: The network to train.
        augment: Draws the view that is cut.
        neighbours: Tiles that are placed in each image; one alone teaches little in a short
            training.

    Source:
        Doersch et al., ICCV 2015, arXiv:1505.05192, section 3; 3D: Taleb et al., NeurIPS 2020,
        arXiv:2006.03829.
    """

    def __init__(self, encoder: Encoder, *, augment: Augment, neighbours: int = 8) -> None:
        super().__init__(encoder, augment=augment)
        self.options = {"neighbours": neighbours}
        self.neighbours = neighbours
        self.places = 3**encoder.dims - 1
        self.classify = build_mlp(2 * encoder.width, encoder.width, self.places)

    def views(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The middle tile, some beside it (batch, tile, channel, *space), and their places."""
        images, rng = self.augment(batch.images, batch.rng), batch.rng
        tiles = cut_tiles(images, 3, rng)
        draws = torch.rand(len(images), self.places, generator=rng, device=rng.device)
        places = draws.argsort(1)[:, : self.neighbours]
        middle = self.places // 2
        rows = torch.arange(len(images), device=tiles.device)[:, None]
        return tiles[:, middle], tiles[rows, places + (places >= middle)], places

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Cross entropy of the places."""
        middle, others, places = views
        encoded = self.encoder(torch.cat([middle[:, None], others], 1).flatten(0, 1))
        first, rest = encoded.unflatten(0, (len(middle), -1)).split([1, others.shape[1]], 1)
        pairs = torch.cat([first.expand_as(rest), rest], 2).flatten(0, 1)
        return F.cross_entropy(self.classify(pairs).float(), places.flatten())

    @torch.no_grad()
    def picture(self, views: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The middle tile and the first beside it."""
        return {"middle": views[0], "beside it": views[1][:, 0]}
