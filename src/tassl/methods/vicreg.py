"""VICReg: views agree, features vary, and do not repeat each other."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tassl.methods.base import Batch, Method
from tassl.methods.gathering import gather
from tassl.methods.parts import build_mlp
from tassl.networks.base import Encoder
from tassl.transforms.augment import Augment


class VICReg(Method):
    """Variance, invariance and covariance regularisation.

    Loss:
        Weighted sum of the mean squared difference of the views, a hinge that keeps every
        feature's deviation above one, and squared covariances between features, eq. 6.

    Args:
        encoder: The network to train.
        augment: Draws the views.
        invariance: Weight of the agreement.
        variance: Weight of the hinge.
        covariance: Weight of the covariances.
        projection: Number of features that are regularised.

    Source:
        Bardes et al., ICLR 2022, arXiv:2105.04906, eq. 1 to 6.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        augment: Augment,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        projection: int = 512,
    ) -> None:
        super().__init__(encoder, augment=augment)
        self.options = {
            "invariance": invariance, "variance": variance, "covariance": covariance,
            "projection": projection,
        }  # fmt: skip
        self.weights = (invariance, variance, covariance)
        self.project = build_mlp(encoder.width, projection, projection)

    def views(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Two views of each image."""
        return batch.pair(self.augment)

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Compare both views in one pass of the encoder."""
        projections = self.project(self.encoder(torch.cat(views)))
        first, second = gather(projections, views=2).float().chunk(2)
        return vicreg(first, second, *self.weights)


def vicreg(
    first: Tensor, second: Tensor, invariance: float, variance: float, covariance: float
) -> Tensor:
    """Weighted sum of disagreement, hinges and covariances of features (batch, width), eq. 6."""
    spread = hinge_deviation(first) + hinge_deviation(second)
    repeats = square_covariance(first) + square_covariance(second)
    disagreement = F.mse_loss(first, second)
    return invariance * disagreement + variance * spread / 2 + covariance * repeats


def hinge_deviation(features: Tensor) -> Tensor:
    """Mean shortfall below one of the features' deviations over the batch, eq. 1 and 2."""
    return F.relu(1 - (features.var(0) + 1e-4).sqrt()).mean()


def square_covariance(features: Tensor) -> Tensor:
    """Summed squared covariances between different features over their number, eq. 3 and 4."""
    count, width = features.shape
    centred = features - features.mean(0)
    matrix = centred.T @ centred / (count - 1)
    return (matrix.square().sum() - matrix.diagonal().square().sum()) / width
