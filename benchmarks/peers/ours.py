"""Our own step, and networks of other libraries under our contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.peers.images import open_tensors
from tassl.methods.base import Method
from tassl.modality import MODALITIES
from tassl.networks.base import Encoder
from tassl.optimisation import autocast, hold_memory
from tassl.pretraining.learner import Learner
from tassl.pretraining.schedule import Schedule
from tassl.transforms.augment import Augment


class Borrowed(Encoder):
    """A network of another library.

    Args:
        network: Images to one map.
        dims: Spatial dimensions.
        width: Channels of the map.
        stride: Pixels per cell of the map.
        memory: Layout in which the network is fastest.
    """

    def __init__(
        self,
        network: nn.Module,
        dims: int,
        width: int,
        stride: int,
        memory: torch.memory_format = torch.contiguous_format,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=memory)  # type: ignore[call-overload]
        self.dims, self.channels, self.memory = dims, 1, memory
        self.widths, self.strides, self.options = (width,), (stride,), {}

    @classmethod
    def sized(cls, dims: int, channels: int, space: tuple[int, ...]) -> Self:
        """Not called: the network is given."""
        raise NotImplementedError

    def features(self, images: Tensor) -> list[Tensor]:
        """One level."""
        return [self.network(images.contiguous(memory_format=self.memory))]


def view_drawer(modality: str, *, strong: bool) -> Augment:
    """Our views as shipped."""
    ranges = MODALITIES[modality].load().augmentation("global")
    return Augment(ranges if strong else ranges.mild())


def train(place: Path, batch: int, method: Method) -> Callable[[], object]:
    """A step as the pretraining loop takes it."""
    hold_memory()
    tensors = open_tensors(place)
    rows = np.arange(len(tensors.store.images))
    learner = Learner(method, tensors, rows, Schedule(1000, batch))
    optimizer = learner.configure_optimizers()["optimizer"]
    batches = _serve(learner)

    def step() -> None:
        images, rows = next(batches)
        optimizer.zero_grad()
        with autocast():
            loss = learner.training_step((images, rows), 0)
        loss.backward()
        nn.utils.clip_grad_norm_(method.parameters(), 1.0)
        optimizer.step()
        method.after_step()

    return step


def _serve(learner: Learner) -> Iterator[tuple[Tensor, Tensor]]:
    loader = learner.train_dataloader()
    for epoch in count():
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        yield from loader
