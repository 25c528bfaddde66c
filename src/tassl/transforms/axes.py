"""Linear maps along single axes, as small matrices: shifted copies and smooth fields."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def along(images: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """Multiply every line of pixels along an axis by a matrix.

    Args:
        images: (batch, channel, *space).
        matrix: (batch, out, in), or (out, in) for all images alike.
        axis: Axis of `images`, 2 or more, with `in` pixels.
    """
    shape, matrix = images.shape, matrix.to(images.dtype)
    before, after = math.prod(shape[1:axis]), math.prod(shape[axis + 1 :])
    lines = images.reshape(shape[0], before, shape[axis], after)
    moved = lines[..., 0] @ matrix.mT if after == 1 else matrix.unsqueeze(-3) @ lines
    return moved.reshape(*shape[:axis], matrix.shape[-2], *shape[axis + 1 :])


def spread(knots: Tensor, space: tuple[int, ...]) -> Tensor:
    """Interpolate (batch, channel, *knots) smoothly to (batch, channel, *space).

    The outermost knots lie on the outermost pixels. Values never leave the range of the knots,
    and over the distance of two knots none rises by more than 1.5 times as fast as on a line.
    """
    for axis, size in enumerate(space, start=2):
        count = knots.shape[axis]
        place = torch.linspace(0, count - 1, size, device=knots.device)
        number = torch.arange(count, device=knots.device)
        near = (1 - (place[:, None] - number).abs()).clamp_min(0)
        knots = along(knots, near.square() * (3 - 2 * near), axis)
    return knots
