"""Segmentation: a U-Net decoder over the encoder's pyramid."""

from __future__ import annotations

from monai.losses.dice import DiceCELoss
from monai.networks.layers.factories import Conv
from torch import Tensor

from tassl.heads.base import Head
from tassl.networks.base import Encoder
from tassl.networks.decoder import Decoder


class Segmenter(Head):
    """Encoder, decoder (a pretrained one where the method trained one) and a 1x1 convolution.

    Loss:
        Dice over the foreground classes of the batch, plus cross entropy.

    Source:
        Isensee et al., Nature Methods 2021, 10.1038/s41592-020-01008-z.
    """

    dense = True

    def __init__(self, encoder: Encoder, decoder: Decoder | None, classes: int) -> None:
        super().__init__(encoder, decoder, classes)
        self.decoder = decoder or Decoder(encoder)
        self.head = Conv[Conv.CONV, encoder.dims](self.decoder.width, classes, 1)
        self.objective = DiceCELoss(
            include_background=False, to_onehot_y=True, softmax=True, batch=True
        )

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channel, *space) to scores (batch, class, *space)."""
        return self.head(self.decoder(self.encoder.features(images), images))

    def loss(self, images: Tensor, target: Tensor) -> Tensor:
        """Dice and cross entropy with the mask (batch, *space)."""
        return self.objective(self(images).float(), target[:, None])
