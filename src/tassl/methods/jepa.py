"""Latent prediction: from the visible patches, what would a teacher see in hidden blocks?"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tassl.methods.base import Batch, Method
from tassl.methods.parts import Teacher
from tassl.networks.base import Encoder, TokenEncoder
from tassl.networks.vit import TransformerBlock, sine_positions
from tassl.transforms.augment import Augment
from tassl.transforms.masks import count_fewest, draw_masks


class LatentPrediction(Method):
    """Predicts a teacher's features of hidden blocks, without painting a pixel.

    Loss:
        Smooth L1 distance between predicted and normalised teacher features of hidden patches.
        Each feature is normalised over the patches of an image. Normalised over the features of a
        patch, as in the authors' code, all patches drifted to one vector: on breast ultrasound
        and MRI the variance among them fell to an eighth within 80 steps, and the loss with it.

    Args:
        encoder: A transformer.
        augment: Draws the image; I-JEPA needs no strong views.
        ratio: Share of the patches that is hidden.
        block: Side of a hidden block, in patches.
        width: Of the predictor.
        depth: Blocks of the predictor.
        momentum: Of the teacher.
        guide: What is hidden more often: a key of `tassl.transforms.masks.GUIDES`, or "none".
        focus: How much more often.

    Source:
        Assran et al., CVPR 2023, arXiv:2301.08243, section 3, and A.1 for what is kept: the
        teacher; hidden blocks on a grid rather than free rectangles, so that every image hides
        the same number of patches. Targets as for speech in Baevski et al., ICML 2022,
        arXiv:2202.03555, section 3.3.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        augment: Augment,
        ratio: float = 0.6,
        block: int = 2,
        width: int = 96,
        depth: int = 2,
        momentum: float = 0.99,
        guide: str = "none",
        focus: float = 1.0,
    ) -> None:
        super().__init__(encoder, augment=augment)
        self.options = {
            "ratio": ratio, "block": block, "width": width, "depth": depth, "momentum": momentum,
            "guide": guide, "focus": focus,
        }  # fmt: skip
        self.ratio, self.block, self.guide, self.focus = ratio, block, guide, focus
        self.teacher = Teacher(encoder, momentum)
        self.narrow = nn.Linear(encoder.width, width)
        self.token = nn.Parameter(torch.zeros(width))
        self.predict = nn.Sequential(
            *[TransformerBlock(width, 3) for _ in range(depth)],
            nn.LayerNorm(width),
            nn.Linear(width, encoder.width),
        )

    @property
    def kept(self) -> Encoder:
        """The teacher, which alone has seen whole images."""
        return cast(Encoder, self.teacher.network)

    def views(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The image, and which patches are hidden, (batch, patch)."""
        images = self.augment(batch.images, batch.rng)
        patch = cast(TokenEncoder, self.encoder).patch
        where = (self.block, self.ratio, batch.rng)
        hidden = draw_masks(images, *where, guide=self.guide, focus=self.focus, cell=patch)
        fewest = self._fewest(self._cells(images))
        return images, even_out(hidden.flatten(1), fewest, batch.rng)

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Distance over hidden patches."""
        images, hidden = views
        with torch.no_grad():
            wanted = self.kept.features(images)[-1].float().flatten(2)
        wanted = F.layer_norm(wanted, wanted.shape[2:]).transpose(1, 2)
        order = hidden.float().argsort(dim=1, stable=True)
        seen = order.shape[1] - self._fewest(self._cells(images))
        encoder = cast(TokenEncoder, self.encoder)
        tokens = self.narrow(encoder.visible(images, order[:, :seen]))
        empty = self.token.to(tokens.dtype).expand(len(images), order.shape[1] - seen, -1)
        positions = sine_positions(self._cells(images), tokens.shape[2], tokens.device)
        places = positions.to(tokens.dtype)[order]
        guessed = self.predict(torch.cat([tokens, empty], 1) + places)[:, seen:].float()
        index = order[:, seen:, None].expand(-1, -1, wanted.shape[2])
        return F.smooth_l1_loss(guessed, wanted.gather(1, index))

    def after_step(self) -> None:
        """The teacher follows."""
        self.teacher.follow(self.encoder)

    @torch.no_grad()
    def picture(self, views: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Input, and input without its hidden patches."""
        images, hidden = views
        cells, patch = self._cells(images), cast(TokenEncoder, self.encoder).patch
        mask = F.interpolate(hidden.view(-1, 1, *cells).float(), scale_factor=float(patch))
        mask = mask[(..., *[slice(n) for n in images.shape[2:]])] > 0.5
        return {"input": images, "seen": images.masked_fill(mask, float(images.min()))}

    def _fewest(self, cells: tuple[int, ...]) -> int:
        return count_fewest(cells, self.block, self.ratio)

    def _cells(self, images: Tensor) -> tuple[int, ...]:
        patch = cast(TokenEncoder, self.encoder).patch
        return tuple(-(-size // patch) for size in images.shape[2:])


def even_out(hidden: Tensor, fewest: int, rng: torch.Generator) -> Tensor:
    """Show patches at random until every image hides the same, `fewest` patches."""
    draws = torch.rand(hidden.shape, generator=rng, device=rng.device)
    ranks = (draws + hidden.float()).argsort(1, descending=True).argsort(1)
    return ranks < fewest
