"""Jigsaw (Rubik's cube in 3D): in which of some known orders do the tiles lie?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tassl.methods.base import Batch, Method
from tassl.methods.parts import build_mlp
from tassl.methods.tiles import cut_tiles, far_permutations, lay_tiles
from tassl.networks.base import Encoder
from tassl.transforms.augment import Augment

CELLS = {2: 3, 3: 2}


class Jigsaw(Method):
    """Classifies the order of shuffled tiles, each encoded apart: 3 x 3 in 2D, 2 x 2 x 2 in 3D.

    Loss:
        Cross entropy of the permutation.

    Args:
        encoder: The network to train.
        augment: Draws the view that is cut.
        permutations: Number of orders to tell apart.

    Source:
        Noroozi & Favaro, ECCV 2016, arXiv:1603.09246, section 3; 3D: Zhuang et al., MICCAI 2019,
        arXiv:1910.02241.
    """

    orders: Tensor

    def __init__(self, encoder: Encoder, *, augment: Augment, permutations: int = 64) -> None:
        super().__init__(encoder, augment=augment)
        self.options = {"permutations": permutations}
        self.cells = CELLS[encoder.dims]
        tiles = self.cells**encoder.dims
        self.register_buffer("orders", far_permutations(tiles, permutations))
        self.classify = build_mlp(tiles * encoder.width, encoder.width, len(self.orders))

    def views(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Shuffled tiles (batch, tile, channel, *tile space), and the number of each order."""
        images, rng = self.augment(batch.images, batch.rng), batch.rng
        tiles = cut_tiles(images, self.cells, rng)
        size = (len(images),)
        chosen = torch.randint(len(self.orders), size, generator=rng, device=rng.device)
        rows = torch.arange(len(images), device=tiles.device)[:, None]
        return tiles[rows, self.orders[chosen]], chosen

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Cross entropy of the permutation."""
        tiles, chosen = views
        features = self.encoder(tiles.flatten(0, 1)).unflatten(0, tiles.shape[:2])
        return F.cross_entropy(self.classify(features.flatten(1)).float(), chosen)

    @torch.no_grad()
    def picture(self, views: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The shuffled tiles side by side."""
        tiles = views[0]
        space = tuple(self.cells * size for size in tiles.shape[3:])
        return {"shuffled": lay_tiles(tiles, self.cells, space)}
