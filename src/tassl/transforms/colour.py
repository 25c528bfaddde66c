"""Changes of colour as stains and lamps make them, on colours between 0 (black) and 1 (white)."""

from __future__ import annotations

import torch
from torch import Tensor

from tassl.transforms.draws import uniform

FAINTEST = 1 / 255  # light that a camera of 8 bits tells from none
STAINS = (  # optical density in red, green, blue of haematoxylin, eosin and DAB
    (0.65, 0.70, 0.29),
    (0.07, 0.99, 0.11),
    (0.27, 0.57, 0.78),
)


def apply_stain(colours: Tensor, density: Tensor) -> Tensor:
    """Multiply the density of each stain; unstained glass stays white.

    Args:
        colours: (batch, 3, *space), red, green, blue.
        density: (batch, 3), factor of haematoxylin, eosin and DAB.

    Source:
        Ruifrok & Johnston 2001 (separation of stains by optical density); Tellez et al. 2018,
        arXiv:1808.05896 (its random change, here without the shift that would tint the glass).
    """
    stains = torch.tensor(STAINS, device=colours.device)
    change = torch.linalg.inv_ex(stains).inverse @ (density[:, :, None] * stains)
    depth = -colours.clamp(FAINTEST, 1).log().flatten(2)
    changed = change.mT.to(colours.dtype) @ depth
    return (-changed).exp().clamp_max(1).view(colours.shape)


def draw_illuminant(strength: float, batch: int, rng: torch.Generator) -> Tensor:
    """Draw the gains (batch, 3) of a warmer or cooler lamp: red and blue move against each other.

    Source:
        After Zini et al. 2022, arXiv:2202.07993 (black-body lamps in place of free hues), here to
        first order.
    """
    warmth = uniform(batch, -strength, strength, rng)
    return torch.stack([warmth, torch.zeros_like(warmth), -warmth], 1).exp()


def apply_illuminant(colours: Tensor, gain: Tensor) -> Tensor:
    """Multiply each channel by its gain (batch, 3); nothing is clipped.

    Ratios between the pixels of a channel stay as they are.
    """
    return colours * gain.view(*gain.shape, *[1] * (colours.dim() - 2))
