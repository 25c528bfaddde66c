"""The history of a pretraining, kept, judged and saved to resume from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as lightning
import torch

from tassl.data.files import write_atomically, write_json
from tassl.health import Epoch, Health, judge
from tassl.methods.gathering import average

SECONDS_BETWEEN_SAVES = 10.0
HISTORY, HEALTH, RESUME = "history.csv", "health.json", "resume.ckpt"


class History(lightning.Callback):
    """Keeps the history, judges health as it goes and saves a point to resume from.

    Args:
        folder: Where to save.
        on_epoch: Called after each epoch.
        epochs: Planned epochs.
        steady: Whether the loss means the same all along.
    """

    def __init__(
        self, folder: Path, on_epoch: Callable[[Epoch], None], epochs: int, steady: bool
    ) -> None:
        self.lines: list[Epoch] = []
        self.folder, self.on_epoch = folder, on_epoch
        self.epochs, self.steady = epochs, steady
        self.saved = time.monotonic()

    @property
    def health(self) -> Health:
        """The verdict so far."""
        return judge(self.lines, epochs=self.epochs, steady=self.steady)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to know."""
        return {"lines": [asdict(line) for line in self.lines]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up an earlier history."""
        self.lines = [Epoch(**line) for line in state_dict["lines"]]

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Look at the features before training."""
        if not self.lines:
            spread, rank = pl_module.probe()
            self.lines.append(Epoch(0, math.nan, spread, rank, 0.0, 0.0))

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock and the sum of losses."""
        self.started = time.monotonic()
        self.total = torch.zeros((), device=pl_module.device)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *rest: Any) -> None:
        """Add to the sum, without waiting for the device."""
        self.total += outputs["loss"].detach()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Add a line, judge it, save a point to resume from."""
        loss = float(average(self.total)) / pl_module.steps_per_epoch
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        seconds = time.monotonic() - self.started
        spread, rank = pl_module.probe()
        line = Epoch(trainer.current_epoch + 1, loss, spread, rank, rate, seconds)
        self.lines.append(line)
        if trainer.is_global_zero:
            self.on_epoch(line)
        due = time.monotonic() - self.saved > SECONDS_BETWEEN_SAVES
        stop, due = trainer.strategy.broadcast((not self.health.healthy, due))
        if stop:
            trainer.should_stop = True
        elif due:
            self._save(trainer)

    def _save(self, trainer: Any) -> None:
        """All processes take part; the first one writes."""
        file, self.saved = self.folder / RESUME, time.monotonic()
        if trainer.is_global_zero:
            write_atomically(file, trainer.save_checkpoint)
        else:
            trainer.save_checkpoint(file)


def write_history(folder: Path, history: History) -> None:
    """Write history.csv and health.json."""
    table = pd.DataFrame(history.lines)
    write_atomically(folder / HISTORY, lambda draft: table.to_csv(draft, index=False, na_rep="nan"))
    write_json(folder / HEALTH, asdict(history.health))
