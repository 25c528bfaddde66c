"""Convolutions by dimension, with a guard against a fault of torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Conv3d(nn.Conv3d):
    """A convolution of volumes that keeps full precision where bf16 goes wrong.

    With torch 2.13 on a processor, the weight gradient of a 3x3x3 convolution in bf16 is noise up
    to 1e37, infinite or undefined where an axis of the map is shorter than the kernel: at stride 1
    a first axis of two cells, as the coarsest map of a 32-slice volume has, at stride 2 a last axis
    of one, as a volume of a few slices has. Such maps are small, so that full precision costs
    nothing.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(batch, inner, *space) to (batch, outer, *space / stride)."""
        if not input.is_cpu or min(input.shape[2:]) >= self.kernel_size[0]:
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float())


CONVOLUTIONS: dict[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: Conv3d}


def guard(module: nn.Module) -> nn.Module:
    """The same module of another library, with its convolutions of volumes guarded in place."""
    for layer in module.modules():
        if type(layer) is nn.Conv3d:
            layer.__class__ = Conv3d
    return module
