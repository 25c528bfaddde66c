"""DINO: small windows of an image are to be classed as its large views are, without labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tassl.methods.base import Batch, Method
from tassl.methods.gathering import average
from tassl.methods.parts import Teacher, build_mlp, check_temperature
from tassl.networks.base import Encoder
from tassl.transforms.augment import Augment


class DINO(Method):
    """Self-distillation over several crops.

    The teacher sees two views of the whole; the student sees these and windows of half the side.

    Loss:
        Cross entropy between the teacher's centred, sharpened and the student's distribution over
        prototypes, over all pairs of different views, eq. 3.

    Args:
        encoder: The network to train.
        augment: Draws the views.
        windows: Small windows of each image.
        prototypes: Classes that the network makes up.
        temperature: Of the student.
        teacher_temperature: Of the teacher; lower is sharper.
        momentum: Of the teacher.
        centring: Share of the centre that stays in each step.

    Source:
        Caron et al., ICCV 2021, arXiv:2104.14294, eq. 1 to 4 and algorithm 1.
    """

    centre: Tensor

    def __init__(
        self,
        encoder: Encoder,
        *,
        augment: Augment,
        windows: int = 4,
        prototypes: int = 512,
        temperature: float = 0.1,
        teacher_temperature: float = 0.05,
        momentum: float = 0.99,
        centring: float = 0.9,
    ) -> None:
        super().__init__(encoder, augment=augment)
        self.options = {
            "windows": windows, "prototypes": prototypes, "temperature": temperature,
            "teacher_temperature": teacher_temperature, "momentum": momentum,
            "centring": centring,
        }  # fmt: skip
        self.windows, self.centring = windows, centring
        self.temperature = check_temperature(temperature)
        self.teacher_temperature = check_temperature(teacher_temperature)
        self.student = nn.Sequential(encoder, PrototypeHead(encoder.width, prototypes))
        self.teacher = Teacher(self.student, momentum)
        self.register_buffer("centre", torch.zeros(prototypes))
        self._mean: Tensor | None = None

    def views(self, batch: Batch) -> tuple[Tensor, ...]:
        """Two large views of each image, then small windows of it."""
        large = batch.pair(self.augment)
        half = tuple(max(4, size // 2) for size in large[0].shape[2:])
        small = self.augment.windows(half)
        return (*large, *[small(batch.images, batch.rng) for _ in range(self.windows)])

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Every view of the student answers every other large view of the teacher."""
        large, small = torch.cat(views[:2]), views[2:]
        scores = self.student(large).chunk(2)
        if small:
            scores += self.student(torch.cat(small)).chunk(len(small))
        wanted = self.teacher(large)
        self._mean = average(wanted.float().mean(0))
        chances = ((wanted.float() - self.centre) / self.teacher_temperature).softmax(1).chunk(2)
        return distil(scores, chances, self.temperature)

    @torch.no_grad()
    def after_step(self) -> None:
        """The teacher follows, and so does the centre of its scores."""
        self.teacher.follow(self.student)
        if self._mean is not None:
            self.centre.lerp_(self._mean, 1.0 - self.centring)

    @torch.no_grad()
    def picture(self, views: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The large views, and one window at the size of the image."""
        size = views[0].shape[2:]
        windows = {f"window {k + 1}": F.interpolate(v, size) for k, v in enumerate(views[2:3])}
        return super().picture(views[:2]) | windows


class PrototypeHead(nn.Module):
    """A small network onto a sphere, and the cosine with prototypes."""

    def __init__(self, width: int, prototypes: int, *, hidden: int = 256, narrow: int = 64) -> None:
        super().__init__()
        self.project = build_mlp(width, hidden, narrow)
        self.prototypes = nn.Parameter(torch.randn(prototypes, narrow))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, width) to scores (batch, prototype)."""
        unit = F.normalize(self.project(features), dim=1)
        return unit @ F.normalize(self.prototypes, dim=1).T.to(unit.dtype)


def distil(scores: tuple[Tensor, ...], chances: tuple[Tensor, ...], temperature: float) -> Tensor:
    """Mean cross entropy of student scores under teacher chances, over pairs of other views.

    Args:
        scores: The student's, one (batch, prototype) per view, the large views first.
        chances: The teacher's, one per large view.
        temperature: Of the student.
    """
    logs = [(score.float() / temperature).log_softmax(1) for score in scores]
    terms = [
        -(chance * log).sum(1).mean()
        for k, chance in enumerate(chances)
        for j, log in enumerate(logs)
        if j != k
    ]
    return torch.stack(terms).mean()
