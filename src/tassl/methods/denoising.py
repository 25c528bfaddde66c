"""Denoise and deblur: give back what noise, speckle and blur took."""

from __future__ import annotations

import torch
from torch import Tensor

from tassl.methods.restoration import Restoration
from tassl.networks.base import Encoder
from tassl.transforms.augment import Augment
from tassl.transforms.corruption import apply_blur, apply_noise
from tassl.transforms.draws import uniform


class Denoising(Restoration):
    """Restores an image from a blurred and noisy copy.

    Loss:
        Mean squared error over all pixels.

    Args:
        encoder: The network to train.
        augment: Draws the image that is corrupted.
        blur: Largest standard deviation of the blur, in pixels.
        noise: Largest standard deviation of the additive noise, in those of the images.
        speckle: Largest relative standard deviation of the multiplicative noise.

    Source:
        Kang et al., 2024, arXiv:2306.08249 (deblurring for ultrasound); denoising: Vincent et al.,
        ICML 2008, 10.1145/1390156.1390294.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        augment: Augment,
        blur: float = 1.5,
        noise: float = 0.5,
        speckle: float = 0.3,
    ) -> None:
        super().__init__(encoder, augment=augment)
        self.options = {"blur": blur, "noise": noise, "speckle": speckle}

    def corrupt(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Blur, then speckle and noise, of another strength in every image."""
        blur, noise, speckle = (
            uniform(len(images), 0, self.options[name], rng)
            for name in ("blur", "noise", "speckle")
        )
        blurred = apply_blur(images, blur, max(1, round(3 * self.options["blur"])))
        normal = torch.randn(images.shape, generator=rng, device=rng.device)
        return apply_noise(blurred, normal, noise, speckle, torch.zeros_like(noise))
