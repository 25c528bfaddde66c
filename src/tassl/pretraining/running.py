"""Pretrain one method and write its folder; resume where that is possible."""

from __future__ import annotations

import gc
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from tassl.checkpoint import (
    SIDECAR,
    Checkpoint,
    Recipe,
    build_encoder,
    load_checkpoint,
    save_checkpoint,
)
from tassl.data.files import write_arrays
from tassl.data.tensors import Tensors
from tassl.errors import OptionError
from tassl.health import Epoch
from tassl.methods import METHODS, MethodCard
from tassl.modality.base import Augmentation, ModalityProfile
from tassl.networks import NETWORKS
from tassl.optimisation import hold_memory, precision
from tassl.pretraining.growing import check_growth
from tassl.pretraining.history import RESUME, History, find_state, stale_state, write_history
from tassl.pretraining.learner import Learner
from tassl.pretraining.positives import Partners
from tassl.pretraining.ranks import ALONE, Ranks, build_trainer, collect_weights, ending_together
from tassl.pretraining.saving import (
    follow_savings,
    list_savings,
    ran_out_of_memory,
    say_savings,
)
from tassl.pretraining.schedule import Schedule, fall_back
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
    options: Mapping[str, Any] | None = None,
    on_epoch: Callable[[Epoch], None] = lambda line: None,
    on_note: Callable[[str], None] = lambda note: None,
    reasons: Sequence[str] = (),
    ranks: Ranks = ALONE,
) -> Checkpoint:
    """Pretrain one method and write its folder; resume or return at once where that is possible.

    A run with a constant course goes on where more epochs are asked for, and then equals one that
    was planned so long from the start.
    Where memory runs out, training goes on from the epoch saved last with what needs less.

    Args:
        tensors: The images.
        rows: Rows to train on; never those of test subjects.
        method: Key in `METHODS`.
        recipe: Network and image facts; method and training are filled in here.
        profile: The modality, for what suits it.
        views: Strong augmentation ranges; methods that want mild views get them milder.
        schedule: Epochs, batch, rates and seed.
        folder: Gets checkpoint, history.csv, health.json and examples.npz.
        options: Options of the method, over those that fit the modality and the images.
        on_epoch: Called after each epoch.
        on_note: Told what was changed when memory ran out, and why.
        reasons: Why the schedule is as it is, for the checkpoint.
        ranks: Processes that share every batch; each calls this function, the first one writes.

    Raises:
        OptionError: The batch is below what the method needs, there are too few images or not
            enough memory for any of them, the processes cannot share a batch evenly, or the folder
            holds a run that cannot go on this way.
        LostProcess: Another process ended.
    """
    card, tried = look_up(METHODS, method, "method"), [schedule]
    if (folder / SIDECAR).exists():
        done = load_checkpoint(folder)
        if not _goes_on(done.recipe, schedule):
            return done
        tried = follow_savings(done.recipe.training, schedule, card, recipe.shape)
        schedule = tried[-1]
        _check_same(done.recipe, tensors, rows, method, schedule)
    check_fit(method, recipe, len(rows), schedule)
    _check_sharing(ranks, len(rows), schedule)
    folder.mkdir(parents=True, exist_ok=True)
    reasons = [*reasons, *say_savings(tried, card)]
    with ending_together(ranks):
        while True:
            learner = build_learner(
                tensors, rows, method=method, recipe=recipe, profile=profile, views=views,
                schedule=schedule, options=options,
            )  # fmt: skip
            history = History(folder, on_epoch, schedule, card)
            trainer = _train_within_memory(learner, find_state(folder, *tried), history, ranks)
            if trainer is not None:
                break
            del learner  # its activations, before the next one needs room
            schedule = _save_memory(schedule, card, recipe, reasons, on_note)
            tried.append(schedule)
        if trainer.is_global_zero:
            _write(folder, learner, history, replace(recipe, method=method), reasons)
        trainer.strategy.barrier()
    return load_checkpoint(folder)


