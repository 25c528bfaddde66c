"""Gradients of convolutions on the smallest maps, in bf16 as training has it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tassl.networks.convolution import CONVOLUTIONS, Conv3d, guard


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize(
    "space",
    [(1, 2, 2), (2, 1, 3), (2, 2, 2), (2, 3, 4), (3, 2, 2), (4, 4, 4), (6, 6, 1), (12, 12, 2)],
)
def test_gradient_in_bf16_is_near_that_in_full_precision(
    space: tuple[int, ...], size: int, stride: int
):
    layer = CONVOLUTIONS[3](32, 64, size, stride, padding=size // 2)
    images = torch.randn(2, 32, *space)
    found = []
    for reduced in (True, False):
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            layer(images).float().square().mean().backward()
        found.append(layer.weight.grad.clone())
    assert torch.allclose(*found, atol=0.03 * found[1].abs().max().item())


def test_layers_of_other_libraries_are_guarded_with_their_weights():
    layer = nn.Conv3d(1, 1, 3)
    other = nn.Sequential(layer, nn.Conv2d(1, 1, 3))
    assert guard(other)[0] is layer
    assert type(layer) is Conv3d
    assert type(other[1]) is nn.Conv2d
