"""The contracts of encoders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Encoder(nn.Module, ABC):
    """Images in, a pyramid of feature maps or one vector per image out.

    Subclasses keep their constructor options, so that a checkpoint can rebuild them.

    Attributes:
        dims: Spatial dimensions, 2 or 3.
        channels: Channels of the images.
        widths: Channels of each level of the pyramid, fine to coarse.
        strides: Pixels per cell of each level along every axis, fine to coarse.
        options: Constructor options beside dims and channels.
        recompute: Whether activations are computed anew for the gradient instead of kept.
    """

    dims: int
    channels: int
    widths: tuple[int, ...]
    strides: tuple[int, ...]
    options: dict[str, Any]
    recompute: bool = False

    @property
    def width(self) -> int:
        """Length of the vector that `forward` gives."""
        return self.widths[-1]

    @classmethod
    @abstractmethod
    def sized(cls, dims: int, channels: int, space: tuple[int, ...]) -> Self:
        """Build the encoder with options that suit images of this size."""

    @property
    def stages(self) -> list[nn.Module]:
        """All parts that hold weights, in the order in which images pass them."""
        return list(self.children())

    @abstractmethod
    def features(self, images: Tensor) -> list[Tensor]:
        """(batch, channel, *space) to maps (batch, widths[k], *space / strides[k])."""

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channel, *space) to (batch, width): the mean over the coarsest map."""
        return self.features(images)[-1].flatten(2).mean(2)

    def pass_through(self, block: nn.Module, maps: Tensor) -> Tensor:
        """What a block makes of maps; with `recompute` its activations are not kept.

        Source:
            Chen et al., 2016, arXiv:1604.06174, section 4.
        """
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(block, maps, use_reentrant=False, preserve_rng_state=False)
        return block(maps)


class TokenEncoder(Encoder):
    """An encoder of patches that can leave patches out.

    Attributes:
        patch: Side of a patch in pixels.
    """

    patch: int

    @abstractmethod
    def visible(self, images: Tensor, keep: Tensor) -> Tensor:
        """Encode some patches only.

        Args:
            images: (batch, channel, *space).
            keep: (batch, kept) numbers of the patches to encode, in row-major order.

        Returns:
            Tokens (batch, kept, width).
        """
