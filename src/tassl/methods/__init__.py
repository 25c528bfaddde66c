"""Pretext methods: one per file."""

from __future__ import annotations

from dataclasses import dataclass

from tassl.registry import Card

PARADIGMS = ("contrastive", "predictive", "generative", "hybrid")


@dataclass(frozen=True)
class MethodCard(Card):
    """A card with what the advice and the training loop need to know of a method.

    Args:
        paradigm: One of `PARADIGMS`.
        keeps: What its features keep, in words.
        batches: Usual images per step in 2D and volumes per step in 3D.
        smallest_batch: Below this batch size the objective is not safe.
        strong_views: Whether it wants strong augmentation (else mild).
    """

    paradigm: str = ""
    keeps: str = ""
    batches: tuple[int, int] = (128, 4)
    smallest_batch: int = 1
    strong_views: bool = False


METHODS: dict[str, MethodCard] = {
    "simclr": MethodCard(
        "SimCLR",
        at="tassl.methods.simclr:SimCLR",
        source="Chen et al., ICML 2020, arXiv:2002.05709",
        paradigm="contrastive",
        keeps="global, discriminative features; small signs may be lost",
        batches=(128, 32),
        smallest_batch=8,
        strong_views=True,
    ),
    "mae": MethodCard(
        "Masked autoencoder",
        at="tassl.methods.mae:MaskedAutoencoder",
        source="He et al., CVPR 2022, arXiv:2111.06377; Wald et al., CVPR 2025, arXiv:2410.23132",
        paradigm="generative",
        keeps="anatomy and local structure; trains a decoder too",
    ),
}
