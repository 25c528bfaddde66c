"""Degradations at work on normalised images (mean near 0, deviation near 1).

What is random is drawn for each image alone, so that an image can always be degraded alike.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tassl.transforms.axes import along
from tassl.transforms.corruption import apply_blur, apply_noise, apply_rician, coarsen

PHASE = 2  # axis of the images along which lines of k-space are left out
CENTRE = 0.32  # share of the lines in the centre, times the acceleration: 8% at 4, 4% at 8
BESIDE_BLUR = 0.05  # without any noise, blur could be undone


class Degrader:
    """One degradation of one strength.

    Args:
        strength: In the unit of its card.
        law: Of the noise.

    Attributes:
        whole: Axes of the images that windows must keep whole, so that what was drawn for an image
            tells of its windows, too.
    """

    whole: tuple[int, ...] = ()

    def __init__(self, strength: float, law: str = "Gaussian") -> None:
        self.strength = strength
        self.law = law

    def draw(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        """What is random for one image (channel, *space); its normal noise unless overridden."""
        return _normal(shape, rng)

    def apply(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Degrade images (batch, channel, *space) with what was drawn for each."""
        return self.blunt(images, drawn)

    def blunt(self, images: Tensor, drawn: Tensor) -> Tensor:
        """The linear part of `apply`, without its noise."""
        return images

    def gaps(self, images: Tensor, drawn: Tensor) -> Tensor:
        """The part of images of which the acquisition measured nothing."""
        return images

    def _level(self, images: Tensor, strength: float = 0.0) -> Tensor:
        return images.new_full((len(images),), strength)


class Noise(Degrader):
    """Noise of the modality's law, the pixels apart from each other."""

    def draw(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        parts = (2,) if self.law == "Rician" else ()
        return _normal((*parts, *shape), rng)

    def apply(self, images: Tensor, drawn: Tensor) -> Tensor:
        level, none = self._level(images, self.strength), self._level(images)
        if self.law == "Rician":
            return apply_rician(images, drawn.transpose(0, 1), level)
        laws = ("Gaussian", "speckle", "Poisson")
        return apply_noise(images, drawn, *(level if law == self.law else none for law in laws))


class Blur(Degrader):
    """Gaussian blur, then a little noise."""

    def apply(self, images: Tensor, drawn: Tensor) -> Tensor:
        return self.blunt(images, drawn) + BESIDE_BLUR * drawn

    def blunt(self, images: Tensor, drawn: Tensor) -> Tensor:
        reach = min(max(1, round(3 * self.strength)), *(n - 1 for n in images.shape[2:]))
        return apply_blur(images.clone(), self._level(images, self.strength), reach)


class LowResolution(Degrader):
    """Means over blocks, interpolated to the size that the image had."""

    def draw(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        return torch.zeros(())

    def blunt(self, images: Tensor, drawn: Tensor) -> Tensor:
        return coarsen(images, self.strength)


class Undersampling(Degrader):
    """Lines of k-space are left out, in pairs of a frequency and its negative.

    Of a real image either line of a pair tells the other. A draw that took one alone would
    measure more than a scanner, whose images have a phase.
    """

    whole = (PHASE,)

    def draw(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        """1 for each line that is measured, (line,) in the order of the discrete transform."""
        lines = shape[PHASE - 1]
        far = torch.fft.fftfreq(lines).abs().mul(lines).round()  # of each line, from the centre
        inner = max(1, round(CENTRE / self.strength * lines))
        order = torch.rand(lines, generator=rng, device=rng.device).cpu()[far.long()]
        order[far <= (inner - 1) // 2] = 2.0
        measured = torch.zeros(lines)
        kept = max(inner, round(lines / self.strength))
        measured[order.argsort(descending=True, stable=True)[:kept]] = 1
        return torch.maximum(measured, measured[-torch.arange(lines)])

    def blunt(self, images: Tensor, drawn: Tensor) -> Tensor:
        """The image of the measured lines alone: a circular convolution along their axis."""
        lines = drawn.shape[-1]
        place = torch.arange(lines, device=drawn.device)
        kernel = torch.fft.ifft(drawn).real
        return along(images, kernel[:, (place[:, None] - place) % lines], PHASE)

    def gaps(self, images: Tensor, drawn: Tensor) -> Tensor:
        return images - self.blunt(images, drawn)


class LowDose(Degrader):
    """Noise whose power rises with the frequency in the plane of the detector."""

    def draw(self, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        """Noise (channel, *space) of unit deviation, each slice along the last axis by itself."""
        plane = shape[1:3]
        rows, columns = (torch.fft.fftfreq(n, device=rng.device) for n in plane)
        ramp = torch.hypot(rows[:, None], columns).sqrt()
        ramp = (ramp / ramp.square().mean().sqrt()).view(1, *plane, *[1] * (len(shape) - 3))
        spectrum = torch.fft.fft2(_normal(shape, rng), dim=(1, 2))
        return torch.fft.ifft2(spectrum * ramp, dim=(1, 2)).real

    def apply(self, images: Tensor, drawn: Tensor) -> Tensor:
        return images + self.strength * drawn


def _normal(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=rng, device=rng.device)
