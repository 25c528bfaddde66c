"""The contract of a pretext method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tassl.modality.base import ModalityProfile
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
        groups: Number of each image's subject, (batch,): images of one subject are never told
            apart. Each image is its own unless given.
        partners: Another image of the same thing for each image (natural positives), or None.
        places: Place of each image in its series, (batch,) from 0 to 1, NaN where unknown; or None.
    """

    images: Tensor
    rows: Tensor
    rng: torch.Generator
    groups: Tensor | None = None
    partners: Tensor | None = None
    places: Tensor | None = None

    @property
    def owners(self) -> Tensor:
        """Number of each image's subject, or of the image itself."""
        return self.rows if self.groups is None else self.groups

    def pair(self, augment: Augment) -> tuple[Tensor, Tensor]:
        """Two views of each image, the second of its partner where there is one."""
        second = self.images if self.partners is None else self.partners
        return augment.pair(self.images, second, self.rng)


class Method(nn.Module, ABC):
    """Makes views of a batch and turns them into a loss.

    Subclasses take their options keyword-only, with defaults, and keep them in `options`.

    Attributes:
        encoder: The network that is trained.
        decoder: A decoder that is trained along and kept, or None.
        options: Keyword options, for the checkpoint.
        progress: Share of the training that is over, set before each step.
        skips: Whether a step may leave some weights without a gradient.
    """

    decoder: Decoder | None
    options: dict[str, Any]
    progress: float = 0.0
    skips: ClassVar[bool] = False

    def __init__(self, encoder: Encoder, *, augment: Augment) -> None:
        super().__init__()
        self.encoder = encoder
        self.augment = augment
        self.decoder = None
        self.options = {}

    @property
    def kept(self) -> Encoder:
        """The network that goes into the checkpoint: the one trained, unless overridden."""
        return self.encoder

    @classmethod
    def fitting(cls, profile: ModalityProfile, space: tuple[int, ...]) -> dict[str, Any]:
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
        """Images (batch, channel, *space) that show what the pretext asks, by caption."""
        return {f"view {k + 1}": view for k, view in enumerate(views)}
