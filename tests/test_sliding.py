"""Large volumes: windows around foreground to train on, overlapping ones to predict."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tassl.heads.base import Head
from tassl.heads.sliding import predict_by_windows
from tassl.modality.base import Augmentation
from tassl.networks.pixels import Pixels
from tassl.transforms.augment import Augment
from tassl.transforms.draws import seeded
from tassl.transforms.foreground import draw_foreground


class Local(Head):
    """Each pixel's probabilities hang on its own value alone."""

    seen: tuple[int, ...] = ()

    def forward(self, images: Tensor) -> Tensor:
        self.seen = tuple(images.shape)
        return torch.cat([images, -images], 1)

    def loss(self, images: Tensor, target: Tensor) -> Tensor:
        raise NotImplementedError


@pytest.mark.parametrize("space", [(24, 24, 24), (16, 20, 27)])
def test_windows_join_seamlessly(space: tuple[int, ...]):
    head, images = Local(Pixels(3, 1), None, 2), torch.randn(2, 1, *space)
    found = predict_by_windows(head, images, (16, 16, 16))
    assert head.seen == (1, 1, 16, 16, 16)
    assert torch.allclose(found, head.predict(images), atol=1e-5)


def test_spots_lie_on_foreground_and_rare_classes_come_as_often():
    masks = torch.zeros(400, 8, 10, 12, dtype=torch.long)
    masks[:, 1, 2, 3] = 2
    masks[:, 4:8, 5:, 6:] = 1
    spots = draw_foreground(masks, 1.0, seeded(0))
    size = torch.tensor([12, 10, 8])
    x, y, z = (((spots + 1) * size - 1) / 2).round().long().T
    classes = masks[torch.arange(400), z, y, x]
    assert (classes > 0).all()
    assert 140 < (classes == 2).sum() < 260  # five deviations about the half


def test_spots_are_drawn_at_their_share_and_never_without_foreground():
    masks = torch.ones(300, 4, 4, 4, dtype=torch.long)
    masks[0] = 0
    assert draw_foreground(masks, 1.0, seeded(0)).isnan().any(1).nonzero().tolist() == [[0]]
    none = draw_foreground(masks, 1 / 3, seeded(0)).isnan().all(1)
    assert 150 < none.sum() < 250


def test_a_window_around_foreground_shows_it():
    masks = torch.zeros(8, 32, 32, 32, dtype=torch.long)
    masks[:, 3, 29, 16] = 1
    masks[:, 2:5, 28:31, 15:18] = 1
    augment = Augment(Augmentation(crop=0.75, rotate_degrees=10), (16, 16, 16))
    images = masks[:, None].float()
    spots = draw_foreground(masks, 1.0, seeded(0))
    _, moved = augment.paired(images, masks, seeded(1), spots)
    assert (moved.flatten(1).sum(1) > 0).all()
    _, unguided = augment.paired(images, masks, seeded(1))
    assert (unguided.flatten(1).sum(1) == 0).any()
