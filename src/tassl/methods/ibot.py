"""iBOT: class the whole as DINO does, and hidden places as a teacher classes them unhidden."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tassl.methods.base import Batch, Method
from tassl.methods.dino import PrototypeHead, distil
from tassl.methods.gathering import average
from tassl.methods.parts import Teacher, check_temperature
from tassl.networks.base import Encoder
from tassl.transforms.augment import Augment
from tassl.transforms.masks import draw_masks


class IBOT(Method):
    """Self-distillation of whole views and of hidden places, over shared prototypes.

    Places are the cells of the coarsest map; hidden pixels carry a learned value, so that every
    network can be trained, where the original takes a transformer's tokens out.

    Loss:
        Cross entropy between teacher and student of the other view as a whole, plus that of the
        hidden places of the same view, eq. 2 and 3.

    Args:
        encoder: The network to train.
        augment: Draws the views.
        ratio: Share of the places that is hidden.
        prototypes: Classes that the network makes up.
        temperature: Of the student.
        teacher_temperature: Of the teacher; lower is sharper.
        momentum: Of the teacher.
        centring: Share of the centres that stays in each step.
        guide: What is hidden more often: a key of `tassl.transforms.masks.GUIDES`, or "none".
        focus: How much more often.

    Source:
        Zhou et al., ICLR 2022, arXiv:2111.07832, eq. 2 and 3.
    """

    centres: Tensor

    def __init__(
        self,
        encoder: Encoder,
        *,
        augment: Augment,
        ratio: float = 0.3,
        prototypes: int = 512,
        temperature: float = 0.1,
        teacher_temperature: float = 0.05,
        momentum: float = 0.99,
        centring: float = 0.9,
        guide: str = "none",
        focus: float = 1.0,
    ) -> None:
        super().__init__(encoder, augment=augment)
        self.options = {
            "ratio": ratio, "prototypes": prototypes, "temperature": temperature,
            "teacher_temperature": teacher_temperature, "momentum": momentum,
            "centring": centring, "guide": guide, "focus": focus,
        }  # fmt: skip
        self.ratio, self.centring, self.guide, self.focus = ratio, centring, guide, focus
        self.temperature = check_temperature(temperature)
        self.teacher_temperature = check_temperature(teacher_temperature)
        self.token = nn.Parameter(torch.zeros(1, encoder.channels, *[1] * encoder.dims))
        self.student = PlaceScores(encoder, prototypes)
        self.teacher = Teacher(self.student, momentum)
        self.register_buffer("centres", torch.zeros(2, prototypes))
        self._means: Tensor | None = None

    def views(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Two views, and what is hidden in both together, (2 * batch, 1, *space)."""
        first, second = batch.pair(self.augment)
        space = tuple(first.shape[2:])
        cell = min(self.encoder.strides[-1], max(1, min(space) // 2))
        where = (cell, self.ratio, batch.rng)
        both = torch.cat([first, second])
        hidden = draw_masks(both, *where, guide=self.guide, focus=self.focus)
        return first, second, hidden

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Both cross entropies, each the mean of both views."""
        first, second, hidden = views
        both = torch.cat([first, second])
        whole, places = self.student(torch.where(hidden, self.token, both))
        wanted_whole, wanted_places = self.teacher(both)
        means = [wanted_whole.float().mean(0), wanted_places.float().mean((0, 1))]
        self._means = average(torch.stack(means))
        chances = self._sharpen(wanted_whole, 0).chunk(2)
        overall = distil(whole.chunk(2), chances, self.temperature)
        shares: Any = F.adaptive_avg_pool2d if both.dim() == 4 else F.adaptive_avg_pool3d
        cells = self.student.cells(both)
        chosen = shares(hidden.float(), cells).flatten(1) > 0.5
        logs = (places.float() / self.temperature).log_softmax(2)
        terms = -(self._sharpen(wanted_places, 1) * logs).sum(2)
        return overall + (terms * chosen).sum() / average(chosen.sum()).clamp_min(1)

    @torch.no_grad()
    def after_step(self) -> None:
        """The teacher follows, and so do the centres of its scores."""
        self.teacher.follow(self.student)
        if self._means is not None:
            self.centres.lerp_(self._means, 1.0 - self.centring)

    @torch.no_grad()
    def picture(self, views: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """A view, the same with hidden places, and the other view."""
        first, second, hidden = views
        masked = first.masked_fill(hidden[: len(first)], float(first.min()))
        return {"view 1": first, "view 1, hidden": masked, "view 2": second}

    def _sharpen(self, scores: Tensor, which: int) -> Tensor:
        return ((scores.float() - self.centres[which]) / self.teacher_temperature).softmax(-1)


class PlaceScores(nn.Module):
    """Prototype scores of the whole image and of every cell of the coarsest map."""

    def __init__(self, encoder: Encoder, prototypes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = PrototypeHead(encoder.width, prototypes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, channel, *space) to scores (batch, prototype) and (batch, cell, prototype)."""
        cells = self.encoder.features(images)[-1].flatten(2).transpose(1, 2)
        whole = self.head(cells.mean(1))
        return whole, self.head(cells.flatten(0, 1)).unflatten(0, cells.shape[:2])

    def cells(self, images: Tensor) -> tuple[int, ...]:
        """Cells of the coarsest map along each axis."""
        return tuple(-(-size // self.encoder.strides[-1]) for size in images.shape[2:])
