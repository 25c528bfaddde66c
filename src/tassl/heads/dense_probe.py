"""Linear probe of every pixel: what frozen maps tell, without a decoder that could learn the task.

A decoder trained on frozen maps says little of them: on random ones it segments well, too.
"""

from __future__ import annotations

from monai.networks.layers.factories import Conv, Norm
from torch import Tensor, nn
from torch.nn import functional as F

from tassl.heads.dense import DenseHead
from tassl.networks.base import Encoder
from tassl.networks.decoder import Decoder


class DenseProbe(DenseHead):
    """A linear model of each pixel's grey values and of all levels of the pyramid at its place.

    Levels are standardised, and enlarged after their part of the linear model rather than before,
    which comes to the same.

    Source:
        Hariharan et al., CVPR 2015, arXiv:1411.5752 (levels joined at each pixel); Alain &
        Bengio, 2016, arXiv:1610.01644 (linear probes).
    """

    def __init__(self, encoder: Encoder, decoder: Decoder | None, classes: int) -> None:
        super().__init__(encoder, None, classes, encoder.channels)
        convolve, standardise = Conv[Conv.CONV, encoder.dims], Norm[Norm.BATCH, encoder.dims]
        self.smooth = "bilinear" if encoder.dims == 2 else "trilinear"
        self.levels = nn.ModuleList(
            nn.Sequential(standardise(width, affine=False), convolve(width, classes, 1, bias=False))
            for width in encoder.widths
        )
        for weight in (*self.head.parameters(), *self.levels.parameters()):
            nn.init.zeros_(weight)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channel, *space) to scores (batch, class, *space)."""
        scores = self.head(images)
        for level, maps in zip(self.levels, self.encoder.features(images), strict=True):
            scores = scores + F.interpolate(level(maps), images.shape[2:], mode=self.smooth)
        return scores
