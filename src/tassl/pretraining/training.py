"""A learner from its recipe, trained to the end of its schedule."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from tassl.checkpoint import Recipe, build_encoder
from tassl.data.tensors import Tensors
from tassl.methods import METHODS
from tassl.modality.base import Augmentation, ModalityProfile
from tassl.optimisation import hold_memory
from tassl.pretraining.learner import Learner
from tassl.pretraining.positives import Partners
from tassl.pretraining.ranks import ALONE, Ranks, build_trainer, collect_weights
from tassl.pretraining.schedule import Schedule
from tassl.transforms.augment import Augment, patch_of

PICTURED_IMAGES = 6


def build_learner(
    tensors: Tensors,
    rows: np.ndarray,
    *,
    method: str,
    recipe: Recipe,
    profile: ModalityProfile,
    views: Augmentation,
    schedule: Schedule,
    options: Mapping[str, Any] | None = None,
) -> Learner:
    """What `pretrain_method` trains, with fresh weights from the schedule's seed."""
    card = METHODS[method]
    torch.manual_seed(schedule.seed)
    encoder = build_encoder(recipe)
    encoder.recompute = schedule.recompute
    kind = card.load()
    patch = patch_of(recipe.shape)
    if schedule.window:
        patch = tuple(min(schedule.window, size) for size in recipe.shape)
    augment = Augment(views if card.strong_views else views.mild(), patch, tensors.normalisation)
    fitting = kind.fitting(profile, patch or recipe.shape)
    partners = Partners(tensors.store.table, rows, profile.positives)
    objective = kind(encoder, augment=augment, **{**fitting, **(options or {})})
    return Learner(objective, tensors, rows, schedule, partners)


def train(
    learner: Learner, state: Path | None, watch: lightning.Callback, ranks: Ranks = ALONE
) -> lightning.Trainer:
    """Train to the end of the schedule, from a state that was saved if one is given."""
    hold_memory()
    plain = deepcopy(learner.method) if ranks.strategy == "fsdp" else learner.method
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        trainer = build_trainer(
            ranks,
            learner.method,
            max_epochs=learner.schedule.epochs,
            gradient_clip_val=1.0,
            callbacks=[watch],
        )
        with _plain_interrupts():
            trainer.fit(learner, ckpt_path=state)
    learner.method = collect_weights(learner.method, plain)
    learner.cpu()
    return trainer


@contextmanager
def _plain_interrupts() -> Iterator[None]:
    """Lightning turns Ctrl-C into an exit and ignores every later one; undo both.

    An order to end, as clusters give it, becomes an exit too, and one that looks like success.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            signal.signal(signal.SIGINT, handler)
            raise KeyboardInterrupt from None
        if isinstance(stop, SIGTERMException):
            words = "tassl: told to end (SIGTERM). Give the same command again: it goes on."
            raise SystemExit(words) from None
        raise


@torch.no_grad()
def picture_examples(learner: Learner) -> dict[str, np.ndarray]:
    """Images and pictures of what the pretext asks, by caption; few where memory is short."""
    method, plan = learner.method, learner.schedule
    most = PICTURED_IMAGES if plan.parts == 1 else max(1, plan.batch // plan.parts)
    rows = learner.rows[: min(PICTURED_IMAGES, most)]
    batch = learner.batch_of(learner.load(rows, -1), -1)
    shown = method.picture(method.views(batch))
    pictures = {name: picture.float().numpy() for name, picture in shown.items()}
    return {"image": batch.images.numpy()} | pictures
