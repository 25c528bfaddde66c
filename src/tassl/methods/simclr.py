"""SimCLR: two views of an image attract, views of different images repel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tassl.methods.base import Batch, Method
from tassl.networks.base import Encoder
from tassl.transforms.augment import Augment


class SimCLR(Method):
    """Contrast of augmented views within the batch.

    Loss:
        Normalised temperature-scaled cross entropy over the 2N views, eq. 1.

    Args:
        encoder: The network to train.
        augment: Draws the views.
        temperature: Softness of the comparison.
        projection: Width of the space in which views are compared.

    Source:
        Chen et al., ICML 2020, arXiv:2002.05709, eq. 1.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        augment: Augment,
        temperature: float = 0.2,
        projection: int = 128,
    ) -> None:
        super().__init__(encoder, augment=augment)
        self.options = {"temperature": temperature, "projection": projection}
        self.temperature = temperature
        self.project = nn.Sequential(
            nn.Linear(encoder.width, encoder.width), nn.ReLU(), nn.Linear(encoder.width, projection)
        )

    def views(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Two independent views of each image."""
        return self.augment(batch.images, batch.rng), self.augment(batch.images, batch.rng)

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Contrast both views in one pass of the encoder."""
        return nt_xent(self.project(self.encoder(torch.cat(views))), self.temperature)


def nt_xent(projections: Tensor, temperature: float) -> Tensor:
    """Cross entropy of finding each view's partner among all other views.

    Args:
        projections: (2 * batch, width), the first views before the second.
        temperature: Divides the cosine similarities.
    """
    unit = F.normalize(projections.float(), dim=1)
    similarity = unit @ unit.T / temperature
    similarity.fill_diagonal_(-torch.inf)
    count = len(unit)
    partner = (torch.arange(count, device=unit.device) + count // 2) % count
    return F.cross_entropy(similarity, partner)
