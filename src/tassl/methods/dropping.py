"""Leave patches out at random, so that a transformer compares views in less time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from tassl.errors import OptionError
from tassl.networks.base import Encoder, TokenEncoder

MOST = 0.9


def check_drop(share: float, encoder: Encoder) -> float:
    """The share of the patches to leave out, if the network can leave any out.

    Raises:
        OptionError: It is out of range, or the network needs whole images.
    """
    if not 0 <= share <= MOST:
        raise OptionError(f"drop is {share}; wanted 0 to {MOST}. Usual is 0.5.")
    if share and not isinstance(encoder, TokenEncoder):
        raise OptionError(
            f"drop is {share}, on a network that needs whole images. Set it to 0, or use network "
            "vit."
        )
    return share


def draw_kept(
    encoder: Encoder, views: Sequence[Tensor], share: float, rng: torch.Generator
) -> tuple[Tensor, ...]:
    """Numbers (batch, kept) of the patches that stay in each view; nothing if all do."""
    if not share:
        return ()
    patch = cast(TokenEncoder, encoder).patch
    count = math.prod(-(-size // patch) for size in views[0].shape[2:])
    kept = max(1, round((1 - share) * count))
    shape = (len(views), len(views[0]), count)
    order = torch.rand(shape, generator=rng, device=rng.device).argsort(-1)
    return tuple(order[..., :kept])


def encode_kept(encoder: Encoder, images: Tensor, kept: Sequence[Tensor]) -> Tensor:
    """Features (image, width) of the patches that stay, of all where `kept` is empty.

    Source:
        Li et al. (FLIP), CVPR 2023, arXiv:2212.00794, section 3.
    """
    if not kept:
        return encoder(images)
    return cast(TokenEncoder, encoder).visible(images, torch.cat(tuple(kept))).mean(1)
