"""Segmentation of regions that may lie inside one another: a probability of its own for each."""

from __future__ import annotations

import torch
from monai.losses.dice import DiceLoss
from torch import Tensor
from torch.nn import functional as F

from tassl.heads.dense import DenseHead
from tassl.heads.dense_probe import DenseProbe
from tassl.heads.segmenter import Segmenter

DICE = DiceLoss(sigmoid=True, batch=True)


class RegionHead(DenseHead):
    """A dense head whose channels are regions rather than classes.

    Targets are codes (batch, *space), whose bits say which regions a pixel is part of: see
    `tassl.data.regions`. Scores count twice, as the difference of two opposite channels of a
    softmax does: else the same steps take a sigmoid half as far.

    Loss:
        Dice of every region over the batch, plus binary cross entropy; the mean over regions.

    Source:
        Isensee et al., BrainLes 2020, arXiv:2011.00848 (region-based training); start at
        the regions' prevalence: Lin et al., ICCV 2017, arXiv:1708.02002, section 3.3.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channel, *space) to scores (batch, region, *space)."""
        return 2 * super().forward(images)

    def loss(self, images: Tensor, target: Tensor) -> Tensor:
        """Dice and binary cross entropy with the codes (batch, *space)."""
        scores, wanted = self(images).float(), self.split(target).float()
        return DICE(scores, wanted) + F.binary_cross_entropy_with_logits(scores, wanted)

    @torch.no_grad()
    def prime(self, target: Tensor) -> None:
        """Start out predicting each region as often as the codes (row, *space) show it."""
        shown = torch.stack([(target >> bit & 1).sum() for bit in range(self.classes)])
        self.head.bias.copy_(((shown + 1) / (target.numel() + 2)).logit() / 2)

    def predict(self, images: Tensor) -> Tensor:
        """Probabilities (batch, region, *space), each of its own."""
        return self(images).float().sigmoid()

    def split(self, codes: Tensor) -> Tensor:
        """Whether each pixel is part of each region, (batch, region, *space) of 0 and 1."""
        return torch.stack([codes >> bit & 1 for bit in range(self.classes)], 1)


class RegionSegmenter(RegionHead, Segmenter):
    """The segmenter's layers, and a probability of its own for every region."""


class RegionProbe(RegionHead, DenseProbe):
    """A linear model of each pixel for every region."""
