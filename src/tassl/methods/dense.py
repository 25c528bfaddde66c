"""Dense contrast: the same place in two views attracts, other places repel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tassl.methods.base import Batch, Method
from tassl.methods.gathering import gather
from tassl.methods.parts import check_temperature
from tassl.methods.simclr import nt_xent
from tassl.networks.base import Encoder
from tassl.networks.decoder import Decoder
from tassl.transforms.augment import Augment


class DenseContrast(Method):
    """Contrast of places that two views share, on the decoder that later segments.

    Loss:
        InfoNCE over places drawn where both views overlap (eq. 2 of DenseCL, with the
        correspondence known from the geometry as in vox2vec), plus `overall` times the contrast
        of whole images.

    Args:
        encoder: The network to train.
        augment: Draws the views.
        places: Places per image.
        overall: Weight of the whole-image contrast; the rest is dense.
        temperature: Softness of the comparison.
        projection: Width of the space in which places are compared.

    Source:
        Wang et al., CVPR 2021, arXiv:2011.09157, eq. 2 and 3; Goncharov et al., MICCAI 2023,
        arXiv:2307.14725, section 2.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        augment: Augment,
        places: int = 32,
        overall: float = 0.5,
        temperature: float = 0.2,
        projection: int = 64,
    ) -> None:
        super().__init__(encoder, augment=augment)
        self.options = {
            "places": places, "overall": overall, "temperature": temperature,
            "projection": projection,
        }  # fmt: skip
        self.places, self.overall = places, overall
        self.temperature = check_temperature(temperature)
        self.decoder: Decoder = Decoder(encoder)
        self.project_places = nn.Sequential(
            nn.Linear(self.decoder.width, projection), nn.ReLU(), nn.Linear(projection, projection)
        )
        self.project = nn.Sequential(
            nn.Linear(encoder.width, encoder.width), nn.ReLU(), nn.Linear(encoder.width, projection)
        )

    def views(self, batch: Batch) -> tuple[Tensor, ...]:
        """Two views, the same places in each, which of them lie in both, and whose they are."""
        first, here = self.augment.placed(batch.images, batch.rng)
        second, there = self.augment.placed(batch.images, batch.rng)
        shape = (len(first), 4 * self.places, first.dim() - 2)
        drawn = torch.rand(shape, generator=batch.rng, device=batch.rng.device) * 2 - 1
        moved = move_places(drawn, here, there)
        inside = moved.abs().amax(2) < 1
        order = (~inside).float().argsort(dim=1, stable=True)[:, : self.places]
        index = order[..., None].expand(-1, -1, shape[2])
        return (
            first, second, drawn.gather(1, index), moved.gather(1, index),
            inside.gather(1, order), batch.owners,
        )  # fmt: skip

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Both contrasts in one pass of encoder and decoder; only drawn places are projected."""
        first, second, here, there, inside, owners = views
        both = torch.cat([first, second])
        maps = self.encoder.features(both)
        decoded = sample_places(self.decoder(maps, both), torch.cat([here, there]))
        one, other = gather(self.project_places(decoded), views=2).chunk(2)
        local = contrast_places(one, other, gather(inside), self.temperature)
        whole = self.project(maps[-1].flatten(2).mean(2))
        total = nt_xent(gather(whole, views=2), self.temperature, gather(owners))
        return self.overall * total + (1 - self.overall) * local

    @torch.no_grad()
    def picture(self, views: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Both views."""
        return super().picture(views[:2])


def move_places(places: Tensor, here: Tensor, there: Tensor) -> Tensor:
    """Places of one view as places of another view of the same image.

    Args:
        places: (batch, place, dims) in [-1, 1], axes in the order of the maps.
        here: Affine map from the first view to the image, (batch, dims, dims + 1).
        there: The same of the second view.
    """
    on_image = places @ here[..., :-1].transpose(1, 2) + here[:, None, :, -1]
    back = torch.linalg.inv_ex(there[..., :-1].float()).inverse.transpose(1, 2)
    return (on_image - there[:, None, :, -1]) @ back


def sample_places(maps: Tensor, places: Tensor) -> Tensor:
    """Features (batch, place, width) of maps (batch, width, *space) at places in [-1, 1]."""
    grid = places.view(len(maps), -1, *[1] * (maps.dim() - 3), places.shape[2])
    sampled = F.grid_sample(maps, grid, padding_mode="border", align_corners=False)
    return sampled.flatten(2).transpose(1, 2)


def contrast_places(first: Tensor, second: Tensor, inside: Tensor, temperature: float) -> Tensor:
    """Cross entropy of finding each place's partner among all places of the other views.

    Args:
        first: (batch, place, width).
        second: The same places in the other view.
        inside: (batch, place), which places both views show.
        temperature: Divides the cosine similarities.
    """
    kept = inside.flatten()
    one, other = (F.normalize(p.flatten(0, 1).float(), dim=1) for p in (first, second))
    own = torch.eye(len(one), dtype=torch.bool, device=one.device)
    similarity = (one @ other.T / temperature).masked_fill(~(kept | own), -torch.inf)
    backward = (other @ one.T / temperature).masked_fill(~(kept | own), -torch.inf)
    terms = -(similarity.log_softmax(1).diagonal() + backward.log_softmax(1).diagonal()) / 2
    return (terms * kept).sum() / kept.sum().clamp_min(1)
