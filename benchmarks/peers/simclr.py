"""SimCLR with a ResNet-18: lightly's and stable-pretraining's examples beside ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.figures import Figure
from benchmarks.peers import ours
from benchmarks.peers.images import write_images
from benchmarks.peers.racing import OURS, race

BATCHES = {64: 64, 128: 32}
TARGETS = {
    64: {"lightly as shipped": 2.2, "lightly tuned": 1.15, "stable-pretraining as shipped": 2.5},
    128: {"lightly as shipped": 2.7, "lightly tuned": 1.15, "stable-pretraining as shipped": 2.5},
}


def measure(folder: Path) -> Iterator[Figure]:
    """At 64 and 128 pixels a side."""
    for side, batch in BATCHES.items():
        place = write_images(folder, 2, side)
        sides = {
            OURS: partial(build_ours, place, batch),
            "lightly as shipped": partial(build_lightly, place, batch, side),
            "lightly tuned": partial(build_lightly, place, batch, side, tuned=True),
            "stable-pretraining as shipped": partial(build_stable, place, batch, side),
        }
        yield from race(f"SimCLR, ResNet-18, {side} x {side}", batch, sides, TARGETS[side])


def build_ours(place: Path, batch: int) -> Callable[[], object]:
    """ResNet-18 of torchvision with a native single channel."""
    from tassl.methods.simclr import SimCLR

    network = _resnet()[:-1]
    network[0] = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    encoder = ours.Borrowed(network, 2, 512, 32, torch.channels_last)
    method = SimCLR(encoder, augment=ours.view_drawer("ultrasound", strong=True))
    return ours.train(place, batch, method)


def build_lightly(place: Path, batch: int, side: int, *, tuned: bool = False) -> Any:
    """The example of lightly's documentation."""
    from lightly.data import LightlyDataset
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform

    model = nn.Sequential(_resnet(), nn.Flatten(), SimCLRProjectionHead(512, 512, 128))
    images = LightlyDataset(str(place / "pictures"), transform=SimCLRTransform(input_size=side))
    return train_peer(
        model, images, lambda batch: batch[0], NTXentLoss(), batch, rate=0.06, tuned=tuned
    )


def build_stable(place: Path, batch: int, side: int) -> Any:
    """The views of stable-pretraining's example, with its own method."""
    from stable_pretraining.data import FromTorchDataset, transforms
    from stable_pretraining.methods import SimCLR
    from torchvision.datasets import ImageFolder

    view = transforms.Compose(
        transforms.RGB(),
        transforms.RandomResizedCrop((side, side), scale=(0.2, 1.0)),
        transforms.RandomHorizontalFlip(p=0.5),
        transforms.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
        transforms.RandomGrayscale(p=0.2),
        transforms.PILGaussianBlur(p=0.5),
        transforms.ToImage(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    )
    images = FromTorchDataset(
        ImageFolder(str(place / "pictures")),
        names=["image", "label"],
        transform=transforms.MultiViewTransform([view, view]),
    )
    network = nn.Sequential(_resnet(), nn.Flatten())
    model = SimCLR(network, projector_dims=(512, 128))

    def read(batch: dict) -> list[Tensor]:
        return [one["image"] for one in batch["views"]]

    return train_peer(model, images, read, None, batch, rate=0.06)


def train_peer(
    model: nn.Module,
    images: Any,
    read: Callable[[Any], list[Tensor]],
    criterion: Callable[..., Tensor] | None,
    batch: int,
    *,
    rate: float,
    tuned: bool = False,
) -> Callable[[], object]:
    """A step as lightly's example takes it: each view through the model, then the criterion.

    Args:
        model: Views to projections, or to an output with a loss where there is no criterion.
        images: A dataset of views.
        read: Takes the views out of a batch.
        criterion: Projections to the loss.
        batch: Images per step.
        rate: Learning rate.
        tuned: Whether to turn on bf16 and channels-last.
    """
    layout = torch.channels_last if tuned else torch.contiguous_format
    model = model.to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    loader = torch.utils.data.DataLoader(images, batch, shuffle=True, drop_last=True)
    batches = (item for _ in cycle([0]) for item in loader)

    def step() -> None:
        views = [view.contiguous(memory_format=layout) for view in read(next(batches))]
        with torch.autocast("cpu", torch.bfloat16, enabled=tuned):
            if criterion is None:
                loss = model(*views).loss
            else:
                loss = criterion(*[model(view) for view in views])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _resnet() -> nn.Sequential:
    import torchvision

    return nn.Sequential(*list(torchvision.models.resnet18().children())[:-1])
