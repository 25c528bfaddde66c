"""Pretrain one method and write its folder; resume where that is possible."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytorch_lightning as lightning
import torch

from tassl.checkpoint import Checkpoint, Recipe, build_encoder, load_checkpoint, save_checkpoint
from tassl.data.files import write_arrays
from tassl.data.tensors import Tensors
from tassl.errors import OptionError
from tassl.health import Epoch
from tassl.methods import METHODS, MethodCard
from tassl.modality.base import Augmentation, ModalityProfile
from tassl.networks import NETWORKS
from tassl.optimisation import hold_memory, precision
from tassl.pretraining.history import RESUME, History, write_history
from tassl.pretraining.learner import Learner
from tassl.pretraining.positives import Partners
from tassl.pretraining.ranks import ALONE, Ranks, build_trainer, collect_weights, ending_together
from tassl.pretraining.schedule import Schedule
from tassl.registry import look_up
from tassl.transforms.augment import Augment, patch_of

PICTURED_IMAGES = 6
EXAMPLES = "examples.npz"


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
    ranks: Ranks = ALONE,
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
        ranks: Processes that share every batch; each calls this function, the first one writes.

    Raises:
        OptionError: The batch is below what the method needs, there are too few images, or the
            processes cannot share a batch evenly.
        LostProcess: Another process ended.
    """
    card = look_up(METHODS, method, "method")
    if (folder / "checkpoint.json").exists():
        return load_checkpoint(folder)
    _check_fit(card, recipe)
    if len(rows) < max(2, card.smallest_batch) or schedule.batch < card.smallest_batch:
        raise OptionError(
            f"{card.title} needs at least {max(2, card.smallest_batch)} images in a batch; "
            f"{len(rows)} images at batch {schedule.batch} came. Give more images or use 'mae'."
        )
    if schedule.batch % ranks.count or len(rows) < ranks.count:
        raise OptionError(
            f"--batch is {schedule.batch}, of {len(rows)} images; wanted a multiple of the "
            f"{ranks.count} processes that share it. Change --batch or --devices."
        )
    torch.manual_seed(schedule.seed)
    encoder = build_encoder(recipe)
    kind = card.load()
    patch = patch_of(recipe.shape)
    augment = Augment(views if card.strong_views else views.mild(), patch, tensors.normalisation)
    options = kind.fitting(profile.masking, patch or recipe.shape)
    partners = Partners(tensors.store.table, rows, profile.positives)
    objective = kind(encoder, augment=augment, **options)
    learner = Learner(objective, tensors, rows, schedule, partners)
    recipe = replace(recipe, method=method)
    folder.mkdir(parents=True, exist_ok=True)
    history = History(folder, on_epoch, schedule.epochs, card.steady_loss)
    with ending_together(ranks):
        trainer = _train(learner, folder, history, ranks)
        if trainer.is_global_zero:
            _write(folder, learner, history, recipe)
        trainer.strategy.barrier()
    return load_checkpoint(folder)


def _write(folder: Path, learner: Learner, history: History, recipe: Recipe) -> None:
    """Everything that the pretraining leaves; the checkpoint last."""
    write_history(folder, history)
    _write_examples(folder, learner)
    partners, trainer = learner.partners, learner.trainer
    facts = asdict(learner.schedule) | {
        "images": len(learner.rows),
        "paired": len(partners.choices) if partners else 0,
        "data": learner.tensors.store.digest,
        "processes": trainer.world_size,
    }
    done = replace(
        recipe,
        method_options=learner.method.options,
        training=facts | {"precision": precision()},
        decoder=learner.method.decoder is not None,
    )
    save_checkpoint(folder, learner.method.encoder, learner.method.decoder, done)
    (folder / RESUME).unlink(missing_ok=True)


def _check_fit(card: MethodCard, recipe: Recipe) -> None:
    """Refuse a method that cannot work on this network or on images of these dimensions."""
    if recipe.dims not in card.dims:
        raise OptionError(
            f"{card.title} works on {card.dims[0]}D images; these are {recipe.dims}D. "
            "Choose another --method."
        )
    if reason := card.known_failures.get(recipe.network):
        fit = next(name for name in NETWORKS if name not in card.known_failures)
        raise OptionError(
            f"{card.title} does not work on network {recipe.network!r}: {reason}. "
            f"Use --network {fit}."
        )


def _train(learner: Learner, folder: Path, history: History, ranks: Ranks) -> lightning.Trainer:
    hold_memory()
    plain = deepcopy(learner.method) if ranks.strategy == "fsdp" else learner.method
    resume = folder / RESUME
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        trainer = build_trainer(
            ranks,
            learner.method,
            max_epochs=learner.schedule.epochs,
            gradient_clip_val=1.0,
            callbacks=[history],
        )
        with _plain_interrupts():
            trainer.fit(learner, ckpt_path=resume if resume.exists() else None)
    learner.method = collect_weights(learner.method, plain)
    learner.cpu()
    return trainer


@contextmanager
def _plain_interrupts() -> Iterator[None]:
    """Lightning turns Ctrl-C into an exit and ignores every later one; undo both."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            signal.signal(signal.SIGINT, handler)
            raise KeyboardInterrupt from None
        raise


@torch.no_grad()
def _write_examples(folder: Path, learner: Learner) -> None:
    """Pictures of what the pretext asks, for the report."""
    method, rows = learner.method, learner.rows[:PICTURED_IMAGES]
    batch = learner.batch_of(learner.load(rows, -1), -1)
    shown = method.picture(method.views(batch))
    pictures = {name: picture.float().numpy() for name, picture in shown.items()}
    write_arrays(folder / EXAMPLES, {"image": batch.images.numpy()} | pictures)