def _write(
    folder: Path, learner: Learner, history: History, recipe: Recipe, reasons: Sequence[str]
) -> None:
    """Everything that the pretraining leaves; the checkpoint last."""
    history.finish(learner)
    write_history(folder, history)
    write_arrays(folder / EXAMPLES, picture_examples(learner))
    partners = learner.partners
    facts = asdict(history.schedule) | {
        "stopped": history.stopped,
        "kept": history.health.kept,
        "images": len(learner.rows),
        "paired": len(partners.choices) if partners else 0,
        "data": learner.tensors.store.digest,
        "processes": learner.trainer.world_size,
    }
    done = replace(
        recipe,
        method_options=learner.method.options,
        training=facts | {"precision": precision(), "reasons": reasons},
        decoder=learner.method.decoder is not None,
    )
    save_checkpoint(folder, learner.method.encoder, learner.method.decoder, done)
    (folder / RESUME).unlink(missing_ok=True)


def _goes_on(done: Recipe, schedule: Schedule) -> bool:
    """Whether more epochs are asked of a constant course than it has, and it has not stopped."""
    trained = done.training
    more = schedule.epochs > trained.get("epochs", schedule.epochs)
    return schedule.course == "constant" and more and not trained.get("stopped")


def _check_same(
    done: Recipe, tensors: Tensors, rows: np.ndarray, method: str, schedule: Schedule
) -> None:
    """Refuse to go on with a run of another kind."""
    known = {"method": done.method} | done.training
    facts = {"images": len(rows), "data": tensors.store.digest}
    wanted = {"method": method} | asdict(replace(schedule, epochs=known["epochs"])) | facts
    changed = [name for name in wanted if known.get(name) != wanted[name]]
    if changed:
        raise OptionError(
            f"A run cannot go on with another {' and another '.join(changed)}. "
            "Give what it was trained with, or a new folder."
        )
    if METHODS[method].staged:
        raise OptionError(
            f"{METHODS[method].title} divides the epochs that were planned among its stages, so "
            "it cannot go on for more. Give a new folder."
        )


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


def _train_within_memory(
    learner: Learner, state: Path | None, history: History, ranks: Ranks
) -> lightning.Trainer | None:
    """Train; None where memory did not suffice, which several processes do not recover from."""
    try:
        return train(learner, state, history, ranks)
    except (MemoryError, RuntimeError) as error:
        if state and "state_dict" in str(error):
            raise stale_state(state) from None
        if not ran_out_of_memory(error):
            raise
    if ranks.count > 1:
        raise OptionError(
            f"Memory ran out in one of {ranks.count} processes, which cannot change course alone. "
            "Give a smaller --batch or --size, or use --strategy fsdp."
        )
    return None


def _check_sharing(ranks: Ranks, images: int, schedule: Schedule) -> None:
    """Refuse what several processes cannot share evenly.

    Raises:
        OptionError: The batch is no multiple of their number, there are too few images, or the
            batch passes in parts.
    """
    if schedule.batch % ranks.count or images < ranks.count:
        raise OptionError(
            f"--batch is {schedule.batch}, of {images} images; wanted a multiple of the "
            f"{ranks.count} processes that share it. Change --batch or --devices."
        )
    if ranks.count > 1 and schedule.parts > 1:
        raise OptionError(
            f"A batch in {schedule.parts} parts takes one process; {ranks.count} came. "
            "Use 1 part or one device."
        )


def _save_memory(
    schedule: Schedule,
    card: MethodCard,
    recipe: Recipe,
    reasons: list[str],
    on_note: Callable[[str], None],
) -> Schedule:
    """The next schedule that needs less memory, said aloud."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    savings = list_savings(schedule, card, recipe.shape)
    if len(savings) == 1:
        raise OptionError(
            f"Memory ran out, though {card.title} was trained with all that saves it. Give a "
            "smaller --size, or more memory."
        )
    for reason in say_savings(savings[:2], card):
        reasons.append(reason)
        on_note(f"{card.title}: {reason}")
    return savings[1]


def check_fit(method: str, recipe: Recipe, images: int, schedule: Schedule) -> None:
    """Refuse what cannot be trained.

    Raises:
        OptionError: The method does not work on this network, on images of these dimensions, on so
            few of them or with so small a batch.
    """
    card = look_up(METHODS, method, "method")
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
    check_growth(recipe, schedule)
    least = max(2, card.smallest_batch)
    if images < least or schedule.batch < card.smallest_batch:
        other = fall_back(method, images, schedule.batch)
        raise OptionError(
            f"{card.title} needs at least {least} images in a batch; "
            f"{images} images at batch {schedule.batch} came. "
            f"Give more images or use {'mae' if other == method else other!r}."
        )


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
