"""A decoder from any pyramid of features to a map at full resolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tassl.networks.base import Encoder
from tassl.networks.residual import ResidualBlock, convolve


class Decoder(nn.Module):
    """Joins the levels from coarse to fine, then steps up to the image's own size.

    Args:
        encoder: Tells dims, widths and strides of the pyramid; it is not kept.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        widths = encoder.widths
        self.mode = "bilinear" if encoder.dims == 2 else "trilinear"
        self.joins = nn.ModuleList(
            ResidualBlock(encoder.dims, coarse + fine, fine)
            for coarse, fine in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.width = widths[0] if encoder.strides[0] == 1 else max(16, widths[0] // 2)
        self.last = (
            None
            if encoder.strides[0] == 1
            else nn.Sequential(
                convolve(encoder.dims, widths[0] + encoder.channels, self.width),
                nn.ReLU(inplace=True),
            )
        )

    def forward(self, maps: list[Tensor], images: Tensor) -> Tensor:
        """Pyramid and images (batch, channel, *space) to (batch, width, *space)."""
        current = maps[-1]
        for join, finer in zip(self.joins, maps[-2::-1], strict=True):
            current = join(torch.cat([self._resize(current, finer), finer], 1))
        if self.last is None:
            return current
        current = self._resize(current, images)
        return self.last(torch.cat([current, images.to(current.dtype)], 1))

    def _resize(self, maps: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(maps, size=like.shape[2:], mode=self.mode, align_corners=False)
