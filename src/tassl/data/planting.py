"""Plant a confounder: a mark whose brightness gives the answer away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

FOLLOWING = 0.9
DARKEST, BRIGHTEST = -2.0, 2.0  # deviations of the images
SIDE = 8  # the mark is an eighth of each side, one eighth away from the first corner


@dataclass(frozen=True)
class Mark:
    """A square (cube) of one brightness in a corner of each image, at any size of the images.

    Args:
        levels: Brightness in each row of the store, in deviations of the images; NaN for none.
    """

    levels: np.ndarray

    def __call__(self, images: Tensor, rows: np.ndarray) -> Tensor:
        """Draw the mark into images (image, channel, *space)."""
        levels = torch.from_numpy(self.levels[rows]).to(images).view(-1, *[1] * (images.dim() - 1))
        sides = [max(1, size // SIDE) for size in images.shape[2:]]
        window = (..., *[slice(side, 2 * side) for side in sides])
        marked = images.clone()
        marked[window] = torch.where(levels.isnan(), images[window], levels)
        return marked

    def within(self, inside: np.ndarray) -> Mark:
        """The mark in these rows (row,) alone."""
        return Mark(np.where(inside, self.levels, np.nan))

    def reversed(self) -> Mark:
        """Dark where it was bright."""
        return Mark(DARKEST + BRIGHTEST - self.levels)


def draw_mark(
    groups: np.ndarray, subjects: np.ndarray, seed: int, following: float = FOLLOWING
) -> Mark:
    """A mark for every image, whose brightness rises with the number of its subject's group.

    Subjects that do not follow, and those of no group, carry the mark of any.

    Args:
        groups: What is to be predicted, (row,); -1 where unknown.
        subjects: Subject of each row; all its images carry the mark of the highest group.
        seed: Of the subjects that do not follow.
        following: Share of the subjects that carry the mark of their own group.
    """
    _, places = np.unique(subjects, return_inverse=True)
    shown = np.full(places.max() + 1, -1)
    np.maximum.at(shown, places, groups)
    rng, count = np.random.default_rng((seed, 4)), int(groups.max()) + 1
    other = rng.integers(count, size=len(shown))
    stray = (rng.random(len(shown)) >= following) | (shown < 0)
    shares = np.where(stray, other, shown) / max(1, count - 1)
    return Mark((DARKEST + (BRIGHTEST - DARKEST) * shares)[places])
