"""Several devices on one or more machines: Lightning starts and connects the processes."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.strategies import DDPStrategy
from torch import distributed

from tassl.errors import LostProcess, OptionError
from tassl.methods.base import Method
from tassl.optimisation import precision

LOST = re.compile(r"gloo|nccl|connection|peer", re.IGNORECASE)


@dataclass(frozen=True)
class Ranks:
    """The processes that train together, one per device.

    Args:
        devices: Devices on each machine: GPUs where there are any, else processes on the CPU.
        nodes: Machines.
    """

    devices: int = 1
    nodes: int = 1

    @property
    def count(self) -> int:
        """All processes."""
        return self.devices * self.nodes

    @property
    def own(self) -> int:
        """This process's number, as its launcher tells it; 0 leads."""
        return build_trainer(self).global_rank if self.count > 1 else 0

    def check(self) -> None:
        """Refuse more devices than this machine has.

        Raises:
            OptionError: There are fewer GPUs.
        """
        if torch.cuda.is_available() and self.devices > (here := torch.cuda.device_count()):
            raise OptionError(f"--devices is {self.devices}; this machine has {here}. Lower it.")


ALONE = Ranks()


def build_trainer(ranks: Ranks, method: Method | None = None, **options: Any) -> lightning.Trainer:
    """Lightning's engine for these processes, silent; it starts them when it begins to fit."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    strategy: Any = "auto"
    if ranks.count > 1:
        # Buffers are equal by construction: whatever fills them is gathered first.
        skips = method is not None and method.skips
        strategy = DDPStrategy(find_unused_parameters=skips, broadcast_buffers=False)
    return lightning.Trainer(
        devices=ranks.devices,
        num_nodes=ranks.nodes,
        strategy=strategy,
        precision=precision(),  # type: ignore[arg-type]
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


@contextmanager
def ending_together(ranks: Ranks) -> Iterator[None]:
    """Turn the loss of another process into one line.

    Raises:
        LostProcess: Contact was lost; in processes whose parent says so, SystemExit.
    """
    parent = os.getppid()
    try:
        yield
    except (RuntimeError, distributed.DistError) as error:
        if ranks.count == 1 or not LOST.search(str(error)):
            raise
        if int(os.environ.get("LOCAL_RANK", 0)) and os.getppid() == parent:
            raise SystemExit(1) from None
        raise LostProcess(
            f"One of the {ranks.count} processes of this run ended or cannot be reached any more. "
            "Start the same command again: it goes on where the last save left off."
        ) from None
