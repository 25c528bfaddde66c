"""Crop, rotation, flips and elastic bends in one resampling."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from tassl.modality.base import Augmentation
from tassl.transforms.axes import spread
from tassl.transforms.draws import sign, uniform

KNOTS = 3
ROUNDS = 8
WELL_INSIDE = 0.6  # of the way to a view's edge, so that rotations do not lose a spot


def draw_affine(
    ranges: Augmentation,
    batch: int,
    space: tuple[int, ...],
    rng: torch.Generator,
    patch: tuple[int, ...] | None = None,
    spots: Tensor | None = None,
) -> Tensor:
    """Draw one affine map per image, from places in the view to places in the image.

    Places are torch's: -1 to 1 over each side, last axis first.

    Args:
        ranges: Smallest crop, largest rotation, probabilities of turns and flips.
        batch: Number of images.
        space: Pixels along each axis; rotations keep their angles in pixels.
        rng: Source of the random numbers.
        patch: Pixels of the view, where it is a window at about the image's own resolution
            (then `crop` bounds the zoom); else the view has the image's size.
        spots: Places of the image (batch, dims) that the view is to show, NaN for none.

    Returns:
        (batch, dims, dims + 1).
    """
    dims, view = len(space), patch or space
    least = ranges.crop ** (1.0 / dims)
    if patch is None:
        zoom = uniform(batch, ranges.crop, 1.0, rng) ** (1.0 / dims)
    else:
        zoom = least ** uniform(batch, -0.5, 0.5, rng)
    turns = _rotations(ranges.rotate_degrees, batch, dims, rng)
    if ranges.quarter_turns:
        turns = turns @ _quarter_turns(ranges.quarter_turns, batch, view, rng)
    lr, ud = _flip_axes(dims)
    flips = torch.ones(batch, dims, device=rng.device)
    flips[:, lr] = sign(batch, ranges.flip_lr, rng)
    flips[:, ud] = sign(batch, ranges.flip_ud, rng)
    size = torch.tensor(space[::-1], dtype=torch.float32, device=rng.device)
    extent = zoom[:, None] * torch.tensor(view[::-1], dtype=torch.float32, device=rng.device)
    matrix = turns * (extent * flips)[:, None, :] / size[:, None]
    reach = extent / size
    room = (1.0 - reach).clamp_min(0)
    low, high = -room, room
    if spots is not None:
        near = WELL_INSIDE * reach
        low = torch.where(spots.isnan(), low, (spots - near).maximum(low).minimum(room))
        high = torch.where(spots.isnan(), high, (spots + near).minimum(high).maximum(-room))
    shift = low + torch.rand(batch, dims, generator=rng, device=rng.device) * (high - low)
    return torch.cat([matrix, shift[..., None]], dim=2)


def draw_bend(strength: float, batch: int, dims: int, rng: torch.Generator) -> Tensor:
    """Draw random vectors at a few knots of the view, each side within `strength` of its length.

    Below 1 / 18 no bend can fold: the slopes of the displacement, at most 6 times the strength
    along each axis, then sum to less than one.

    Returns:
        (batch, dims, *knots), in torch's places, where a side is 2 long.

    Source:
        Rueckert et al., IEEE TMI 1999, 10.1109/42.796284 (free-form deformation by knots).
    """
    shape = (batch, dims, *[KNOTS] * dims)
    return (torch.rand(shape, generator=rng, device=rng.device) * 2 - 1) * (2 * strength)


def sampling_grid(affine: Tensor, view: tuple[int, ...], bend: Tensor | None = None) -> Tensor:
    """Tell where in its image each pixel of a view lies.

    Args:
        affine: (batch, dims, dims + 1), as `draw_affine` gives it.
        view: Pixels of the view along each axis.
        bend: (batch, dims, *knots), as `draw_bend` gives it.

    Returns:
        (batch, dims, *view), in torch's places.
    """
    dims, matrix = len(view), affine[..., :-1]
    grid = affine[..., -1].view(-1, dims, *[1] * dims)
    for axis, size in enumerate(view):
        place = (torch.arange(size, device=affine.device) * 2 + 1) / size - 1
        line = matrix[:, :, dims - 1 - axis, None] * place
        grid = grid + line.view(-1, dims, *[1] * axis, size, *[1] * (dims - 1 - axis))
    if bend is not None:
        grid = grid + spread(torch.einsum("bij,bj...->bi...", matrix, bend), view)
    return grid


def find_places(
    places: Tensor, affine: Tensor, bend: Tensor | None, view: tuple[int, ...]
) -> Tensor:
    """Tell where in the view places (batch, place, dims) of the image lie: the other way round.

    A bend is undone by a few rounds of Picard iteration; below the bound of `draw_bend` each
    shrinks the error.
    """
    dims = len(view)
    straight = torch.linalg.solve(affine[..., :-1], (places - affine[:, None, :, -1]).mT).mT
    if bend is None:
        return straight
    field, found = spread(bend, view), straight
    for _ in range(ROUNDS):
        points = found.mT.reshape(*straight.mT.shape, *[1] * (dims - 1))
        found = straight - _sample(field, points, "bilinear").flatten(2).mT
    return found


def resample(images: Tensor, grid: Tensor, *, nearest: bool = False) -> Tensor:
    """Read images (batch, channel, *space) at the places of a grid; borders are repeated.

    Returns:
        (batch, channel, *view).
    """
    grid = grid.to(images.dtype)
    if images.dim() == 5 and images.shape[2] > 1 and images.is_cpu and not nearest:
        return _resample_volumes(images, grid)
    return _sample(images, grid, "nearest" if nearest else "bilinear")


def _sample(images: Tensor, grid: Tensor, mode: str) -> Tensor:
    places = grid.movedim(1, -1)
    return F.grid_sample(images, places, mode=mode, padding_mode="border", align_corners=False)


def _resample_volumes(volumes: Tensor, grid: Tensor) -> Tensor:
    """Blend two readings in 2D, of the slices to either side of each place.

    On a processor torch samples planes with vector instructions but volumes voxel by voxel: this
    way takes a quarter of the time. All slices lie in one tall plane, beside the same plane one
    slice on; in single precision places are kept to a thousandth of a voxel.
    """
    batch, channels, slices, height, width = volumes.shape
    across, down, deep = grid.unbind(1)
    gaps, edge = slices - 1, 1 - 1 / height
    deep = (deep * (slices / 2)).add_(gaps / 2).clamp_(0, gaps)
    lower = deep.floor().clamp_max_(gaps - 1)
    down = (lower * (2 / gaps)).add_(1 / gaps - 1).add_(down.clamp(-edge, edge), alpha=1 / gaps)
    tall = torch.cat([volumes[:, :, :-1], volumes[:, :, 1:]], 1)
    places = torch.stack([across, down], 1).flatten(2, 3)
    both = _sample(tall.view(batch, -1, gaps * height, width), places, "bilinear")
    below, above = both.view(batch, 2 * channels, *grid.shape[2:]).chunk(2, 1)
    return torch.lerp(below, above, deep.sub_(lower)[:, None])


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
            turn = turn @ _turn(dims, first, second, angle.cos(), angle.sin())
    return turn


def _quarter_turns(
    probability: float, batch: int, view: tuple[int, ...], rng: torch.Generator
) -> Tensor:
    """Turns in the plane, in 3D about the foot-head axis; half turns alone in an oblong plane."""
    dims, square = len(view), view[0] == view[1]
    quarters = torch.randint(1, 4, (batch,), generator=rng, device=rng.device)
    quarters = quarters if square else torch.full_like(quarters, 2)
    quarters = torch.where(uniform(batch, 0, 1, rng) < probability, quarters, 0)
    cosine = torch.tensor([1.0, 0.0, -1.0, 0.0], device=rng.device)[quarters]
    sine = torch.tensor([0.0, 1.0, 0.0, -1.0], device=rng.device)[quarters]
    return _turn(dims, dims - 2, dims - 1, cosine, sine)


def _turn(dims: int, first: int, second: int, cosine: Tensor, sine: Tensor) -> Tensor:
    """Matrices (batch, dims, dims) that turn one plane."""
    turn = torch.eye(dims, device=cosine.device).repeat(len(cosine), 1, 1)
    turn[:, first, first] = turn[:, second, second] = cosine
    turn[:, first, second], turn[:, second, first] = -sine, sine
    return turn
