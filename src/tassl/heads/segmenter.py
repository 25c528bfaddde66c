"""Segmentation: a U-Net decoder over the encoder's pyramid."""

from __future__ import annotations

import torch
from monai.losses.dice import DiceLoss
from monai.networks.layers.factories import Conv
from torch import Tensor
from torch.nn import functional as F

from tassl.heads.base import Head
from tassl.networks.base import Encoder
from tassl.networks.decoder import Decoder


class Segmenter(Head):
    """Encoder, decoder (a pretrained one where the method trained one) and a 1x1 convolution.

    Loss:
        Dice over the foreground classes of the batch, plus cross entropy.

    Source:
        Isensee et al., Nature Methods 2021, 10.1038/s41592-020-01008-z; start at the classes'
        prevalence: Lin et al., ICCV 2017, arXiv:1708.02002, section 3.3.
    """

    dense = True

    def __init__(self, encoder: Encoder, decoder: Decoder | None, classes: int) -> None:
        super().__init__(encoder, decoder, classes)
        self.decoder = decoder or Decoder(encoder)
        self.head = Conv[Conv.CONV, encoder.dims](self.decoder.width, classes, 1)
        self.dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channel, *space) to scores (batch, class, *space)."""
        return self.head(self.decoder(self.encoder.features(images), images))

    def loss(self, images: Tensor, target: Tensor) -> Tensor:
        """Dice and cross entropy with the mask (batch, *space)."""
        scores = self(images).float()
        return self.dice(scores, target[:, None]) + F.cross_entropy(scores, target)

    @torch.no_grad()
    def prime(self, target: Tensor) -> None:
        """Start out predicting each class as often as the masks (row, *space) show it.

        From an even start the first steps push everything to background, and a rare class may
        never come back.
        """
        counts = 1.0 + torch.bincount(target.flatten(), minlength=self.classes)
        self.head.bias.copy_((counts / counts.sum()).log())
