"""Features and maps at the points of a grid, for linear models of what stands where."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tassl.data.tensors import Tensors
from tassl.networks.base import Encoder
from tassl.optimisation import autocast, device

MOST_POINTS = 8192  # of an image
BATCH = {2: 16, 3: 2}


def step_of(tensors: Tensors) -> int:
    """Pixels from one point to the next: the fewest that keep to `MOST_POINTS`."""
    shape, step = tensors.store.grid.shape, 1
    while np.prod(_count(shape, step)) > MOST_POINTS:
        step += 1
    return step


def embed_points(encoder: Encoder, tensors: Tensors, rows: np.ndarray) -> np.ndarray:
    """Features from all levels of the pyramid, (row, point, width) float16."""
    chunks = np.array_split(rows, -(-len(rows) // BATCH[encoder.dims]))
    step = step_of(tensors)
    return np.concatenate([embed_images(encoder, tensors.images(own), step) for own in chunks])


@torch.no_grad()
def embed_images(encoder: Encoder, images: Tensor, step: int) -> np.ndarray:
    """The same for images that are at hand, (image, channel, *space)."""
    encoder.to(device()).eval()
    with autocast():
        maps = encoder.features(images.to(device()))
    size, mode = _count(tuple(images.shape[2:]), step), {2: "bilinear", 3: "trilinear"}
    levels = [F.interpolate(level.float().cpu(), size, mode=mode[encoder.dims]) for level in maps]
    return torch.cat(levels, 1).flatten(2).transpose(1, 2).half().numpy()


def sample_points(maps: Tensor, step: int, *, nearest: bool = False) -> Tensor:
    """Maps (image, channel, *space) at the points, (image, point, channel): means of blocks.

    Args:
        maps: What is sampled.
        step: Pixels from one point to the next.
        nearest: Take the pixel at the centre, as class numbers need it.
    """
    mode = "nearest-exact" if nearest else "area"
    sampled = F.interpolate(maps, _count(tuple(maps.shape[2:]), step), mode=mode)
    return sampled.flatten(2).transpose(1, 2)


def _count(space: tuple[int, ...], step: int) -> list[int]:
    return [-(-size // step) for size in space]
