"""How images of a modality get worse: its own noise, blur, levels, fields, motion, resolution.

The operations are those that the modality's views are drawn with, so that nothing is asked of a
network that its scanner cannot do; the severity multiplies their ranges.

Source: Hendrycks & Dietterich, ICLR 2019, arXiv:1903.12261 (corruptions of several severities).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from tassl.data.tensors import Normalisation
from tassl.modality.base import Augmentation
from tassl.transforms.augment import MOST, Augment
from tassl.transforms.corruption import coarsen
from tassl.transforms.draws import seeded

SEVERITIES = (1, 3)
KINDS = {
    "noise": ("noise", "speckle", "rician", "poisson"),
    "blur": ("blur",),
    "grey levels": ("brightness", "contrast", "gamma", "window"),
    "uneven gain": ("bias_field", "depth_gain"),
    "colours": ("stain", "illuminant"),
    "motion": ("ghosting",),
}
RESOLUTION = "resolution"
LIMITS = MOST | {"contrast": 0.9}


@dataclass(frozen=True)
class Corruption:
    """One way and severity in which images get worse; the same images always the same way.

    Args:
        kind: Key in `KINDS`, or "resolution".
        severity: The strength of each image is drawn evenly up to this many times the range that
            the modality's views have; resolution is divided by it plus one.
        ranges: Strengths at this severity.
        normalisation: Of the images.
        seed: Of the draws.
    """

    kind: str
    severity: int
    ranges: Augmentation
    normalisation: Normalisation
    seed: int

    def __call__(self, images: Tensor, rows: np.ndarray) -> Tensor:
        """Corrupt images (image, channel, *space) that lie in these rows."""
        if self.kind == RESOLUTION:
            return coarsen(images, self.severity + 1)
        rng = seeded(self.seed, self.severity, int(rows[0]), device=images.device)
        return Augment(self.ranges, normalisation=self.normalisation)(images, rng)


def list_corruptions(
    ranges: Augmentation, normalisation: Normalisation, seed: int
) -> Iterator[Corruption]:
    """Every kind that the modality has, at every severity.

    Args:
        ranges: The modality's own, of its views.
        normalisation: Of the images.
        seed: Of the draws.
    """
    for kind, names in {**KINDS, RESOLUTION: ()}.items():
        if kind != RESOLUTION and not any(getattr(ranges, name) for name in names):
            continue
        for severity in SEVERITIES:
            strengths = {
                name: min(severity * getattr(ranges, name), LIMITS.get(name, np.inf))
                for name in names
            }
            own = replace(Augmentation(), **strengths)
            yield Corruption(kind, severity, own, normalisation, seed)
