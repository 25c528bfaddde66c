"""Volume Fusion: segment by how much of another image each block was mixed in."""

from __future__ import annotations

import torch
from monai.networks.layers.factories import Conv
from torch import Tensor
from torch.nn import functional as F

from tassl.methods.base import Batch, Method
from tassl.methods.overlap import dice_loss
from tassl.networks.base import Encoder
from tassl.networks.decoder import Decoder
from tassl.transforms.augment import Augment
from tassl.transforms.masks import draw_block_masks


class VolumeFusion(Method):
    """Pseudo-segmentation of two fused images.

    Loss:
        Dice and cross entropy of the level of fusion at every pixel.

    Args:
        encoder: The network to train.
        augment: Draws the images that are fused.
        levels: Steps of the fusion coefficient, from none to all of the other image.
        share: Share of the blocks that are fused.
        side: Side of a block, as a share of the longest image side.

    Source:
        Wang et al., 2023, arXiv:2306.16925, eq. 1 to 4.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        augment: Augment,
        levels: int = 4,
        share: float = 0.5,
        side: float = 0.15,
    ) -> None:
        super().__init__(encoder, augment=augment)
        self.options = {"levels": levels, "share": share, "side": side}
        self.levels, self.share, self.side = levels, share, side
        self.decoder: Decoder = Decoder(encoder)
        self.classify = Conv[Conv.CONV, encoder.dims](self.decoder.width, levels + 1, 1)

    def views(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The fused image and the level at every pixel, (batch, 1, *space)."""
        images, rng = self.augment(batch.images, batch.rng), batch.rng
        level = self._draw_levels(images, rng)
        share = level.float() / self.levels
        return images * (1 - share) + images.roll(1, 0) * share, level

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Dice and cross entropy of the level."""
        fused, level = views
        scores = self.classify(self.decoder(self.encoder.features(fused), fused)).float()
        return dice_loss(scores, level) + F.cross_entropy(scores, level[:, 0])

    @torch.no_grad()
    def picture(self, views: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The fused image and where it was fused."""
        fused, level = views
        return {"fused": fused, "level": level.float().expand_as(fused)}

    def _draw_levels(self, images: Tensor, rng: torch.Generator) -> Tensor:
        space, count = tuple(images.shape[2:]), len(images)
        block = max(2, round(self.side * max(space)))
        fused = draw_block_masks(count, space, block, self.share, rng)
        cells = [-(-n // block) for n in space]
        size = (count, 1, *cells)
        level = torch.randint(1, self.levels + 1, size, generator=rng, device=rng.device)
        wide = F.interpolate(level.float(), scale_factor=float(block), mode="nearest")
        return (wide[(..., *[slice(n) for n in space])] * fused).long()
