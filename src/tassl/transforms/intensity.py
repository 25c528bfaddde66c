"""Changes of intensity on normalised images (mean near 0, deviation near 1)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tassl.transforms.draws import per_image


def apply_gain(images: Tensor, contrast: Tensor, brightness: Tensor) -> Tensor:
    """Scale by `contrast` about the image mean, then shift by `brightness`; one each per image."""
    mean = images.flatten(1).mean(1)
    mean, contrast = per_image(mean, images), per_image(contrast, images)
    return (images - mean) * contrast + mean + per_image(brightness, images)


def apply_gamma(images: Tensor, exponent: Tensor) -> Tensor:
    """Raise to a power between each image's own minimum and maximum, which stay put."""
    flat = images.flatten(1)
    low, high = flat.amin(1), flat.amax(1)
    span = per_image((high - low).clamp_min(1e-6), images)
    low = per_image(low, images)
    return ((images - low) / span) ** per_image(exponent, images) * span + low


def apply_noise(images: Tensor, deviation: Tensor, noise: Tensor) -> Tensor:
    """Add `noise` (standard normal, like the images) times a deviation per image."""
    return images + noise * per_image(deviation, images)


def apply_speckle(images: Tensor, deviation: Tensor, noise: Tensor) -> Tensor:
    """Multiply the level above each image's minimum by 1 + deviation * noise."""
    low = per_image(images.flatten(1).amin(1), images)
    return low + (images - low) * (1 + noise * per_image(deviation, images))


def apply_blur(images: Tensor, deviation: Tensor) -> Tensor:
    """Gaussian blur with one deviation (pixels) per image, axis by axis."""
    batch, channels, *space = images.shape
    radius = max(1, round(3 * float(deviation.max())))
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / deviation[:, None].clamp_min(1e-3)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    convolve = F.conv2d if len(space) == 2 else F.conv3d
    result = images.reshape(1, batch * channels, *space)
    for axis in range(len(space)):
        shape = [1] * len(space)
        shape[axis] = -1
        padding = [0] * (2 * len(space))
        padding[2 * (len(space) - 1 - axis)] = padding[2 * (len(space) - 1 - axis) + 1] = radius
        padded = F.pad(result, padding, mode="replicate")
        result = convolve(padded, kernel.view(len(kernel), 1, *shape), groups=batch * channels)
    return result.reshape(images.shape)


def draw_field(
    shape: tuple[int, ...], strength: float, rng: torch.Generator, knots: int = 3
) -> Tensor:
    """A smooth multiplicative field per image, exp(strength * smooth uniform noise).

    Returns:
        (batch, 1, *space), around 1.
    """
    batch, _, *space = shape
    coarse = torch.rand(batch, 1, *[knots] * len(space), generator=rng, device=rng.device)
    mode = "bilinear" if len(space) == 2 else "trilinear"
    smooth = F.interpolate(coarse * 2 - 1, size=space, mode=mode, align_corners=True)
    return torch.exp(strength * smooth)


def apply_field(images: Tensor, field: Tensor) -> Tensor:
    """Multiply the level above each image's minimum by the field."""
    low = per_image(images.flatten(1).amin(1), images)
    return low + (images - low) * field
