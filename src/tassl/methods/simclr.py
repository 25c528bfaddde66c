"""SimCLR: two views of an image attract, views of different images repel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tassl.methods.base import Batch, Method
from tassl.methods.dropping import check_drop, draw_kept, encode_kept
from tassl.methods.gathering import gather
from tassl.methods.parts import check_temperature
from tassl.networks.base import Encoder
from tassl.transforms.augment import Augment


class SimCLR(Method):
    """Contrast of augmented views within the batch.

    Views of other images of the same subject neither attract nor repel, unless the batch pairs
    them as natural positives (MICLe, MedAug).

    Loss:
        Normalised temperature-scaled cross entropy over the 2N views, eq. 1.

    Args:
        encoder: The network to train.
        augment: Draws the views.
        temperature: Softness of the comparison.
        projection: Width of the space in which views are compared.
        drop: Share of the patches that the network leaves out of each view, on a transformer (FLIP,
            arXiv:2212.00794).

    Source:
        Chen et al., ICML 2020, arXiv:2002.05709, eq. 1; natural positives: Azizi et al., ICCV
        2021, arXiv:2101.05224, and Vu et al., MLHC 2021, arXiv:2102.10663.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        augment: Augment,
        temperature: float = 0.2,
        projection: int = 128,
        drop: float = 0.0,
    ) -> None:
        super().__init__(encoder, augment=augment)
        self.options = {"temperature": temperature, "projection": projection, "drop": drop}
        self.drop = check_drop(drop, encoder)
        self.temperature = check_temperature(temperature)
        self.project = nn.Sequential(
            nn.Linear(encoder.width, encoder.width), nn.ReLU(), nn.Linear(encoder.width, projection)
        )

    def views(self, batch: Batch) -> tuple[Tensor, ...]:
        """Two views of each image, and whose they are; the patches that stay of each."""
        pair = batch.pair(self.augment)
        return (*pair, batch.owners, *draw_kept(self.encoder, pair, self.drop, batch.rng))

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Contrast both views in one pass of the encoder."""
        first, second, owners, *kept = views
        projections = self.project(encode_kept(self.encoder, torch.cat([first, second]), kept))
        return nt_xent(gather(projections, views=2), self.temperature, gather(owners))

    @torch.no_grad()
    def picture(self, views: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Both views."""
        return super().picture(views[:2])


def nt_xent(projections: Tensor, temperature: float, owners: Tensor | None = None) -> Tensor:
    """Cross entropy of finding each view's partner among all other views.

    Args:
        projections: (2 * batch, width), the first views before the second.
        temperature: Divides the cosine similarities.
        owners: Subject of each image, (batch,); views of the same subject are left out of the
            comparison. Every image is its own unless given.
    """
    unit = F.normalize(projections.float(), dim=1)
    count = len(unit)
    places = torch.arange(count, device=unit.device)
    partner = (places + count // 2) % count
    owners = (places % (count // 2)) if owners is None else owners.repeat(2)
    same = owners[:, None] == owners[None, :]
    same[places, partner] = False
    similarity = (unit @ unit.T / temperature).masked_fill(same, -torch.inf)
    return F.cross_entropy(similarity, partner)
