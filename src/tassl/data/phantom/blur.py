"""Gaussian blur and correlated noise, with a width of its own for every image.

Line filters on one thread: the bits depend neither on the number of images nor on the machine's
cores.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

from tassl.data.phantom.draws import Floats


def blur(images: Floats, widths: Floats) -> Floats:
    """Blur images (n, *space); the border pixel continues outside.

    Args:
        images: (n, *space).
        widths: Standard deviations in pixels, (n, dims).
    """
    return _filter(images, widths, power=1, mode="nearest")


def correlate(white: Floats, widths: Floats) -> Floats:
    """Give white noise (n, *space) a correlation width (n, dims); its unit variance stays."""
    return _filter(white, widths, power=2, mode="wrap")


def _filter(images: Floats, widths: Floats, power: int, mode: str) -> Floats:
    """Weigh neighbours along each axis; the weights to this power sum to 1."""
    filtered = np.empty_like(images)
    for group in np.unique(widths, axis=0):
        here = np.flatnonzero((widths == group).all(1))
        part = images[here]
        for axis, width in enumerate(group, start=1):
            part = correlate1d(part, _weights(width, power), axis=axis, mode=mode)
        filtered[here] = part
    return filtered


def _weights(width: float, power: int) -> Floats:
    """Gaussian weights out to four standard deviations."""
    reach = max(1, round(4 * width))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    return weights / (weights**power).sum() ** (1 / power)
