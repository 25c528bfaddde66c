"""A pretraining of seconds, and ways to interrupt it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from small_store import make_recipe
from tassl.checkpoint import Checkpoint
from tassl.data.tensors import Tensors
from tassl.health import Epoch
from tassl.modality import MODALITIES
from tassl.modality.base import Augmentation
from tassl.pretraining import Schedule, pretrain_method

ROWS = np.arange(2, 22)


def pretrain(
    tensors: Tensors,
    folder: Path,
    schedule: Schedule,
    method: str = "moco",
    network: str = "cnn",
    rows: np.ndarray = ROWS,
    **choices: Any,
) -> Checkpoint:
    """Pretrain on ultrasound with mild views; any other choice is that of `pretrain_method`."""
    usual = {
        "recipe": make_recipe(tensors, network),
        "profile": MODALITIES["ultrasound"].load(),
        "views": Augmentation(crop=0.6, noise=0.1),
    }
    return pretrain_method(
        tensors, rows, method=method, schedule=schedule, folder=folder, **(usual | choices)
    )


def stop_after(
    epoch: int, error: type[BaseException] = ZeroDivisionError
) -> Callable[[Epoch], None]:
    """What to call after each epoch, so that the training ends once it is past this one."""

    def stop(line: Epoch) -> None:
        if line.epoch > epoch:
            raise error

    return stop
