"""Random numbers for a batch, one per image, drawn on the generator's device."""

from __future__ import annotations

import torch
from torch import Tensor


def seeded(seed: int, *counters: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that depends only on a seed and counters (epoch, step, purpose).

    Randomness that hangs on counters rather than on history makes a resumed run equal to one
    that was never interrupted.
    """
    mixed = seed & 0xFFFFFFFF
    for counter in counters:
        mixed = (mixed * 6364136223846793005 + counter + 1442695040888963407) % 2**63
    return torch.Generator(device).manual_seed(mixed)


def uniform(count: int | tuple[int, ...], low: float, high: float, rng: torch.Generator) -> Tensor:
    """`count` numbers between low and high, or a tensor of that shape."""
    return torch.rand(count, generator=rng, device=rng.device) * (high - low) + low


def sign(count: int, probability_of_minus: float, rng: torch.Generator) -> Tensor:
    """+1 or -1 for each image."""
    draws = torch.rand(count, generator=rng, device=rng.device)
    return 1.0 - 2.0 * (draws < probability_of_minus).float()


def per_image(values: Tensor, images: Tensor) -> Tensor:
    """Shape (batch,) values so that they broadcast over (batch, channel, *space)."""
    return values.view(-1, *[1] * (images.dim() - 1))


def levels(images: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest value of each image and the span up to its highest, shaped to broadcast."""
    flat = images.flatten(1)
    low = flat.amin(1)
    return per_image(low, images), per_image(flat.amax(1) - low, images)
