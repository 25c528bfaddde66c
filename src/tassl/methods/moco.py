"""MoCo: contrast against a memory of earlier images, so that small batches are enough."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tassl.methods.base import Batch, Method
from tassl.methods.dropping import check_drop, draw_kept, encode_kept
from tassl.methods.gathering import gather
from tassl.methods.parts import Teacher, build_mlp, check_temperature
from tassl.networks.base import Encoder
from tassl.transforms.augment import Augment


class MoCo(Method):
    """Contrast of student views with teacher views of this and of earlier batches.

    Keys of the image's own subject are no negatives, which on small data the memory would hold
    in number. A new key of an image takes the place of its old ones, so that the memory never
    holds more than the data do.

    Loss:
        InfoNCE of eq. 1, both ways round, over the batch's keys and the memory's.

    Args:
        encoder: The network to train.
        augment: Draws the views.
        temperature: Softness of the comparison.
        projection: Width of the space in which views are compared.
        queue: Keys that the memory holds; 0 contrasts within the batch alone, as version 3 does.
        momentum: Of the teacher.
        drop: Share of the patches that the student leaves out of each view, on a transformer (FLIP,
            arXiv:2212.00794).

    Source:
        He et al., CVPR 2020, arXiv:1911.05722, eq. 1 and 2; Chen et al., ICCV 2021,
        arXiv:2104.02057, algorithm 1.
    """

    keys: Tensor
    owners: Tensor
    rows: Tensor

    def __init__(
        self,
        encoder: Encoder,
        *,
        augment: Augment,
        temperature: float = 0.2,
        projection: int = 128,
        queue: int = 1024,
        momentum: float = 0.99,
        drop: float = 0.0,
    ) -> None:
        super().__init__(encoder, augment=augment)
        self.options = {
            "temperature": temperature, "projection": projection, "queue": queue,
            "momentum": momentum, "drop": drop,
        }  # fmt: skip
        self.drop = check_drop(drop, encoder)
        self.temperature, self.queue = check_temperature(temperature), queue
        self.project = build_mlp(encoder.width, encoder.width, projection)
        self.predict = build_mlp(projection, encoder.width, projection)
        self.student = nn.Sequential(encoder, self.project)
        self.teacher = Teacher(self.student, momentum)
        self.register_buffer("keys", torch.zeros(queue, projection))
        self.register_buffer("owners", torch.full((queue,), -1, dtype=torch.long))
        self.register_buffer("rows", torch.full((queue,), -1, dtype=torch.long))
        self._fresh: tuple[Tensor, Tensor, Tensor] | None = None

    def views(self, batch: Batch) -> tuple[Tensor, ...]:
        """Two views of each image, whose they are, which images, and the patches that stay."""
        pair = batch.pair(self.augment)
        kept = draw_kept(self.encoder, pair, self.drop, batch.rng)
        return (*pair, batch.owners, batch.rows, *kept)

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Each view of the student finds the teacher's other view."""
        first, second, owners, rows, *kept = views
        both = torch.cat([first, second])
        projections = self.project(encode_kept(self.encoder, both, kept))
        queries = gather(self.predict(projections), views=2).chunk(2)
        keys = F.normalize(gather(self.teacher(both), views=2).float(), dim=1).chunk(2)
        owners, rows = gather(owners), gather(rows)
        self._fresh = (torch.cat(keys), owners.repeat(2), rows.repeat(2))
        return sum(
            info_nce(query, key, owners, self.keys, self.owners, self.temperature) / 2
            for query, key in zip(queries, keys[::-1], strict=True)
        )  # type: ignore[return-value]

    @torch.no_grad()
    def after_step(self) -> None:
        """The teacher follows; the newest keys push out the oldest."""
        self.teacher.follow(self.student)
        if self.queue and self._fresh is not None:
            keys, owners, rows = self._fresh
            self.owners.masked_fill_((self.rows[:, None] == rows).any(1), -1)
            self.keys.copy_(torch.cat([keys, self.keys])[: self.queue])
            self.owners.copy_(torch.cat([owners, self.owners])[: self.queue])
            self.rows.copy_(torch.cat([rows, self.rows])[: self.queue])

    @torch.no_grad()
    def picture(self, views: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Both views."""
        return super().picture(views[:2])


def info_nce(
    queries: Tensor,
    keys: Tensor,
    owners: Tensor,
    memory: Tensor,
    holders: Tensor,
    temperature: float,
) -> Tensor:
    """Cross entropy of finding each query's own key among keys of other subjects.

    Args:
        queries: (batch, width).
        keys: (batch, width) unit vectors; the own key stands in the same row.
        owners: Subject of each row.
        memory: (key, width) unit vectors.
        holders: Subject of each key of the memory, negative where none is held yet.
        temperature: Divides the cosine similarities.
    """
    unit = F.normalize(queries.float(), dim=1)
    similarity = unit @ torch.cat([keys, memory]).T / temperature
    others = torch.cat([owners, holders])
    same = (owners[:, None] == others) | (others < 0)
    rows = torch.arange(len(unit), device=unit.device)
    same[rows, rows] = False
    return F.cross_entropy(similarity.masked_fill(same, -torch.inf), rows)
