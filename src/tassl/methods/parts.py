"""What several methods are built of: small networks behind the encoder, and a teacher."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from tassl.errors import OptionError
from tassl.methods.gathering import BatchNorm

TEMPERATURES = (0.01, 1.0)


def build_mlp(*widths: int) -> nn.Sequential:
    """Linear layers with batch normalisation and ReLU between them; the last is bare."""
    layers: list[nn.Module] = []
    for inner, outer in pairwise(widths[:-1]):
        layers += [nn.Linear(inner, outer, bias=False), BatchNorm(outer), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def check_temperature(temperature: float) -> float:
    """The temperature, if a softmax of cosines is neither all or nothing with it nor flat.

    Raises:
        OptionError: It is out of range.
    """
    low, high = TEMPERATURES
    if not low <= temperature <= high:
        raise OptionError(
            f"A temperature of {temperature} came; wanted {low} to {high}. Usual are 0.05 to 0.2."
        )
    return temperature


class Teacher(nn.Module):
    """A copy of a network that follows it as a moving average and is never trained itself.

    Args:
        student: The network to copy and follow.
        momentum: Share of the teacher that stays in each step.

    Source:
        Tarvainen & Valpola, NeurIPS 2017, arXiv:1703.01780, eq. 2.
    """

    def __init__(self, student: nn.Module, momentum: float) -> None:
        super().__init__()
        self.network = deepcopy(student).requires_grad_(False)
        self.momentum = momentum

    @torch.no_grad()
    def forward(self, images: Any) -> Any:
        """What the copy makes of the images, without gradient."""
        return self.network(images)

    @torch.no_grad()
    def follow(self, student: nn.Module) -> None:
        """Move every weight towards the student's; take its buffers as they are."""
        for mine, other in zip(self.network.parameters(), student.parameters(), strict=True):
            mine.lerp_(other, 1.0 - self.momentum)
        for mine, other in zip(self.network.buffers(), student.buffers(), strict=True):
            mine.copy_(other)
