"""Acquisition sites: what the scanner and the habits of a hospital leave in its images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tassl.data.phantom.draws import Floats
from tassl.data.phantom.shapes import spread
from tassl.data.phantom.spec import PhantomSpec

STEPS = np.array([0.6180, 0.7549, 0.5698, 0.8567])  # irrational-like: sites spread evenly
STARTS = np.array([0.25, 0.75, 0.25, 0.75])


@dataclass(frozen=True)
class Signature:
    """The mark of the site of n images, at the strength asked for; each array (n,).

    Args:
        gain: Relative deviation from the usual gain.
        blur: Factor on the usual point spread.
        grain: Factor on the usual noise correlation width.
        noise: Factor on the usual noise level.
        corner: Number of the corner that holds the marker.
        marker: Brightness of the marker, from 0 (absent) to 1 (full scale).
    """

    gain: Floats
    blur: Floats
    grain: Floats
    noise: Floats
    corner: NDArray[np.intp]
    marker: Floats


def sign_sites(spec: PhantomSpec, sites: NDArray[np.intp]) -> Signature:
    """Return the signature of each image's site (n,); a site is the same in every cohort."""
    place = 2 * ((STARTS + STEPS * sites[:, None]) % 1) - 1
    gain, blur, grain, noise = (spec.site_strength * place).T
    marker = np.full(len(sites), min(1.0, 0.5 * spec.site_strength))
    return Signature(
        0.08 * gain, np.exp(0.4 * blur), np.exp(0.4 * grain), np.exp(0.2 * noise), sites % 4, marker
    )


def stamp_marker(images: Floats, signature: Signature, full: Floats) -> None:
    """Draw each site's corner marker, a small bright bar, into images in place.

    Args:
        images: (n, *space).
        signature: Their sites.
        full: Level of full brightness of each image, (n,).
    """
    side = images.shape[-1]
    length, width, gap = side // 8, max(1, side // 32), max(1, side // 32)
    for corner in np.unique(signature.corner):
        here = np.flatnonzero(signature.corner == corner)
        rows = slice(gap, gap + width) if corner < 2 else slice(side - gap - width, side - gap)
        columns = slice(gap, gap + length) if corner % 2 else slice(side - gap - length, side - gap)
        weight, level = spread(signature.marker[here], images), spread(full[here], images)
        bar = images[here, ..., rows, columns]
        images[here, ..., rows, columns] = bar + weight * (level - bar)
