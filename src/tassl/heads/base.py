"""The contract of a downstream head."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from tassl.networks.base import Encoder
from tassl.networks.decoder import Decoder


class Head(nn.Module, ABC):
    """An encoder with what a clinical task puts on top.

    Args:
        encoder: Pretrained or fresh.
        decoder: Pretrained, or None to start a fresh one where the task needs it.
        classes: Number of classes, background included for segmentation, or of regions; 1 for a
            number.

    Attributes:
        dense: Whether the target is a mask (batch, *space) or an image rather than one class or
            number per image.
    """

    dense: bool = False

    def __init__(self, encoder: Encoder, decoder: Decoder | None, classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.classes = classes

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Scores, (batch, class) or (batch, class, *space); class is 1 for a number."""

    @abstractmethod
    def loss(self, images: Tensor, target: Tensor) -> Tensor:
        """The objective, one scalar."""

    def prime(self, target: Tensor) -> None:
        """Called once before fitting, with the labels to fit; does nothing by default."""

    def weigh(self, target: Tensor) -> None:
        """Let every class count alike in the loss, by the labels to fit."""
        raise NotImplementedError(f"{type(self).__name__} has no classes to weigh")

    def predict(self, images: Tensor) -> Tensor:
        """Probabilities, or numbers in their unit, shaped as the scores."""
        return self(images).float().softmax(1)
