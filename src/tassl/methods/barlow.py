"""Barlow Twins: features agree between views, and no two features say the same."""

from __future__ import annotations

import torch
from torch import Tensor

from tassl.methods.base import Batch, Method
from tassl.methods.gathering import gather
from tassl.methods.parts import build_mlp
from tassl.networks.base import Encoder
from tassl.transforms.augment import Augment


class BarlowTwins(Method):
    """Redundancy reduction between the features of two views.

    Loss:
        Squared distance of the cross-correlation matrix from the identity, eq. 1, off-diagonal
        entries weighed by `redundancy`.

    Args:
        encoder: The network to train.
        augment: Draws the views.
        redundancy: Weight of the off-diagonal entries.
        projection: Number of features that are decorrelated.

    Source:
        Zbontar et al., ICML 2021, arXiv:2103.03230, eq. 1 and 2.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        augment: Augment,
        redundancy: float = 0.005,
        projection: int = 512,
    ) -> None:
        super().__init__(encoder, augment=augment)
        self.options = {"redundancy": redundancy, "projection": projection}
        self.redundancy = redundancy
        self.project = build_mlp(encoder.width, projection, projection)

    def views(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Two views of each image."""
        return batch.pair(self.augment)

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Compare both views in one pass of the encoder."""
        projections = self.project(self.encoder(torch.cat(views)))
        first, second = gather(projections, views=2).chunk(2)
        return barlow_twins(first, second, self.redundancy)


def barlow_twins(first: Tensor, second: Tensor, redundancy: float) -> Tensor:
    """Distance of the cross-correlation of two views' features, (batch, width), from identity."""
    product = standardise(first).T @ standardise(second) / len(first)
    diagonal = product.diagonal()
    off = product.square().sum() - diagonal.square().sum()
    return (1 - diagonal).square().sum() + redundancy * off


def standardise(features: Tensor) -> Tensor:
    """Zero mean and unit deviation of each feature over the batch."""
    features = features.float()
    centred = features - features.mean(0)
    return centred / (centred.square().mean(0) + 1e-5).sqrt()
