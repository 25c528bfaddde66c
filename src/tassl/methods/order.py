"""Slice order: three slabs of a volume were shuffled; in which order do they lie?"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch.nn import functional as F

from tassl.methods.base import Batch, Method
from tassl.methods.parts import build_mlp
from tassl.networks.base import Encoder
from tassl.transforms.augment import Augment

SLABS = 3
ORDERS = torch.tensor(list(itertools.permutations(range(SLABS))))


class SliceOrder(Method):
    """Classifies the order of three slabs along the foot-head axis, each encoded apart.

    Loss:
        Cross entropy of the order.

    Args:
        encoder: The network to train.
        augment: Draws the view that is cut.

    Source:
        Slices: Zhang et al., ISBI 2017, 10.1109/ISBI.2017.7950587; more than two at a time: Misra
        et al., ECCV 2016, arXiv:1603.08561.
    """

    def __init__(self, encoder: Encoder, *, augment: Augment) -> None:
        super().__init__(encoder, augment=augment)
        self.classify = build_mlp(SLABS * encoder.width, encoder.width, len(ORDERS))

    def views(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Shuffled slabs (batch, slab, channel, *slab space), and the number of the order."""
        images, rng = self.augment(batch.images, batch.rng), batch.rng
        slabs = torch.stack(cut_slabs(images, SLABS, rng), 1)
        size = (len(images),)
        chosen = torch.randint(len(ORDERS), size, generator=rng, device=rng.device)
        rows = torch.arange(len(images), device=slabs.device)[:, None]
        return slabs[rows, ORDERS.to(slabs.device)[chosen]], chosen

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Cross entropy of the order."""
        slabs, chosen = views
        features = self.encoder(slabs.flatten(0, 1)).unflatten(0, slabs.shape[:2])
        return F.cross_entropy(self.classify(features.flatten(1)).float(), chosen)

    @torch.no_grad()
    def picture(self, views: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The slabs as they lie after shuffling."""
        return {f"slab {k + 1}": views[0][:, k] for k in range(SLABS)}


def cut_slabs(images: Tensor, count: int, rng: torch.Generator) -> list[Tensor]:
    """Cut slabs that do not touch from equal parts of the last axis, at random places within."""
    part = images.shape[-1] // count
    depth = max(1, int(0.8 * part))
    draws = torch.rand(count, generator=rng, device=rng.device)
    places = torch.arange(depth, device=rng.device)
    return [
        images.index_select(-1, k * part + (draw * (part - depth + 1)).long() + places)
        for k, draw in enumerate(draws)
    ]
