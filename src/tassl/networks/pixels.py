"""No network at all: images as they are, for the baseline that features have to beat."""

from __future__ import annotations

from typing import Self

from torch import Tensor

from tassl.networks.base import Encoder


class Pixels(Encoder):
    """An encoder without levels, whose heads see the grey values alone."""

    widths, strides = (), ()

    def __init__(self, dims: int, channels: int) -> None:
        super().__init__()
        self.dims, self.channels, self.options = dims, channels, {}

    @classmethod
    def sized(cls, dims: int, channels: int, space: tuple[int, ...]) -> Self:
        """The same for every size."""
        return cls(dims, channels)

    def features(self, images: Tensor) -> list[Tensor]:
        """No maps."""
        return []
