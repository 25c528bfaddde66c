"""A decoder from any pyramid of features to a map at full resolution."""

from __future__ import annotations

from typing import Any, cast

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
        self.smooth = "bilinear" if encoder.dims == 2 else "trilinear"
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.narrows = nn.ModuleList(convolve(encoder.dims, c, f, 1) for c, f in steps)
        self.joins = nn.ModuleList(ResidualBlock(encoder.dims, 2 * f, f) for _, f in steps)
        self.width = widths[0]
        self.last = None
        if encoder.strides[0] > 1:
            self.width = max(16, widths[0] // 2)
            self.narrow = convolve(encoder.dims, widths[0], self.width, 1)
            block = convolve(encoder.dims, self.width + encoder.channels, self.width)
            self.last = nn.Sequential(block, nn.ReLU(inplace=True))

    def forward(self, maps: list[Tensor], images: Tensor) -> Tensor:
        """Pyramid and images (batch, channel, *space) to (batch, width, *space)."""
        current = maps[-1]
        for narrow, join, finer in zip(self.narrows, self.joins, maps[-2::-1], strict=True):
            current = join(torch.cat([self._resize(narrow(current), finer), finer], 1))
        if self.last is None:
            return current
        joined, activate = self.last
        layer, normalise = cast(nn.Sequential, joined)
        current = self._resize(self.narrow(current), images)
        return activate(normalise(convolve_apart(layer, current, images)))

    def _resize(self, maps: Tensor, like: Tensor) -> Tensor:
        """Copy when doubling, since the convolution that follows smooths; else interpolate."""
        doubling = like.shape[-1] <= 2 * maps.shape[-1]
        return F.interpolate(maps, like.shape[2:], mode="nearest" if doubling else self.smooth)


def convolve_apart(layer: Any, maps: Tensor, images: Tensor) -> Tensor:
    """A convolution, without bias, of maps and images joined along the channels, each by itself.

    Processors pad channels to a multiple of 16, so that 17 take the time of 32: joined, the last
    step of a decoder takes half as long again.
    """
    if maps.dim() == 5 and maps.shape[2] < layer.kernel_size[0]:
        return layer(torch.cat([maps, images.to(maps.dtype)], 1))  # which guards its gradient
    convolve: Any = F.conv2d if maps.dim() == 4 else F.conv3d
    first, second = layer.weight.split([maps.shape[1], images.shape[1]], 1)
    seen = convolve(images.to(maps.dtype), second, padding=layer.padding)
    return convolve(maps, first, padding=layer.padding) + seen
