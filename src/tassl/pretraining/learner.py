"""A pretext method as Lightning trains it, on batches that hang on seed and epoch only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as lightning
import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.utils.data import DataLoader, Dataset, Sampler

from tassl.data.tensors import Tensors
from tassl.errors import InputError
from tassl.health import measure_features
from tassl.methods.base import Batch, Method
from tassl.optimisation import autocast, precision
from tassl.pretraining.growing import Loaded, halve
from tassl.pretraining.parts import loss_in_parts
from tassl.pretraining.positives import Partners, find_places
from tassl.pretraining.ranks import shard_weights, whole_weights
from tassl.pretraining.schedule import Schedule
from tassl.transforms.draws import seeded

PROBED_IMAGES = {2: (48, 256), 3: (16, 48)}  # fewest and most, by dimensions
PROBED_SHARE = 8  # one image in so many, since every epoch is probed


class Learner(lightning.LightningModule):
    """Lets a `Method` be trained by Lightning.

    Args:
        method: What is trained.
        tensors: The images.
        rows: Rows to train on.
        schedule: Epochs, batch, rates and seed.
        partners: Natural positives, if there are any.
    """

    groups: torch.Tensor
    places: torch.Tensor

    def __init__(
        self,
        method: Method,
        tensors: Tensors,
        rows: np.ndarray,
        schedule: Schedule,
        partners: Partners | None = None,
    ) -> None:
        super().__init__()
        self.partners = partners or None
        self.method, self.tensors, self.rows, self.schedule = method, tensors, rows, schedule
        self.steps_per_epoch = max(1, len(rows) // schedule.batch)
        groups = torch.from_numpy(pd.factorize(tensors.store.table.subject)[0])
        self.register_buffer("groups", groups, persistent=False)
        places = torch.from_numpy(find_places(tensors.store.table))
        self.register_buffer("places", places, persistent=False)

    def train_dataloader(self) -> DataLoader:
        """Each process's share of the batches, in an order that hangs on seed and epoch only."""
        shares = _Shares(self.rows, self.schedule, self.global_rank, self.trainer.world_size)
        pinned = self.device.type == "cuda"
        return DataLoader(_Rows(self), sampler=shares, batch_size=None, pin_memory=pinned)

    def configure_model(self) -> None:
        """Share the weights out, where the strategy asks for it; Lightning may call this twice."""
        if self.device_mesh is not None and not isinstance(self.method, FSDPModule):
            shard_weights(self.method, self.device_mesh["data_parallel"])

    def on_fit_start(self) -> None:
        """All processes hold the same images.

        Raises:
            InputError: This one holds others than the first, after a change while it waited.
        """
        digest = self.tensors.store.digest
        if self.trainer.strategy.broadcast(digest) != digest:
            raise InputError(
                f"Process {self.global_rank} read other images than the first one, which prepared "
                "them anew. Start the same command again."
            )

    def configure_optimizers(self) -> Any:
        """AdamW; the schedule, which an early stop may change, sets the rate step by step."""
        plan = self.schedule
        trained = [weight for weight in self.method.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(
            trained,
            lr=plan.learning_rate,
            weight_decay=plan.weight_decay,
            # fp16 scales gradients; shares of weights are left to torch's plain form
            fused=precision() != "16-mixed" and not isinstance(self.method, FSDPModule),
        )
        rate = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self.schedule.share(step, self.steps_per_epoch)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm, which Lightning refuses to do for every fused optimiser.

        The gradients are averaged over the processes by then; of shared-out weights torch takes
        the norm over all shares.
        """
        if gradient_clip_val:
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def load(self, rows: np.ndarray, *counters: int) -> Loaded:
        """Images of these rows, and partners of theirs whose draw hangs on the counters alone."""
        images, partners = self.tensors.images(rows), None
        if self.partners:
            rng = np.random.default_rng((self.schedule.seed, *[count + 1 for count in counters]))
            partners = self.tensors.images(self.partners.draw(rows, rng))
        return images, torch.from_numpy(rows), partners

    def batch_of(self, loaded: Loaded, *counters: int) -> Batch:
        """A batch whose randomness hangs on the counters alone."""
        images, rows, partners = loaded
        rng = seeded(self.schedule.seed, *counters, device=images.device)
        return Batch(images, rows, rng, self.groups[rows], partners, self.places[rows])

    def training_step(self, batch: Loaded, number: int) -> torch.Tensor:
        """Views in full precision, loss in the trainer's."""
        steps = self.steps_per_epoch * self.schedule.epochs
        self.method.progress = (self.current_epoch * self.steps_per_epoch + number) / steps
        if self.method.progress < self.schedule.grow:
            batch = halve(batch)
        counters = mark((self.current_epoch, number), self.global_rank)
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            views = self.method.views(self.batch_of(batch, *counters))
        return loss_in_parts(self.method, views, self.schedule.parts)

    def on_train_start(self) -> None:
        """After a change of the batch size the steps behind count as steps of the new size."""
        rates: Any = self.lr_schedulers()
        rates.last_epoch = self.current_epoch * self.steps_per_epoch

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Moving-average teachers follow."""
        self.method.after_step()

    @property
    def kept_parts(self) -> nn.ModuleList:
        """The parts that make up the checkpoint."""
        parts = (self.method.encoder, self.method.decoder)
        return nn.ModuleList(part for part in parts if part is not None)

    def copy_kept(self) -> dict[str, torch.Tensor]:
        """A copy of the weights that make up the checkpoint, whole; all processes take part."""
        parts = self.kept_parts
        names = list(parts.state_dict())  # asked first, since asking shares weights out again
        with whole_weights(self.method):
            held = dict(parts.named_parameters(remove_duplicate=False))
            held |= dict(parts.named_buffers(remove_duplicate=False))
            return {name: held[name].detach().clone() for name in names}

    @property
    def probed(self) -> torch.Tensor:
        """A fixed sample of the images."""
        fewest, most = PROBED_IMAGES[self.tensors.store.dims]
        count = min(most, max(fewest, len(self.rows) // PROBED_SHARE))
        return self.tensors.images(self.rows[:: max(1, len(self.rows) // count)][:count])

    @torch.no_grad()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Features (image, width), a batch at a time."""
        size = max(1, self.schedule.batch // self.schedule.parts)
        with autocast(), whole_weights(self.method):
            parts = [self.method.encoder(part.to(self.device)) for part in images.split(size)]
        return torch.cat(parts)

    def probe(self) -> tuple[float, float]:
        """Spread and effective rank of the features of a fixed sample of images."""
        return measure_features(self.encode(self.probed))


def mark(counters: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """Counters of one process's random numbers; the first draws as a single process does."""
    return (*counters, rank) if rank else counters


class _Rows(Dataset):
    """Whole batches, by their row numbers and counters."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner

    def __getitem__(self, chosen: tuple[np.ndarray, tuple[int, ...]]) -> Loaded:
        rows, counters = chosen
        return self.learner.load(rows, *counters)


class _Shares(Sampler):
    """One process's rows of each batch, shuffled by seed and epoch, and the batch's counters.

    A last part batch is dropped, and what cannot be shared out evenly.
    """

    def __init__(self, rows: np.ndarray, schedule: Schedule, rank: int = 0, ranks: int = 1) -> None:
        self.rows, self.schedule, self.epoch = rows, schedule, 0
        self.rank, self.share = rank, min(schedule.batch, len(rows)) // ranks

    def __len__(self) -> int:
        return max(1, len(self.rows) // self.schedule.batch)

    def __iter__(self) -> Iterator[tuple[np.ndarray, tuple[int, ...]]]:
        order = np.random.default_rng((self.schedule.seed, self.epoch)).permutation(self.rows)
        own = slice(self.rank * self.share, (self.rank + 1) * self.share)
        for k in range(len(self)):
            batch = np.sort(order[k * self.schedule.batch : (k + 1) * self.schedule.batch])
            yield batch[own], mark((self.epoch, k), self.rank)

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch, also after a resume."""
        self.epoch = epoch
