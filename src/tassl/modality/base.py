"""The contract of a modality profile, and the data that describe an augmentation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from tassl.errors import BannedOperation, OptionError, UnknownName

LOCALITIES = ("global", "local")


@dataclass(frozen=True)
class Augmentation:
    """Strength of each random operation; zero is off.

    Args:
        crop: Smallest share of the image area (volume) that a view keeps, 1 for the whole.
        rotate_degrees: Largest rotation to either side.
        flip_lr: Probability of a left-right flip.
        flip_ud: Probability of an up-down flip.
        brightness: Largest shift, in standard deviations of the images.
        contrast: Largest relative change of contrast.
        gamma: Largest change of the logarithm of the exponent.
        noise: Largest standard deviation of added Gaussian noise, in those of the images.
        speckle: Largest relative standard deviation of multiplicative noise.
        blur: Largest standard deviation of a Gaussian blur, in pixels.
        bias_field: Largest logarithm of a smooth multiplicative field.
    """

    crop: float = 1.0
    rotate_degrees: float = 0.0
    flip_lr: float = 0.0
    flip_ud: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    noise: float = 0.0
    speckle: float = 0.0
    blur: float = 0.0
    bias_field: float = 0.0

    def active(self) -> list[str]:
        """Names of the operations that are switched on."""
        return [name for name, value in asdict(self).items() if value != (name == "crop")]

    def mild(self) -> Augmentation:
        """Geometry and a little intensity: for masked methods and for training with labels."""
        return replace(
            self,
            crop=max(self.crop, 0.75),
            brightness=self.brightness / 2,
            contrast=self.contrast / 2,
            gamma=self.gamma / 2,
            noise=0.0,
            speckle=0.0,
            blur=0.0,
        )


@dataclass(frozen=True)
class Ban:
    """Why an operation destroys meaning here, and who says so."""

    reason: str
    source: str


@dataclass(frozen=True)
class Masking:
    """Defaults of masked pretexts.

    Args:
        ratio: Share of the image that is hidden.
        block: Side of a hidden block, as a share of the longest image side.
    """

    ratio: float
    block: float
    source: str


@dataclass(frozen=True)
class ModalityProfile:
    """Preprocessing, augmentation ranges and prohibitions of one modality.

    Args:
        name: Key in `MODALITIES`.
        prepare: Deterministic preprocessing of one image, (channel, *space) float32.
        steps: What `prepare` does, in words, with its source.
        augmentations: Ranges by the locality of the clinical sign: "global" for signs spread
            over the image, "local" for small lesions and for dense tasks.
        banned: Operations that destroy meaning here.
        masking: Defaults of masked pretexts.
        degenerate: Spatial pretexts that carry no signal here, with the reason.
    """

    name: str
    prepare: Callable[[np.ndarray], np.ndarray]
    steps: str
    augmentations: Mapping[str, Augmentation]
    banned: Mapping[str, Ban]
    masking: Masking
    degenerate: Mapping[str, str]

    def augmentation(
        self,
        locality: str,
        *,
        allow: Collection[str] = (),
        **changes: float,
    ) -> Augmentation:
        """Return the ranges for a locality, with the user's changes.

        Args:
            locality: "global" or "local".
            allow: Banned operations that the user permits by name.
            **changes: New strengths by operation.

        Raises:
            BannedOperation: A change switches on an operation that is banned here.
            OptionError: The locality or operation is unknown.
        """
        if locality not in self.augmentations:
            raise UnknownName("locality", locality, self.augmentations)
        try:
            chosen = replace(self.augmentations[locality], **changes)
        except TypeError:
            unknown = sorted(set(changes) - set(asdict(Augmentation())))
            raise UnknownName("operation", unknown[0], asdict(Augmentation())) from None
        _check_strengths(chosen)
        for name in chosen.active():
            if name in self.banned and name not in allow:
                ban = self.banned[name]
                raise BannedOperation(
                    f"{name} is banned for {self.name}: {ban.reason} ({ban.source}). "
                    f"Leave it out, or permit it by name with --allow {name}."
                )
        return chosen


def _check_strengths(ranges: Augmentation) -> None:
    if not 0 < ranges.crop <= 1:
        raise OptionError(f"crop is {ranges.crop}; wanted a share of the area in (0, 1].")
    for name, value in asdict(ranges).items():
        most = 1 if name.startswith("flip") else float("inf")
        if not 0 <= value <= most:
            raise OptionError(f"{name} is {value}; wanted zero or more, a flip at most 1.")


def clip_percentiles(pixels: np.ndarray, low: float = 0.5, high: float = 99.5) -> np.ndarray:
    """Clip to two percentiles of the image and scale to [0, 1]."""
    bottom, top = map(float, np.percentile(pixels, (low, high)))
    return (np.clip(pixels, bottom, top) - bottom) / max(top - bottom, 1e-6)


def zscore_foreground(pixels: np.ndarray) -> np.ndarray:
    """Clip to percentiles, then zero mean and unit deviation over voxels above the mean level."""
    result = np.empty_like(pixels)
    for k, channel in enumerate(pixels):
        bottom, top = np.percentile(channel, (0.5, 99.5))
        clipped = np.clip(channel, bottom, top)
        inside = clipped[clipped > bottom]
        inside = inside if inside.size else clipped.ravel()
        result[k] = (clipped - inside.mean()) / max(float(inside.std()), 1e-6)
    return result
