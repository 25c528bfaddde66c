"""The contract of a pretext method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tassl.modality.base import Masking
from tassl.networks.base import Encoder
from tassl.networks.decoder import Decoder
from tassl.transforms.augment import Augment


@dataclass(frozen=True)
class Batch:
    """Images of one training step.

    Args:
        images: (batch, channel, *space), normalised.
        rows: Row of each image in the store.
        rng: Source of every random number of this step.
    """

    images: Tensor
    rows: Tensor
    rng: torch.Generator


class Method(nn.Module, ABC):
    """Makes views of a batch and turns them into a loss.

    Subclasses take their options keyword-only, with defaults, and keep them in `options`.

    Attributes:
        encoder: The network that is trained and kept.
        decoder: A decoder that is trained along and kept, or None.
        options: Keyword options, for the checkpoint.
    """

    decoder: Decoder | None
    options: dict[str, Any]

    def __init__(self, encoder: Encoder, *, augment: Augment) -> None:
        super().__init__()
        self.encoder = encoder
        self.augment = augment
        self.decoder = None
        self.options = {}

    @classmethod
    def fitting(cls, masking: Masking, space: tuple[int, ...]) -> dict[str, Any]:
        """Options that suit the modality and the image size; none unless overridden."""
        return {}

    @abstractmethod
    def views(self, batch: Batch) -> tuple[Tensor, ...]:
        """Draw what the loss compares; each (batch, channel, *space)."""

    @abstractmethod
    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """The objective, one scalar."""

    def after_step(self) -> None:
        """Called after each optimiser step, for moving-average teachers."""

    @torch.no_grad()
    def picture(self, views: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Images that show a person what the pretext asks, by caption."""
        return {f"view {k + 1}": view for k, view in enumerate(views)}
