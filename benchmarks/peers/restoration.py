"""Restoration of volumes: MONAI's self-supervised tutorial beside ours.

The tutorial restores two corrupted copies of each volume, and adds a contrast between both to the
error of the first (`two copies`); ours restores one, as Models Genesis does. `one copy` is the
tutorial without the second and its contrast: the same work as ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.figures import Figure
from benchmarks.peers import ours
from benchmarks.peers.images import write_images
from benchmarks.peers.racing import OURS, race

SIDE, BATCH = 64, 4
TARGETS = {"MONAI, two copies": 3.5, "MONAI, one copy, tuned": 1.15}


def measure(folder: Path) -> Iterator[Figure]:
    """MONAI's 3D U-Net on both sides."""
    place = write_images(folder, 3, SIDE)
    sides = {
        OURS: partial(build_ours, place),
        "MONAI, two copies": partial(build_monai, place, copies=2),
        "MONAI, one copy": partial(build_monai, place, copies=1),
        "MONAI, one copy, tuned": partial(build_monai, place, copies=1, tuned=True),
    }
    yield from race(f"restoration, 3D U-Net, {SIDE} x {SIDE} x {SIDE}", BATCH, sides, TARGETS)


def build_network(outer: int) -> nn.Module:
    """The U-Net of MONAI's tutorials on volumes."""
    from monai.networks.nets import UNet

    return UNet(3, 1, outer, (16, 32, 64, 128, 256), (2, 2, 2, 2), num_res_units=2)


def build_ours(place: Path) -> Callable[[], object]:
    """Models Genesis; a last layer of one weight per channel paints the image."""
    from tassl.methods.genesis import ModelsGenesis

    encoder = ours.Borrowed(build_network(1), 3, 1, 1, torch.channels_last_3d)
    augment = ours.view_drawer("mri", strong=False)
    return ours.train(place, BATCH, ModelsGenesis(encoder, augment=augment))


def build_monai(place: Path, *, copies: int, tuned: bool = False) -> Callable[[], object]:
    """The tutorial's corruptions, losses and optimiser, after all that can be cached."""
    from monai.data import CacheDataset, DataLoader
    from monai.losses import ContrastiveLoss
    from monai.transforms import Compose

    names = ["image", "image_2"][:copies]
    files = [{"image": str(file)} for file in sorted((place / "pictures" / "all").iterdir())]
    images = CacheDataset(files, Compose(_prepare(names)), progress=False, num_workers=1)
    loader = DataLoader(images, batch_size=BATCH, shuffle=True)
    layout = torch.channels_last_3d if tuned else torch.contiguous_format
    model = build_network(1).to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    restore, contrast = nn.L1Loss(), ContrastiveLoss(temperature=0.05)
    batches = (item for _ in cycle([0]) for item in loader)

    def step() -> None:
        batch = next(batches)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=tuned):
            inputs = [batch[name].contiguous(memory_format=layout) for name in names]
            restored = [model(image).float() for image in inputs]
        loss = restore(restored[0], batch["truth"])
        if copies == 2:
            loss = loss * (1 + contrast(*[one.flatten(1) for one in restored]))
        loss.backward()
        optimizer.step()

    return step


def _prepare(names: list[str]) -> list[Any]:
    from monai import transforms as t

    changes: list[Any] = []
    for name in names:
        small = t.RandCoarseDropoutd(
            name, prob=1.0, holes=6, spatial_size=5, dropout_holes=True, max_spatial_size=32
        )
        large = t.RandCoarseDropoutd(
            name, prob=1.0, holes=6, spatial_size=20, dropout_holes=False, max_spatial_size=64
        )
        changes += [
            t.OneOf([small, large]),
            t.RandCoarseShuffled(name, prob=0.8, holes=10, spatial_size=8),
        ]
    return [
        t.LoadImaged("image"),
        t.EnsureChannelFirstd("image"),
        t.ScaleIntensityd("image"),
        t.RandSpatialCropd("image", roi_size=(SIDE,) * 3, random_size=False),
        t.CopyItemsd("image", times=2, names=["truth", "image_2"]),
        *changes,
    ]
