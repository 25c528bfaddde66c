"""A pretext method as Lightning trains it, on batches that hang on seed and epoch only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

from tassl.data.tensors import Tensors
from tassl.health import measure_features
from tassl.methods.base import Batch, Method
from tassl.optimisation import autocast, precision
from tassl.pretraining.parts import loss_in_parts
from tassl.pretraining.positives import Partners
from tassl.pretraining.schedule import Schedule
from tassl.transforms.draws import seeded

PROBED_IMAGES = {2: (48, 256), 3: (16, 48)}  # fewest and most, by dimensions
PROBED_SHARE = 8  # one image in so many, since every epoch is probed


class Learner(lightning.LightningModule):
    """Lets a `Method` be trained by Lightning."""

    def __init__(
        self,
        method: Method,
        tensors: Tensors,
        rows: np.ndarray,
        schedule: Schedule,
        partners: Partners | None = None,
    ) -> None:
        super().__init__()
        self.partners = partners
        self.method, self.tensors, self.rows, self.schedule = method, tensors, rows, schedule
        self.steps_per_epoch = max(1, len(rows) // schedule.batch)
        self.groups = torch.from_numpy(pd.factorize(tensors.store.table.subject)[0])

    def train_dataloader(self) -> DataLoader:
        """Batches in an order that depends on seed and epoch only."""
        batches = _Batches(self.rows, self.schedule)
        return DataLoader(_Rows(self.tensors), sampler=batches, batch_size=None)

    def configure_optimizers(self) -> Any:
        """AdamW; the schedule, which an early stop may change, sets the rate step by step."""
        plan = self.schedule
        trained = [weight for weight in self.method.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(
            trained,
            lr=plan.learning_rate,
            weight_decay=plan.weight_decay,
            fused=precision() != "16-mixed",  # which scales gradients
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
        """Clip the norm, which Lightning refuses to do for every fused optimiser."""
        if gradient_clip_val:
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def batch_of(self, images: torch.Tensor, rows: torch.Tensor, *counters: int) -> Batch:
        """A batch whose randomness hangs on the counters alone."""
        rng = seeded(self.schedule.seed, *counters, device=images.device)
        groups = self.groups[rows.cpu()].to(images.device)
        return Batch(images, rows, rng, groups, self._draw_partners(rows, counters, images.device))

    def _draw_partners(
        self, rows: torch.Tensor, counters: tuple[int, ...], place: torch.device
    ) -> torch.Tensor | None:
        if not self.partners:
            return None
        rng = np.random.default_rng((self.schedule.seed, *[count + 1 for count in counters]))
        return self.tensors.images(self.partners.draw(rows.cpu().numpy(), rng)).to(place)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], number: int) -> torch.Tensor:
        """Views in full precision, loss in the trainer's."""
        images, rows = batch
        steps = self.steps_per_epoch * self.schedule.epochs
        self.method.progress = (self.current_epoch * self.steps_per_epoch + number) / steps
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            views = self.method.views(self.batch_of(images, rows, self.current_epoch, number))
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
        with autocast():
            parts = [self.method.encoder(part.to(self.device)) for part in images.split(size)]
        return torch.cat(parts)

    def probe(self) -> tuple[float, float]:
        """Spread and effective rank of the features of a fixed sample of images."""
        return measure_features(self.encode(self.probed))


class _Rows(Dataset):
    """Whole batches by their row numbers."""

    def __init__(self, tensors: Tensors) -> None:
        self.tensors = tensors

    def __getitem__(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        return self.tensors.images(rows), torch.from_numpy(rows)


class _Batches(Sampler):
    """Row numbers of each batch, shuffled by seed and epoch; a last part batch is dropped."""

    def __init__(self, rows: np.ndarray, schedule: Schedule) -> None:
        self.rows, self.schedule, self.epoch = rows, schedule, 0

    def __len__(self) -> int:
        return max(1, len(self.rows) // self.schedule.batch)

    def __iter__(self) -> Iterator[np.ndarray]:
        order = np.random.default_rng((self.schedule.seed, self.epoch)).permutation(self.rows)
        for k in range(len(self)):
            yield np.sort(order[k * self.schedule.batch : (k + 1) * self.schedule.batch])

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch, also after a resume."""
        self.epoch = epoch
