"""What all heads that label every pixel share: their objective and where they start."""

from __future__ import annotations

import torch
from monai.losses.dice import DiceLoss
from monai.networks.layers.factories import Conv
from torch import Tensor
from torch.nn import functional as F

from tassl.heads.base import Head
from tassl.networks.base import Encoder
from tassl.networks.decoder import Decoder


class DenseHead(Head):
    """A head that ends in a 1x1 convolution of maps at full resolution.

    Args:
        encoder: As of any head.
        decoder: As of any head.
        classes: Number of classes, background included.
        width: Channels of the maps that the convolution takes.

    Loss:
        Dice over the foreground classes of the batch, plus cross entropy.

    Source:
        Isensee et al., Nature Methods 2021, 10.1038/s41592-020-01008-z; start at the classes'
        prevalence: Lin et al., ICCV 2017, arXiv:1708.02002, section 3.3.
    """

    dense = True

    def __init__(self, encoder: Encoder, decoder: Decoder | None, classes: int, width: int) -> None:
        super().__init__(encoder, decoder, classes)
        self.head = Conv[Conv.CONV, encoder.dims](width, classes, 1)
        self.dice = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)

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
