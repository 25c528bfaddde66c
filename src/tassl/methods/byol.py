"""BYOL: predict what a moving-average teacher sees in another view; nothing repels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tassl.methods.base import Batch, Method
from tassl.methods.dropping import check_drop, draw_kept, encode_kept
from tassl.methods.parts import Teacher, build_mlp
from tassl.networks.base import Encoder
from tassl.transforms.augment import Augment


class BYOL(Method):
    """Prediction of a teacher's projection of the other view.

    Loss:
        Two minus twice the cosine between prediction and projection, eq. 2, both ways round.

    Args:
        encoder: The network to train.
        augment: Draws the views.
        projection: Width of the space in which views are compared.
        momentum: Of the teacher.
        drop: Share of the patches that the student leaves out of each view, on a transformer (FLIP,
            arXiv:2212.00794).

    Source:
        Grill et al., NeurIPS 2020, arXiv:2006.07733, eq. 1 and 2.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        augment: Augment,
        projection: int = 128,
        momentum: float = 0.99,
        drop: float = 0.0,
    ) -> None:
        super().__init__(encoder, augment=augment)
        self.options = {"projection": projection, "momentum": momentum, "drop": drop}
        self.drop = check_drop(drop, encoder)
        wide = 2 * encoder.width
        self.project = build_mlp(encoder.width, wide, projection)
        self.student = nn.Sequential(encoder, self.project)
        self.predict = build_mlp(projection, wide, projection)
        self.teacher = Teacher(self.student, momentum)

    def views(self, batch: Batch) -> tuple[Tensor, ...]:
        """Two views of each image, and the patches that stay of each."""
        pair = batch.pair(self.augment)
        return (*pair, *draw_kept(self.encoder, pair, self.drop, batch.rng))

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Both views predict each other's projection."""
        first, second, *kept = views
        both = torch.cat([first, second])
        predictions = self.predict(self.project(encode_kept(self.encoder, both, kept)))
        return prediction_error(predictions, torch.cat(self.teacher(both).chunk(2)[::-1]))

    def after_step(self) -> None:
        """The teacher follows."""
        self.teacher.follow(self.student)

    @torch.no_grad()
    def picture(self, views: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Both views."""
        return super().picture(views[:2])


def prediction_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """Mean squared distance of unit vectors, (row, width) each: 2 - 2 cos."""
    cosine = F.cosine_similarity(predictions.float(), targets.float(), dim=1)
    return (2 - 2 * cosine).mean()
