"""Classification: one linear layer on the encoder's vector."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from tassl.heads.base import Head
from tassl.networks.base import Encoder
from tassl.networks.decoder import Decoder


class Classifier(Head):
    """Mean-pooled features, normalised, and a linear layer.

    Loss:
        Cross entropy.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder | None, classes: int) -> None:
        super().__init__(encoder, decoder, classes)
        self.head = nn.Sequential(nn.LayerNorm(encoder.width), nn.Linear(encoder.width, classes))

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channel, *space) to scores (batch, class)."""
        return self.head(self.encoder(images))

    def loss(self, images: Tensor, target: Tensor) -> Tensor:
        """Cross entropy with the class of each image."""
        return F.cross_entropy(self(images).float(), target)
