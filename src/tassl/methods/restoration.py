"""What all methods share that restore a corrupted image with the decoder that later segments."""

from __future__ import annotations

from abc import abstractmethod

import torch
from monai.networks.layers.factories import Conv
from torch import Tensor
from torch.nn import functional as F

from tassl.methods.base import Batch, Method
from tassl.networks.base import Encoder
from tassl.networks.decoder import Decoder
from tassl.transforms.augment import Augment


class Restoration(Method):
    """Encoder and decoder give an image back from its corrupted form.

    Args:
        encoder: The network to train.
        augment: Draws the image that is corrupted.
    """

    def __init__(self, encoder: Encoder, *, augment: Augment) -> None:
        super().__init__(encoder, augment=augment)
        self.decoder: Decoder = Decoder(encoder)
        self.paint = Conv[Conv.CONV, encoder.dims](self.decoder.width, encoder.channels, 1)

    @abstractmethod
    def corrupt(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """A corrupted copy, (batch, channel, *space)."""

    def views(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The corrupted image and the image."""
        images = self.augment(batch.images, batch.rng)
        return self.corrupt(images, batch.rng), images

    def restore(self, corrupted: Tensor) -> Tensor:
        """The image as the network restores it."""
        return self.paint(self.decoder(self.encoder.features(corrupted), corrupted))

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Mean squared error over all pixels."""
        corrupted, images = views
        return F.mse_loss(self.restore(corrupted).float(), images)

    @torch.no_grad()
    def picture(self, views: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Input, corrupted input and what the network makes of it."""
        corrupted, images = views
        return {
            "input": images,
            "corrupted": corrupted,
            "restored": self.restore(corrupted).float(),
        }
