"""A vision transformer that can encode visible patches only.

Source: Dosovitskiy et al., ICLR 2021, arXiv:2010.11929; fixed sine-cosine positions as in
He et al., CVPR 2022, arXiv:2111.06377. Positions are computed for the grid at hand, so that
another image size needs no surgery.
"""

from __future__ import annotations

from typing import Self

import torch
from monai.networks.layers.factories import Conv
from torch import Tensor, nn
from torch.nn import functional as F

from tassl.networks.base import TokenEncoder


class Attention(nn.Module):
    """Self-attention by plain matrix products.

    On processors they beat fused kernels in bf16: measured from 16 to 2,048 tokens, a layer takes
    0.55 to 0.7 times as long.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, token, width) to the same."""
        batch, count, width = tokens.shape
        parts = self.project_in(tokens).view(batch, count, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        query = query * query.shape[-1] ** -0.5  # fewer numbers than the weights
        weights = (query @ key.transpose(-2, -1)).softmax(-1)
        return self.project_out((weights @ value).transpose(1, 2).reshape(batch, count, width))


class TransformerBlock(nn.Module):
    """Attention and a two-layer network, each beside a shortcut, normalised before."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attend = nn.Sequential(nn.LayerNorm(width), Attention(width, heads))
        self.transform = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, token, width) to the same."""
        tokens = tokens + self.attend(tokens)
        return tokens + self.transform(tokens)


class VisionTransformer(TokenEncoder):
    """Patches, positions and transformer blocks.

    Args:
        dims: Spatial dimensions.
        channels: Channels of the images.
        patch: Side of a patch in pixels; images are padded to a multiple of it.
        embed: Width of the tokens, a multiple of `heads` and of 2 * dims.
        depth: Number of blocks.
        heads: Attention heads.
    """

    def __init__(
        self,
        dims: int,
        channels: int,
        *,
        patch: int = 8,
        embed: int = 192,
        depth: int = 6,
        heads: int = 3,
    ) -> None:
        super().__init__()
        self.dims, self.channels, self.patch = dims, channels, patch
        self.widths, self.strides = (embed,), (patch,)
        self.options = {"patch": patch, "embed": embed, "depth": depth, "heads": heads}
        self.embed = Conv[Conv.CONV, dims](channels, embed, patch, patch)
        self.blocks = nn.ModuleList(TransformerBlock(embed, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(embed)

    @classmethod
    def sized(cls, dims: int, channels: int, space: tuple[int, ...]) -> Self:
        """Patches small enough that an image has at least 36 of them."""
        longest = max(space)
        patch = 4 if longest <= 32 else 8 if longest <= 96 or dims == 3 else 16
        return cls(dims, channels, patch=patch)

    @property
    def stages(self) -> list[nn.Module]:
        """The patches' layer, every block and the last normalisation."""
        return [self.embed, *self.blocks, self.norm]

    def features(self, images: Tensor) -> list[Tensor]:
        """One level: the tokens laid out as a map."""
        tokens, cells = self._tokens(images)
        return [self._run(tokens).transpose(1, 2).unflatten(2, cells)]

    def visible(self, images: Tensor, keep: Tensor) -> Tensor:
        """Encode the patches named in `keep` only."""
        tokens, _ = self._tokens(images)
        return self._run(tokens.gather(1, keep[..., None].expand(-1, -1, tokens.shape[2])))

    def cells(self, space: tuple[int, ...]) -> tuple[int, ...]:
        """Patches along each axis of an image."""
        return tuple(-(-size // self.patch) for size in space)

    def _tokens(self, images: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        space = images.shape[2:]
        spare = [-size % self.patch for size in space]
        padding = [margin for size in reversed(spare) for margin in (0, size)]
        patches = self.embed(F.pad(images, padding))
        cells = tuple(patches.shape[2:])
        positions = sine_positions(cells, self.width, images.device)
        return patches.flatten(2).transpose(1, 2) + positions.to(patches.dtype), cells

    def _run(self, tokens: Tensor) -> Tensor:
        for block in self.blocks:
            tokens = self.pass_through(block, tokens)
        return self.norm(tokens)


def sine_positions(cells: tuple[int, ...], width: int, device: torch.device) -> Tensor:
    """Fixed codes of patch positions.

    Returns:
        (patch, width): an equal share of sines and cosines for each axis, zeros in what is left.
    """
    share = width // (2 * len(cells))
    rates = 10_000.0 ** -(torch.arange(share, device=device) / share)
    axes = [torch.arange(n, dtype=torch.float32, device=device) for n in cells]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(cells), 1)
    angles = places * rates
    codes = torch.cat([angles.sin(), angles.cos()], -1).flatten(1)
    return F.pad(codes, (0, width - codes.shape[1]))
