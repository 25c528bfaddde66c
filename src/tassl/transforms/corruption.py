"""What acquisition spoils: sharpness, noise, copies left by motion, missing parts, resolution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tassl.transforms.axes import along
from tassl.transforms.draws import levels, per_image, uniform

MOST_COPIES = 4


def apply_blur(images: Tensor, deviation: Tensor, reach: int) -> Tensor:
    """Gaussian blur with one deviation per image, axis by axis; borders are repeated.

    Sums of shifted images: for a short reach several times as fast as convolutions in groups.

    Args:
        images: (batch, channel, *space).
        deviation: In pixels, (batch,).
        reach: Pixels to either side at which the Gaussian is cut off.
    """
    steps = torch.arange(reach + 1, device=images.device)
    kernel = torch.exp(-0.5 * (steps / deviation[:, None].clamp_min(1e-3)) ** 2)
    kernel = (kernel / (2 * kernel.sum(1, keepdim=True) - kernel[:, :1])).to(images.dtype)
    middle, *sides = (per_image(weight, images) for weight in kernel.unbind(1))
    for axis in range(2, images.dim()):
        size = images.shape[axis]
        ends = images.narrow(axis, 0, 1), images.narrow(axis, size - 1, 1)
        wide = torch.cat([*[ends[0]] * reach, images, *[ends[1]] * reach], axis)
        images = images * middle
        for step, weight in enumerate(sides, start=1):
            pair = wide.narrow(axis, reach - step, size) + wide.narrow(axis, reach + step, size)
            images.addcmul_(pair, weight)
    return images


def coarsen(images: Tensor, factor: float) -> Tensor:
    """Average blocks of pixels, and interpolate back to the size that the images had.

    Args:
        images: (batch, channel, *space).
        factor: Pixels along a side of a block, as nearly as whole blocks allow.
    """
    space = images.shape[2:]
    blocks: Any = [max(1, round(size / factor)) for size in space]
    smooth = "bilinear" if len(space) == 2 else "trilinear"
    return F.interpolate(F.interpolate(images, blocks, mode="area"), space, mode=smooth)


def apply_noise(
    images: Tensor, noise: Tensor, added: Tensor, speckle: Tensor, poisson: Tensor
) -> Tensor:
    """Add noise whose variance is that of three sources together, so that it is drawn once.

    Args:
        images: (batch, channel, *space).
        noise: Standard normal, like the images; from some ten counts on it stands well enough
            for a Poisson law.
        added: Deviation that is the same at every level, (batch,) as the others.
        speckle: Deviation relative to the level above the image's minimum.
        poisson: Deviation at the image's maximum, falling with the square root of the level.

    Source:
        Foi et al., IEEE TIP 2008, 10.1109/TIP.2008.2001399 (variance linear in the level), with a
        square term for speckle.
    """
    low, span = levels(images)
    level = images - low
    flat, square, linear = (per_image(v, images).square() for v in (added, speckle, poisson))
    variance = (level * square).add_(linear / span.clamp_min(1e-6)).mul_(level).add_(flat)
    return torch.addcmul(images, noise.to(images.dtype), variance.sqrt_())


def apply_rician(images: Tensor, noise: Tensor, deviation: Tensor) -> Tensor:
    """Take the magnitude after noise on both parts of the complex level above the minimum.

    Args:
        images: (batch, channel, *space).
        noise: Standard normal, (2, *images.shape).
        deviation: Of the noise on each part, (batch,).

    Source:
        Gudbjartsson & Patz, Magn Reson Med 1995, 10.1002/mrm.1910340618.
    """
    low, _ = levels(images)
    real, imaginary = noise * per_image(deviation, images)
    return low + torch.hypot(images - low + real, imaginary)


def draw_ghosts(
    strength: float, batch: int, dims: int, rng: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw strength, number of copies (2 to 4) and spatial axis of each image's ghosts."""
    copies = torch.randint(2, MOST_COPIES + 1, (batch,), generator=rng, device=rng.device)
    axis = torch.randint(dims, (batch,), generator=rng, device=rng.device)
    return uniform(batch, 0, strength, rng), copies, axis


def apply_ghosts(images: Tensor, strength: Tensor, copies: Tensor, axis: Tensor) -> Tensor:
    """Blend each image with the mean of its copies, shifted evenly around one axis.

    In k-space: of n copies every n-th line stays as it is and the others lose `strength`, which
    is what periodic motion does to the lines along which the phase is encoded.

    Source:
        Wood & Henkelman, Med Phys 1986, 10.1118/1.595851 (ghosts of periodic motion).
    """
    for k, size in enumerate(images.shape[2:]):
        images = along(images, _ghosting(size, strength * (axis == k), copies), k + 2)
    return images


def _ghosting(size: int, strength: Tensor, copies: Tensor) -> Tensor:
    """Matrices (batch, size, size) that blend a line with its copies."""
    place = torch.arange(size, device=copies.device)
    comb = (place * copies[:, None] % size < copies[:, None]).float()
    comb = comb / comb.sum(1, keepdim=True)
    mixed = comb[:, (place[:, None] - place) % size]
    return torch.lerp(torch.eye(size, device=mixed.device), mixed, strength[:, None, None])


def draw_block(share: float, batch: int, dims: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw one block per image, anywhere inside, of at most this share of the area (volume).

    Returns:
        Where it starts and ends along each axis, (batch, dims) each, as shares of the side.
    """
    side = uniform(batch, 0, share, rng)[:, None] ** (1 / dims)
    start = torch.rand(batch, dims, generator=rng, device=rng.device) * (1 - side)
    return start, start + side


def apply_cutout(images: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Fill a block of each image with the mean of each channel.

    Source:
        DeVries & Taylor 2017, arXiv:1708.04552.
    """
    inside = inside_block(start, end, tuple(images.shape[2:]))
    mean = images.flatten(2).mean(2).view(*images.shape[:2], *[1] * (images.dim() - 2))
    return torch.where(inside, mean, images)


def inside_block(start: Tensor, end: Tensor, space: tuple[int, ...]) -> Tensor:
    """Which pixels lie in the block of each image, (batch, 1, *space); see `draw_block`."""
    inside = torch.ones(1, dtype=torch.bool, device=start.device)
    for k, size in enumerate(space):
        place = (torch.arange(size, device=start.device) + 0.5) / size
        within = (place >= start[:, k, None]) & (place < end[:, k, None])
        inside = inside & within.view(-1, *[1] * (k + 1), size, *[1] * (len(space) - 1 - k))
    return inside
