"""Changes of grey values on normalised images (mean near 0, deviation near 1)."""

from __future__ import annotations

import torch
from torch import Tensor

from tassl.transforms.axes import spread
from tassl.transforms.draws import levels, per_image

FIELD_KNOTS, GAIN_KNOTS = 3, 5  # along an axis, for smooth noise
DEPTH = -2  # rows of an image; front to back of a volume, and the rows of its unoriented slices


def apply_gain(images: Tensor, contrast: Tensor, brightness: Tensor) -> Tensor:
    """Scale by `contrast` about the image mean, then shift by `brightness`; one each per image."""
    mean = per_image(images.flatten(1).mean(1), images)
    contrast, brightness = per_image(contrast, images), per_image(brightness, images)
    return images * contrast + (mean * (1 - contrast) + brightness)


def apply_gamma(images: Tensor, exponent: Tensor) -> Tensor:
    """Raise to a power between each image's own minimum and maximum, which stay put."""
    low, span = levels(images)
    span = span.clamp_min(1e-6)
    return ((images - low) / span) ** per_image(exponent, images) * span + low


def apply_window(images: Tensor, bottom: Tensor, top: Tensor) -> Tensor:
    """Clip these shares of each image's range at its two ends; values in between stay."""
    low, span = levels(images)
    lowest, highest = per_image(bottom, images), 1 - per_image(top, images)
    return images.clamp(low + span * lowest, low + span * highest)


def draw_field(shape: tuple[int, ...], strength: float, rng: torch.Generator) -> Tensor:
    """A smooth multiplicative field per image, exp(strength * smooth uniform noise).

    Returns:
        (batch, 1, *space), around 1.
    """
    batch, _, *space = shape
    coarse = torch.rand(batch, 1, *[FIELD_KNOTS] * len(space), generator=rng, device=rng.device)
    return spread((coarse * 2 - 1) * strength, tuple(space)).exp()


def draw_depth_gain(shape: tuple[int, ...], strength: float, rng: torch.Generator) -> Tensor:
    """A smooth gain per image that varies along depth alone, as time-gain compensation does.

    Depth runs down the rows of an image, and along the back-front axis of a volume: there lies
    the beam of a probe on the front of the body, and of files that carry no orientation.

    Returns:
        (batch, 1, *space) around 1, with one pixel along every axis but depth.
    """
    lines = [1] * (len(shape) - 2)
    lines[DEPTH] = GAIN_KNOTS
    coarse = torch.rand(shape[0], 1, *lines, generator=rng, device=rng.device)
    lines[DEPTH] = shape[DEPTH]
    return spread((coarse * 2 - 1) * strength, tuple(lines)).exp()


def apply_field(images: Tensor, field: Tensor) -> Tensor:
    """Multiply the level above each image's minimum by the field."""
    low, _ = levels(images)
    return low + (images - low) * field
