"""Regression: one number per image from the encoder's vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tassl.heads.base import Head
from tassl.networks.base import Encoder
from tassl.networks.decoder import Decoder

START = 1e-2  # first guesses are near the mean of the labels, so that few steps undo them


class Standardise(nn.BatchNorm1d):
    """Batch normalisation; a single image, which has no spread, is left to the running figures."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training and len(input) > 1:
            return super().forward(input)
        weights = (self.running_mean, self.running_var, self.weight, self.bias)
        return F.batch_norm(input, *weights, eps=self.eps)


class Regressor(Head):
    """Mean-pooled features, standardised over the batch, and a linear layer.

    Mean-pooled features of all images are nearly the same vector. Normalised within each image
    they stay so: what all share then drowns what differs, and on volumes the network learnt to
    give one number for all.

    It learns the number on the scale of the labels that it is fitted to, and predicts it in its
    unit.

    Loss:
        Huber, on labels of zero mean and unit deviation: few labels include odd ones.

    Source:
        Huber, Ann. Math. Stat. 1964, 10.1214/aoms/1177703732; Ioffe & Szegedy, ICML 2015,
        arXiv:1502.03167.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, encoder: Encoder, decoder: Decoder | None, classes: int = 1) -> None:
        super().__init__(encoder, decoder, classes)
        last = nn.Linear(encoder.width, classes)
        nn.init.normal_(last.weight, std=START)
        nn.init.zeros_(last.bias)
        self.head = nn.Sequential(Standardise(encoder.width), last)
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channel, *space) to numbers (batch, 1) on the scale of the labels."""
        return self.head(self.encoder(images))

    def loss(self, images: Tensor, target: Tensor) -> Tensor:
        """Huber loss to the number of each image, (batch,) in its unit."""
        return F.huber_loss(self(images).float()[:, 0], (target - self.centre) / self.scale)

    def prime(self, target: Tensor) -> None:
        """Take the scale from the labels to fit, (row,)."""
        self.centre.copy_(target.mean())
        spread = target.std(correction=0)
        self.scale.copy_(torch.where(spread > 0, spread, 1.0))

    def predict(self, images: Tensor) -> Tensor:
        return self(images).float() * self.scale + self.centre
