"""Do features follow the border or the brightness of an image rather than what it shows?

Found by intervention: each image is given another one's border, or mean intensity, and its
features should stay nearer to its own than to the other's. Sound features go along with both to
some degree, so that a mere correlation would raise false alarms: of 28 runs on ultrasound, X-ray
and MRI the border moved 0 to 48 % of the images, intensity 0 to 20 %, and up to 75 % where grey
levels are what is restored. Methods of that kind are not asked.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from tassl.health import Health

LEVEL = "mean intensity"
FRAME = 12  # the frame is a twelfth of each side wide, as in the audit
LEAST_SHARE, ALPHA = 0.75, 0.001  # of the images that follow; of the exact binomial test


def find_shortcut(
    encode: Callable[[Tensor], Tensor], images: Tensor, *, restores: bool = False
) -> Health | None:
    """Name a shortcut that clearly more than three quarters of the images take, or None.

    Args:
        encode: From images to features (image, width).
        images: (image, channel, *space), from different subjects where possible.
        restores: Whether the method restores grey levels, so that features should tell them.
    """
    from scipy.stats import binomtest

    count = len(images)
    others = torch.arange(count).roll(count // 2)
    own = F.normalize(encode(images).float(), dim=1)
    for what, swap in SWAPS.items():
        if what == LEVEL and restores:
            continue
        mixed = F.normalize(encode(swap(images, images[others])).float(), dim=1)
        nearer = (mixed - own[others]).norm(dim=1) < (mixed - own).norm(dim=1)
        moved = int(nearer.sum())
        if binomtest(moved, count, LEAST_SHARE, alternative="greater").pvalue <= ALPHA:
            return Health(
                f"shortcut: features follow the {what}; of {count} images that were given "
                f"another's, {moved} came nearer to that other than to themselves",
                False,
                REMEDIES[what],
            )
    return None


def swap_border(images: Tensor, others: Tensor) -> Tensor:
    """The images within the outer frame of others, (image, channel, *space) both."""
    mixed = others.clone()
    margins = [max(1, size // FRAME) for size in images.shape[2:]]
    inner = (..., *[slice(margin, -margin) for margin in margins])
    mixed[inner] = images[inner]
    return mixed


def swap_level(images: Tensor, others: Tensor) -> Tensor:
    """The images, moved to the mean intensity of others, (image, channel, *space) both."""
    axes = tuple(range(1, images.dim()))
    return images + (others.mean(axes, keepdim=True) - images.mean(axes, keepdim=True))


SWAPS = {"border": swap_border, LEVEL: swap_level}
REMEDIES = {
    "border": "Look at the borders in the audit; crop what tells images apart there, or use "
    "stronger crops.",
    LEVEL: "Use wider ranges of brightness and contrast in the views, or another "
    "method; look at the levels in the audit.",
}
