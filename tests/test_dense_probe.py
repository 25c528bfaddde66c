"""The linear probe of every pixel, and the baseline that sees grey values alone."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tassl.heads.dense_probe import DenseProbe
from tassl.networks import NETWORKS
from tassl.networks.pixels import Pixels


def make_probe(dims: int, classes: int = 3) -> DenseProbe:
    torch.manual_seed(0)
    encoder = NETWORKS["unet"].load()(dims, 1, widths=(8, 16), stem=2)
    probe = DenseProbe(encoder, None, classes)
    for weight in (*probe.head.parameters(), *probe.levels.parameters()):
        torch.nn.init.normal_(weight)
    return probe


@pytest.mark.parametrize("dims", [2, 3])
def test_it_is_linear_in_the_enlarged_features(dims: int):
    probe = make_probe(dims).train()
    images = torch.randn(3, 1, *(12,) * dims)
    columns, weights = [images], [probe.head.weight.flatten(1)]
    for level, maps in zip(probe.levels, probe.encoder.features(images), strict=True):
        axes = [0, *range(2, 2 + dims)]
        mean, deviation = maps.mean(axes, True), maps.std(axes, correction=0, keepdim=True)
        even = (maps - mean) / (deviation**2 + 1e-5).sqrt()
        columns.append(F.interpolate(even, images.shape[2:], mode=probe.smooth))
        weights.append(level[1].weight.flatten(1))
    table = torch.cat(columns, 1).movedim(1, -1)
    wanted = (table @ torch.cat(weights, 1).T + probe.head.bias).movedim(-1, 1)
    assert torch.allclose(probe(images), wanted, atol=1e-4)


def test_it_starts_at_the_prevalence_wherever_it_looks():
    probe = DenseProbe(NETWORKS["unet"].load()(2, 1, widths=(8,)), None, 2)
    target = torch.zeros(2, 16, 16, dtype=torch.long)
    target[0, :4] = 1
    probe.prime(target)
    chances = probe.predict(torch.randn(2, 1, 16, 16))
    assert torch.allclose(chances[:, 1], torch.full((2, 16, 16), 65 / 514), atol=1e-4)


def test_grey_values_alone_give_a_threshold():
    """The decision changes once along the grey scale, at the same grey value everywhere."""
    images = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    target = (images[:, 0] > 0.6).long()
    probe = DenseProbe(Pixels(2, 1), None, 2)
    probe.prime(target)
    optimiser = torch.optim.AdamW(probe.parameters(), lr=0.3)
    for _ in range(60):
        optimiser.zero_grad()
        probe.loss(images, target).backward()
        optimiser.step()
    found = probe.predict(images).argmax(1).bool()
    assert images[:, 0][found].min() > images[:, 0][~found].max()
    assert (found == target.bool()).float().mean() > 0.95
