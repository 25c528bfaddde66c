"""The one pretraining loop: a method, an encoder and unlabelled images in, a checkpoint out."""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from tassl.checkpoint import Checkpoint, Recipe, build_encoder, load_checkpoint, save_checkpoint
from tassl.data.tensors import Tensors
from tassl.errors import OptionError
from tassl.health import Epoch, judge, measure_features
from tassl.methods import METHODS
from tassl.methods.base import Batch, Method
from tassl.modality.base import Augmentation, ModalityProfile
from tassl.optimisation import cosine_share, precision
from tassl.registry import look_up
from tassl.transforms.augment import Augment
from tassl.transforms.draws import seeded

PROBED_IMAGES = 256
SECONDS_BETWEEN_SAVES = 10.0
PICTURED_IMAGES = 6
EXAMPLES, HISTORY, HEALTH, RESUME = "examples.npz", "history.csv", "health.json", "resume.ckpt"


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Args:
        epochs: Passes over the images.
        batch: Images per step.
        learning_rate: Peak of the cosine schedule.
        weight_decay: Decoupled decay of the weights.
        warmup: Share of the steps in which the rate rises.
        seed: Of initialisation, order, augmentation and masks.
    """

    epochs: int
    batch: int
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    seed: int = 0


def default_schedule(images: int, dims: int, seed: int, smallest_batch: int = 1) -> Schedule:
    """A schedule for a small machine: about 80,000 views in 2D, 6,000 in 3D.

    Small sets are seen up to 200 times in 2D and 40 times in 3D; large ones at least ten times.
    """
    views, most, batch = (80_000, 200, 128) if dims == 2 else (6_000, 40, 8)
    epochs = min(most, max(10, round(views / max(1, images))))
    batch = max(min(batch, images // 4), min(images, smallest_batch), 1)
    return Schedule(epochs, batch, seed=seed)


def pretrain_method(
    tensors: Tensors,
    rows: np.ndarray,
    *,
    method: str,
    recipe: Recipe,
    profile: ModalityProfile,
    views: Augmentation,
    schedule: Schedule,
    folder: Path,
    on_epoch: Callable[[Epoch], None] = lambda line: None,
) -> Checkpoint:
    """Pretrain one method and write its folder; resume or return at once where that is possible.

    Args:
        tensors: The images.
        rows: Rows to train on; never those of test subjects.
        method: Key in `METHODS`.
        recipe: Network and image facts; method and training are filled in here.
        profile: The modality, for masking defaults.
        views: Strong augmentation ranges; methods that want mild views get them milder.
        schedule: Epochs, batch, rates and seed.
        folder: Gets checkpoint, history.csv, health.json and examples.npz.
        on_epoch: Called after each epoch.

    Raises:
        OptionError: The batch is below what the method needs, or there are too few images.
    """
    card = look_up(METHODS, method, "method")
    if (folder / "checkpoint.json").exists():
        return load_checkpoint(folder)
    if len(rows) < max(2, card.smallest_batch) or schedule.batch < card.smallest_batch:
        raise OptionError(
            f"{card.title} needs at least {max(2, card.smallest_batch)} images in a batch; "
            f"{len(rows)} images at batch {schedule.batch} came. Give more images or use 'mae'."
        )
    torch.manual_seed(schedule.seed)
    encoder = build_encoder(recipe)
    kind = card.load()
    augment = Augment(views if card.strong_views else views.mild())
    options = kind.fitting(profile.masking, recipe.shape)
    learner = Learner(kind(encoder, augment=augment, **options), tensors, rows, schedule)
    folder.mkdir(parents=True, exist_ok=True)
    history = _train(learner, folder, on_epoch)
    _write_history(folder, history)
    _write_examples(folder, learner)
    facts = asdict(schedule) | {"images": len(rows), "data": tensors.store.digest}
    done = replace(
        recipe,
        method=method,
        method_options=learner.method.options,
        training=facts | {"precision": precision()},
        decoder=learner.method.decoder is not None,
    )
    save_checkpoint(folder, learner.method.encoder, learner.method.decoder, done)
    (folder / RESUME).unlink(missing_ok=True)
    return load_checkpoint(folder)


class Learner(lightning.LightningModule):
    """Lets a `Method` be trained by Lightning."""

    def __init__(
        self, method: Method, tensors: Tensors, rows: np.ndarray, schedule: Schedule
    ) -> None:
        super().__init__()
        self.method, self.tensors, self.rows, self.schedule = method, tensors, rows, schedule
        self.steps_per_epoch = max(1, len(rows) // schedule.batch)

    def train_dataloader(self) -> DataLoader:
        """Batches in an order that depends on seed and epoch only."""
        batches = _Batches(self.rows, self.schedule)
        return DataLoader(_Rows(self.tensors), sampler=batches, batch_size=None)

    def configure_optimizers(self) -> Any:
        """AdamW with a warm-up and a cosine, step by step."""
        plan = self.schedule
        optimizer = torch.optim.AdamW(
            self.method.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
        )
        total = self.steps_per_epoch * plan.epochs
        rate = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: cosine_share(step, total, plan.warmup)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    def batch_of(self, images: torch.Tensor, rows: torch.Tensor, *counters: int) -> Batch:
        """A batch whose randomness hangs on the counters alone."""
        rng = seeded(self.schedule.seed, *counters, device=images.device)
        return Batch(images, rows, rng)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], number: int) -> torch.Tensor:
        """Views in full precision, loss in the trainer's."""
        images, rows = batch
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            views = self.method.views(self.batch_of(images, rows, self.current_epoch, number))
        return self.method.loss(views)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Moving-average teachers follow."""
        self.method.after_step()


class _History(lightning.Callback):
    """Keeps the history, judges health as it goes and saves a point to resume from."""

    def __init__(self, folder: Path, on_epoch: Callable[[Epoch], None]) -> None:
        self.lines: list[Epoch] = []
        self.folder, self.on_epoch = folder, on_epoch
        self.saved = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"lines": [asdict(line) for line in self.lines]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.lines = [Epoch(**line) for line in state_dict["lines"]]

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if not self.lines:
            self.lines.append(Epoch(0, math.nan, *_probe(pl_module), 0.0, 0.0))

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.started = time.monotonic()
        self.total = torch.zeros((), device=pl_module.device)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *rest: Any) -> None:
        self.total += outputs["loss"].detach()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        loss = float(self.total) / pl_module.steps_per_epoch
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        seconds = time.monotonic() - self.started
        number = trainer.current_epoch + 1
        self.lines.append(Epoch(number, loss, *_probe(pl_module), rate, seconds))
        self.on_epoch(self.lines[-1])
        if not judge(self.lines).healthy:
            trainer.should_stop = True
        elif time.monotonic() - self.saved > SECONDS_BETWEEN_SAVES:
            draft = self.folder / (RESUME + ".part")
            trainer.save_checkpoint(draft)
            os.replace(draft, self.folder / RESUME)
            self.saved = time.monotonic()


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


def _train(learner: Learner, folder: Path, on_epoch: Callable[[Epoch], None]) -> list[Epoch]:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    history = _History(folder, on_epoch)
    resume = folder / RESUME
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        trainer = lightning.Trainer(
            max_epochs=learner.schedule.epochs,
            precision=precision(),  # type: ignore[arg-type]
            devices=1,
            gradient_clip_val=1.0,
            callbacks=[history],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(learner, ckpt_path=resume if resume.exists() else None)
    learner.cpu()
    return history.lines


@torch.no_grad()
def _probe(learner: Learner) -> tuple[float, float]:
    """Spread and rank of the features of a fixed sample of images."""
    rows = learner.rows[:: max(1, len(learner.rows) // PROBED_IMAGES)][:PROBED_IMAGES]
    size = learner.schedule.batch
    parts = [
        learner.method.encoder(learner.tensors.images(rows[k : k + size]).to(learner.device))
        for k in range(0, len(rows), size)
    ]
    return measure_features(torch.cat(parts))


def _write_history(folder: Path, history: list[Epoch]) -> None:
    with (folder / HISTORY).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(Epoch)])
        writer.writerows(astuple(line) for line in history)
    (folder / HEALTH).write_text(json.dumps(asdict(judge(history)), indent=1))


@torch.no_grad()
def _write_examples(folder: Path, learner: Learner) -> None:
    """Pictures of what the pretext asks, for the report."""
    method, rows = learner.method, learner.rows[:PICTURED_IMAGES]
    images = learner.tensors.images(rows)
    batch = learner.batch_of(images, torch.from_numpy(rows), -1)
    shown = method.picture(method.views(batch))
    pictures: dict[str, Any] = {name: picture.float().numpy() for name, picture in shown.items()}
    np.savez_compressed(folder / EXAMPLES, image=images.numpy(), **pictures)
