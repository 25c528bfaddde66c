"""A random view of every image of a batch, by the ranges of a modality."""

from __future__ import annotations

import torch
from torch import Tensor

from tassl.modality.base import Augmentation
from tassl.transforms import geometry, intensity
from tassl.transforms.draws import uniform


class Augment:
    """Draws a view of each image.

    Args:
        ranges: Strength of each operation; operations at zero cost nothing.
        patch: Pixels of a view that is a window of the image; the whole size unless given.
    """

    def __init__(self, ranges: Augmentation, patch: tuple[int, ...] | None = None) -> None:
        self.ranges = ranges
        self.patch = patch

    def __call__(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Return one view per image, (batch, channel, *patch)."""
        affine = self._affine(images, rng)
        return self.intensity(geometry.apply_affine(images, affine, patch=self.patch), rng)

    def paired(self, images: Tensor, masks: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Augment images and move their masks (batch, *space) along with them."""
        affine = self._affine(images, rng)
        layer = masks[:, None].float()
        moved = geometry.apply_affine(layer, affine, patch=self.patch, nearest=True)
        images = self.intensity(geometry.apply_affine(images, affine, patch=self.patch), rng)
        return images, moved[:, 0].to(masks.dtype)

    def milder(self) -> Augment:
        """The same with mild ranges."""
        return Augment(self.ranges.mild(), self.patch)

    def placed(self, images: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """One view per image, and the affine map from its pixels to those of the image."""
        affine = self._affine(images, rng)
        view = geometry.apply_affine(images, affine, patch=self.patch)
        return self.intensity(view, rng), affine

    def _affine(self, images: Tensor, rng: torch.Generator) -> Tensor:
        space = tuple(images.shape[2:])
        return geometry.draw_affine(self.ranges, len(images), space, rng, self.patch)

    def intensity(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Change intensities by the operations that are switched on."""
        r, count = self.ranges, len(images)
        if r.bias_field:
            field = intensity.draw_field(tuple(images.shape), r.bias_field, rng)
            images = intensity.apply_field(images, field)
        if r.contrast or r.brightness:
            contrast = uniform(count, 1 - r.contrast, 1 + r.contrast, rng)
            brightness = uniform(count, -r.brightness, r.brightness, rng)
            images = intensity.apply_gain(images, contrast, brightness)
        if r.gamma:
            images = intensity.apply_gamma(images, uniform(count, -r.gamma, r.gamma, rng).exp())
        if r.blur:
            images = intensity.apply_blur(images, uniform(count, 0, r.blur, rng))
        if r.speckle:
            deviation = uniform(count, 0, r.speckle, rng)
            images = intensity.apply_speckle(images, deviation, _normal(images, rng))
        if r.noise:
            deviation = uniform(count, 0, r.noise, rng)
            images = intensity.apply_noise(images, deviation, _normal(images, rng))
        return images


def _normal(images: Tensor, rng: torch.Generator) -> Tensor:
    return torch.randn(images.shape, generator=rng, device=rng.device)


def patch_of(space: tuple[int, ...], side: int = 64) -> tuple[int, ...] | None:
    """The window that larger volumes are trained on, at most 64 voxels a side; else none."""
    large = len(space) == 3 and max(space) > side
    return tuple(min(side, size) for size in space) if large else None
