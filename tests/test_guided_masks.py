"""Masked methods hide what a guide points at more often."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from small_store import OPTIONS
from tassl.errors import UnknownName
from tassl.methods import METHODS
from tassl.methods.base import Batch, Method
from tassl.modality.base import Augmentation
from tassl.networks import NETWORKS
from tassl.transforms.augment import Augment
from tassl.transforms.draws import seeded

SIDE = 32
COUNT = 16
MASKED = [("mae", "cnn"), ("mae", "vit"), ("ibot", "cnn"), ("jepa", "vit")]


def build(method: str, network: str, **options) -> Method:
    torch.manual_seed(0)
    encoder = NETWORKS[network].load()(2, 1, **OPTIONS[network])
    return METHODS[method].load()(encoder, augment=Augment(Augmentation()), **options)


def half_lit() -> Tensor:
    images = 0.1 * torch.randn(COUNT, 1, SIDE, SIDE, generator=seeded(1))
    images[..., : SIDE // 2] += 1
    return images


def shares_of(learner: Method) -> tuple[float, float]:
    """Hidden share of the left and of the right half."""
    batch = Batch(half_lit(), torch.arange(COUNT), seeded(0))
    hidden = learner.views(batch)[-1]
    hidden = hidden.reshape(len(hidden), -1, int((hidden[0].numel()) ** 0.5)).float()
    left, right = hidden.chunk(2, dim=2)
    return float(left.mean()), float(right.mean())


@pytest.mark.parametrize(("method", "network"), MASKED)
def test_the_lit_half_is_hidden_more_often(method, network):
    left, right = shares_of(build(method, network, ratio=0.4, guide="foreground", focus=2.0))
    assert left > 1.5 * right
    assert left + right == pytest.approx(0.8, abs=0.1)
    left, right = shares_of(build(method, network, ratio=0.4))
    assert left == pytest.approx(right, abs=0.12)


@pytest.mark.parametrize(("method", "network"), MASKED)
def test_unknown_guides_are_refused(method, network):
    with pytest.raises(UnknownName, match="Did you mean 'entropy'"):
        shares_of(build(method, network, guide="entropie"))


@pytest.mark.parametrize("network", ["cnn", "vit"])
def test_an_average_of_the_network_guides_by_its_loss(network):
    learner = build("mae", network, guide="loss", ratio=0.4, block=4, focus=4.0)
    learner.progress = 1.0
    before = [weight.clone() for weight in learner.guiding.network.parameters()]
    batch = Batch(half_lit(), torch.arange(COUNT), seeded(0))
    plain = learner.views(batch)[1]
    with torch.no_grad():
        for weight in [*learner.encoder.parameters(), *learner.restore.parameters()]:
            weight.add_(1.0)
    again = learner.views(Batch(half_lit(), torch.arange(COUNT), seeded(0)))[1]
    assert torch.equal(plain, again), "the network itself does not guide"
    learner.after_step()
    for old, weight in zip(before, learner.guiding.network.parameters(), strict=True):
        torch.testing.assert_close(weight, old + 0.01 * (1.0), rtol=1e-4, atol=1e-4)
    assert not any(weight.requires_grad for weight in learner.guiding.parameters())
