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
        Dice over the foreground classes of the batch, plus cross entropy in which a class weighs
        by the square root of its rarity: without that, short fits with few labels may never
        predict one of the classes.

    Source:
        Isensee et al., Nature Methods 2021, 10.1038/s41592-020-01008-z.
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
        weights = weigh_classes(target, self.classes)
        return self.dice(scores, target[:, None]) + F.cross_entropy(scores, target, weights)


def weigh_classes(target: Tensor, classes: int) -> Tensor:
    """Square root of the rarity of each class in the masks; zero for absent ones, (class,)."""
    counts = torch.bincount(target.flatten(), minlength=classes).float()
    return torch.where(counts > 0, (counts.sum() / counts.clamp_min(1)).sqrt(), 0.0)
