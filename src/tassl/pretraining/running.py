"""Pretrain one method and write its folder; resume where that is possible."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch

from tassl.checkpoint import (
    SIDECAR,
    Checkpoint,
    Recipe,
    load_checkpoint,
    save_checkpoint,
)
from tassl.data.files import write_arrays
from tassl.data.tensors import Tensors
from tassl.errors import OptionError
from tassl.health import Epoch
from tassl.methods import METHODS, MethodCard
from tassl.modality.base import Augmentation, ModalityProfile
from tassl.optimisation import precision
from tassl.pretraining.checking import check_fit, check_same, check_sharing
from tassl.pretraining.history import RESUME, History, find_state, stale_state, write_history
from tassl.pretraining.learner import Learner
from tassl.pretraining.ranks import ALONE, Ranks, ending_together
from tassl.pretraining.saving import (
    follow_savings,
    list_savings,
    ran_out_of_memory,
    say_savings,
)
from tassl.pretraining.schedule import Schedule
from tassl.pretraining.training import build_learner, picture_examples, train
from tassl.registry import look_up

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
        check_same(done.recipe, tensors, rows, method, schedule)
    check_fit(method, recipe, len(rows), schedule)
    check_sharing(ranks, len(rows), schedule)
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
