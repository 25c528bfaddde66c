"""Segmentation: a U-Net decoder over the encoder's pyramid."""

from __future__ import annotations

from torch import Tensor

from tassl.heads.dense import DenseHead
from tassl.networks.base import Encoder
from tassl.networks.decoder import Decoder


class Segmenter(DenseHead):
    """Encoder, decoder (a pretrained one where the method trained one) and a 1x1 convolution."""

    def __init__(self, encoder: Encoder, decoder: Decoder | None, classes: int) -> None:
        joined = decoder or Decoder(encoder)
        super().__init__(encoder, joined, classes, joined.width)
        self.decoder = joined

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channel, *space) to scores (batch, class, *space)."""
        return self.head(self.decoder(self.encoder.features(images), images))
