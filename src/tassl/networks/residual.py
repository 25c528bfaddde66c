"""A residual CNN and the encoder of a residual U-Net, with group normalisation.

Group normalisation has no statistics across the batch: a batch of two volumes trains like a
large one, and nothing differs between training and use. Source: He et al., CVPR 2016,
arXiv:1512.03385; Wu & He, ECCV 2018, arXiv:1803.08494.
"""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from tassl.networks.base import Encoder
from tassl.networks.convolution import CONVOLUTIONS

GROUPS = 8


def convolve(dims: int, inner: int, outer: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution and group normalisation."""
    layer = CONVOLUTIONS[dims](inner, outer, size, stride, size // 2, bias=False)
    return nn.Sequential(layer, nn.GroupNorm(GROUPS, outer))


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, dims: int, inner: int, outer: int, stride: int = 1) -> None:
        super().__init__()
        self.first = convolve(dims, inner, outer, stride=stride)
        self.second = convolve(dims, outer, outer)
        same = inner == outer and stride == 1
        self.shortcut = nn.Identity() if same else convolve(dims, inner, outer, 1, stride)
        self.activate = nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, inner, *space) to (batch, outer, *space / stride)."""
        residue = self.second(self.activate(self.first(images)))
        return self.activate(residue + self.shortcut(images))


class ResidualCNN(Encoder):
    """A stem and levels of residual blocks; each level after the first halves the resolution.

    Args:
        dims: Spatial dimensions.
        channels: Channels of the images.
        widths: Channels of each level, each a multiple of eight.
        stem: Stride of the first convolution.
        blocks: Residual blocks per level.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        *,
        widths: tuple[int, ...] = (16, 64, 128, 256),
        stem: int = 1,
        blocks: int = 1,
    ) -> None:
        super().__init__()
        self.dims, self.channels, self.widths = dims, channels, tuple(widths)
        self.strides = tuple(stem * 2**level for level in range(len(widths)))
        self.options = {"widths": list(widths), "stem": stem, "blocks": blocks}
        size = 3 if stem <= 2 else 2 * stem - 1
        self.stem = nn.Sequential(
            convolve(dims, channels, widths[0], size, stem), nn.ReLU(inplace=True)
        )
        self.levels = nn.ModuleList()
        inner = widths[0]
        for level, outer in enumerate(widths):
            steps = [ResidualBlock(dims, inner, outer, stride=2 if level else 1)]
            steps += [ResidualBlock(dims, outer, outer) for _ in range(blocks - 1)]
            self.levels.append(nn.Sequential(*steps))
            inner = outer

    @classmethod
    def sized(cls, dims: int, channels: int, space: tuple[int, ...]) -> Self:
        """Keep small images at full resolution; the coarsest map stays 3 to 8 cells wide."""
        longest = max(space)
        stem = 1 if longest <= 40 else 2 if longest <= 96 else 4
        if dims == 3:
            return cls(dims, channels, widths=(16, 32, 64, 128), stem=min(2, stem))
        return cls(dims, channels, stem=stem)

    @property
    def stages(self) -> list[nn.Module]:
        """The stem and every level."""
        return [self.stem, *self.levels]

    def features(self, images: Tensor) -> list[Tensor]:
        """The output of every level, fine to coarse."""
        maps, current = [], self.pass_through(self.stem, images)
        for level in self.levels:
            current = self.pass_through(level, current)
            maps.append(current)
        return maps


class ResidualUNet(ResidualCNN):
    """The same levels for dense tasks: narrow, with a fine first level for the skips."""

    @classmethod
    def sized(cls, dims: int, channels: int, space: tuple[int, ...]) -> Self:
        """Full resolution in 2D, half in 3D, where the decoder's last step is cheap."""
        if dims == 3:
            return cls(dims, channels, widths=(16, 32, 64, 128), stem=2)
        return cls(dims, channels, widths=(16, 32, 64, 128, 256), stem=1)
