"""A masked autoencoder with a vision transformer: lightly's example beside ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from benchmarks.figures import Figure
from benchmarks.peers import ours
from benchmarks.peers.images import write_images
from benchmarks.peers.racing import OURS, race
from benchmarks.peers.simclr import train_peer

# Side: patch, width, heads; ViT-tiny and ViT-small.
NETWORKS = {64: (8, 192, 3), 128: (16, 384, 6)}
DEPTH, BATCH, RATIO = 12, 64, 0.75
RESTORER = {"embed_dim": 96, "depth": 2, "num_heads": 3}  # as our TokenRestorer
TARGETS = {"lightly as shipped": 3.0, "lightly tuned": 1.15}


def measure(folder: Path) -> Iterator[Figure]:
    """At 64 and 128 pixels a side."""
    for side, (patch, width, _) in NETWORKS.items():
        place = write_images(folder, 2, side)
        sides = {
            OURS: partial(build_ours, place, side),
            "lightly as shipped": partial(build_lightly, place, side),
            "lightly tuned": partial(build_lightly, place, side, tuned=True),
        }
        title = f"MAE, ViT {width} wide, patches of {patch}, {side} x {side}"
        yield from race(title, BATCH, sides, TARGETS)


def build_ours(place: Path, side: int) -> Callable[[], object]:
    """Our transformer of the same size."""
    from tassl.methods.mae import MaskedAutoencoder
    from tassl.networks.vit import VisionTransformer

    patch, width, heads = NETWORKS[side]
    encoder = VisionTransformer(2, 1, patch=patch, embed=width, depth=DEPTH, heads=heads)
    augment = ours.view_drawer("ultrasound", strong=False)
    return ours.train(place, BATCH, MaskedAutoencoder(encoder, augment=augment, ratio=RATIO))


def build_lightly(place: Path, side: int, *, tuned: bool = False) -> Any:
    """The example of lightly's documentation, with a restorer of our size."""
    from lightly.data import LightlyDataset
    from lightly.transforms import MAETransform

    images = LightlyDataset(str(place / "pictures"), transform=MAETransform(input_size=side))
    model = LightlyMAE(side)
    return train_peer(
        model, images, lambda batch: batch[0], lambda loss: loss, BATCH, rate=1.5e-4, tuned=tuned
    )


class LightlyMAE(nn.Module):
    """Images to loss, put together of lightly's parts."""

    def __init__(self, side: int) -> None:
        super().__init__()
        from lightly.models.modules import (
            MaskedVisionTransformerDecoderTIMM,
            MaskedVisionTransformerTIMM,
        )
        from timm.models.vision_transformer import VisionTransformer

        self.patch, width, heads = NETWORKS[side]
        vit = VisionTransformer(
            img_size=side, patch_size=self.patch, embed_dim=width, depth=DEPTH,
            num_heads=heads, num_classes=0,
        )  # fmt: skip
        self.backbone = MaskedVisionTransformerTIMM(vit)
        self.narrow = nn.Linear(width, RESTORER["embed_dim"])
        self.restore = MaskedVisionTransformerDecoderTIMM((side // self.patch) ** 2, **RESTORER)
        self.paint = nn.Linear(RESTORER["embed_dim"], 3 * self.patch**2)

    def forward(self, images: Tensor) -> Tensor:
        """Mean squared error over the hidden patches."""
        from lightly.models import utils

        size = (len(images), self.backbone.sequence_length)
        keep, hidden = utils.random_token_mask(size, mask_ratio=RATIO)
        seen = self.narrow(self.backbone.encode(images, idx_keep=keep))
        tokens = utils.repeat_token(self.restore.mask_token, size)
        tokens = utils.set_at_index(tokens, keep, seen.to(tokens.dtype))
        restored = self.paint(utils.get_at_index(self.restore(tokens), hidden))
        patches = utils.patchify(images.contiguous(), self.patch)
        return nn.functional.mse_loss(restored.float(), utils.get_at_index(patches, hidden - 1))
