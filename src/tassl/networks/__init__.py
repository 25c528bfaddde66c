"""Encoders and the decoder: one network family per file, 2D and 3D from one definition."""

from __future__ import annotations

from tassl.registry import Card

NETWORKS: dict[str, Card] = {
    "cnn": Card(
        "Residual CNN",
        at="tassl.networks.residual:ResidualCNN",
        source="He et al., CVPR 2016, arXiv:1512.03385",
    ),
    "unet": Card(
        "Residual U-Net encoder, full-resolution first level",
        at="tassl.networks.residual:ResidualUNet",
        source="Isensee et al., MICCAI 2024, arXiv:2404.09556",
    ),
    "vit": Card(
        "Vision transformer",
        at="tassl.networks.vit:VisionTransformer",
        source="Dosovitskiy et al., ICLR 2021, arXiv:2010.11929",
    ),
}
