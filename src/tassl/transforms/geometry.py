"""Crop, rotation and flips in one resampling."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from tassl.modality.base import Augmentation
from tassl.transforms.draws import sign, uniform


def draw_affine(
    ranges: Augmentation,
    batch: int,
    space: tuple[int, ...],
    rng: torch.Generator,
    patch: tuple[int, ...] | None = None,
) -> Tensor:
    """Draw one affine map per image, as torch's `affine_grid` wants it.

    Args:
        ranges: Smallest crop, largest rotation, flip probabilities.
        batch: Number of images.
        space: Pixels along each axis; rotations keep their angles in pixels.
        rng: Source of the random numbers.
        patch: Pixels of the view, where it is a window at about the image's own resolution
            (then `crop` bounds the zoom); else the view has the image's size.

    Returns:
        (batch, dims, dims + 1), axes in torch's order: last axis of the image first.
    """
    dims = len(space)
    least = ranges.crop ** (1.0 / dims)
    if patch is None:
        zoom = uniform(batch, ranges.crop, 1.0, rng) ** (1.0 / dims)
    else:
        zoom = least ** uniform(batch, -0.5, 0.5, rng)
    turns = _rotations(ranges.rotate_degrees, batch, dims, rng)
    lr, ud = _flip_axes(dims)
    flips = torch.ones(batch, dims, device=rng.device)
    flips[:, lr] = sign(batch, ranges.flip_lr, rng)
    flips[:, ud] = sign(batch, ranges.flip_ud, rng)
    size = torch.tensor(space[::-1], dtype=torch.float32, device=rng.device)
    view = torch.tensor((patch or space)[::-1], dtype=torch.float32, device=rng.device)
    extent = zoom[:, None] * view
    matrix = turns * (extent * flips)[:, None, :] / size[:, None]
    room = (1.0 - extent / size).clamp_min(0)
    shift = (torch.rand(batch, dims, generator=rng, device=rng.device) * 2 - 1) * room
    return torch.cat([matrix, shift[..., None]], dim=2)


def apply_affine(
    images: Tensor,
    affine: Tensor,
    *,
    patch: tuple[int, ...] | None = None,
    nearest: bool = False,
) -> Tensor:
    """Resample (batch, channel, *space) under the maps; outside, the border is repeated.

    Returns:
        (batch, channel, *patch), or the images' own size.
    """
    size = [*images.shape[:2], *(patch or images.shape[2:])]
    grid = F.affine_grid(affine, size, align_corners=False)
    mode = "nearest" if nearest else "bilinear"
    return F.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)


def _flip_axes(dims: int) -> tuple[int, int]:
    """Positions of left-right and up-down in torch's reversed order of axes.

    2D images are (row, column); 3D volumes are canonical (left-right, back-front, foot-head).
    """
    return (0, 1) if dims == 2 else (2, 0)


def _rotations(degrees: float, batch: int, dims: int, rng: torch.Generator) -> Tensor:
    """Rotation matrices: in the plane for 2D, about each axis in turn for 3D."""
    turn = torch.eye(dims, device=rng.device).repeat(batch, 1, 1)
    if not degrees:
        return turn
    for first in range(dims):
        for second in range(first + 1, dims):
            angle = uniform(batch, -math.radians(degrees), math.radians(degrees), rng)
            plane = torch.eye(dims, device=rng.device).repeat(batch, 1, 1)
            plane[:, first, first] = plane[:, second, second] = angle.cos()
            plane[:, first, second], plane[:, second, first] = -angle.sin(), angle.sin()
            turn = turn @ plane
    return turn
