"""Shuffle pixels: a negative control of all that rests on where things are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class PixelShuffle:
    """One order of the pixels for all images: grey levels stay, shapes and textures go.

    Args:
        order: Place that each pixel of the flat image is taken from.
    """

    order: np.ndarray

    def __call__(self, images: Tensor, rows: np.ndarray) -> Tensor:
        """Put the pixels of images (image, channel, *space) in the order."""
        return images.flatten(2)[..., torch.from_numpy(self.order)].view_as(images)


def draw_shuffle(space: tuple[int, ...], seed: int) -> PixelShuffle:
    """Draw the order for images of this shape."""
    return PixelShuffle(np.random.default_rng((seed, 5)).permutation(int(np.prod(space))))
