"""Boxes that move along with the views of their images.

Boxes are tables (batch, box, 1 + 2 * dims) of class, low and high corner in pixels, counted from
the outer edge of the first one; class -1 fills up images with fewer boxes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tassl.transforms.geometry import find_places

NOTHING = -1.0
LEAST_SEEN = 0.3  # of a box, for it to be wanted in a view


def move_boxes(
    boxes: Tensor,
    affine: Tensor,
    bend: Tensor | None,
    space: tuple[int, ...],
    view: tuple[int, ...],
) -> Tensor:
    """Move boxes to where a view shows them, cut at its edge; what is hardly seen is dropped.

    A turned box is the one around the ellipse that filled it: the hull of its corners would be far
    larger than a round object. Without rotation and bend both are exact.

    Args:
        boxes: In pixels of the image.
        affine: As `draw_affine` gives it.
        bend: As `draw_bend` gives it.
        space: Pixels of the image along each axis.
        view: Pixels of the view along each axis.

    Returns:
        The same table in pixels of the view.

    Source:
        Kalra et al., ICCV 2021 ("Towards Rotation Invariance in Object Detection").
    """
    dims, batch, count = len(space), *boxes.shape[:2]
    low, high = boxes[..., 1 : 1 + dims], boxes[..., 1 + dims :]
    centre, half = (low + high) / 2, (high - low) / 2
    arms = torch.diag_embed(half)  # half axes of the ellipse
    tips = torch.cat(
        [centre[..., None, :], centre[..., None, :] + arms, centre[..., None, :] - arms], 2
    )
    found = find_places(_to_places(tips.flatten(1, 2), space), affine, bend, view)
    moved = _to_pixels(found, view).view(batch, count, 1 + 2 * dims, dims)
    centre, ahead, behind = moved.split([1, dims, dims], 2)
    reach = ((ahead - behind) / 2).square().sum(2).sqrt()
    low, high = centre[:, :, 0] - reach, centre[:, :, 0] + reach
    edge = boxes.new_tensor(view)
    cut_low, cut_high = low.clamp_min(0).minimum(edge), high.clamp_min(0).minimum(edge)
    seen = (cut_high - cut_low).prod(-1) / (high - low).prod(-1).clamp_min(1e-6)
    classes = boxes[..., 0].masked_fill(seen < LEAST_SEEN, NOTHING)
    return torch.cat([classes[..., None], cut_low, cut_high], -1)


def draw_box_centres(boxes: Tensor, space: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Places of the centre of one box of each image (batch, dims), NaN where it has none."""
    dims, known = len(space), boxes[..., 0] >= 0
    luck = torch.rand(known.shape, generator=rng, device=rng.device).masked_fill(~known, -1.0)
    chosen = boxes[torch.arange(len(boxes)), luck.argmax(1), 1:]
    centres = _to_places((chosen[:, :dims] + chosen[:, dims:]) / 2, space)
    return centres.masked_fill(~known.any(1, keepdim=True), torch.nan)


def _to_places(pixels: Tensor, space: tuple[int, ...]) -> Tensor:
    """Pixels (..., dims) to torch's places: -1 to 1 over each side, last axis first."""
    return (2 * pixels / pixels.new_tensor(space) - 1).flip(-1)


def _to_pixels(places: Tensor, space: tuple[int, ...]) -> Tensor:
    return (places.flip(-1) + 1) / 2 * places.new_tensor(space)
