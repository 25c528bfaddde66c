"""Where does an image hold local structure?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

CELLS = 16  # along the longest side
SHARPNESS = 2.0


def draw_spots(images: Tensor, rng: torch.Generator) -> Tensor:
    """Draw one spot per image, with odds of the squared local contrast there.

    Returns:
        (batch, dims) in torch's places: -1 to 1 over each side, last axis first.
    """
    contrast = local_contrast(images)
    space = contrast.shape[2:]
    draws = torch.rand(contrast.shape, generator=rng, device=rng.device).clamp(1e-9, 1 - 1e-7)
    odds = SHARPNESS * contrast.clamp_min(1e-6).log() - (-draws.log()).log()
    return find_places(odds.flatten(1).argmax(1), space)


def find_places(numbers: Tensor, space: Sequence[int]) -> Tensor:
    """Centres of pixels (batch,), numbered as `flatten` does, in torch's places (batch, dims)."""
    places = []
    for size in reversed(space):
        places.append((numbers % size * 2 + 1) / size - 1)
        numbers = numbers // size
    return torch.stack(places, 1)


def local_contrast(images: Tensor) -> Tensor:
    """Difference between each cell's mean and that of its surroundings, (batch, 1, *cells)."""
    pool: Any = F.avg_pool2d if images.dim() == 4 else F.avg_pool3d
    step = max(1, max(images.shape[2:]) // CELLS)
    cells = pool(images.mean(1, keepdim=True), step)
    around = pool(cells, 5, 1, 2, count_include_pad=False)
    return (cells - around).abs()
