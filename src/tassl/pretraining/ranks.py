"""Several devices on one or more machines: Lightning starts and connects the processes."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy
from torch import distributed
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

from tassl.errors import LostProcess, OptionError
from tassl.methods.base import Method
from tassl.optimisation import precision
from tassl.registry import look_up

LOST = re.compile(r"gloo|nccl|connection|peer", re.IGNORECASE)


@dataclass(frozen=True)
class Ranks:
    """The processes that train together, one per device.

    Args:
        devices: Devices on each machine: GPUs where there are any, else processes on the CPU.
        nodes: Machines.
        strategy: Key in `STRATEGIES`: "ddp" keeps all weights on every device, "fsdp" a share of
            them and of the optimiser's state.
    """

    devices: int = 1
    nodes: int = 1
    strategy: str = "ddp"

    @property
    def count(self) -> int:
        """All processes."""
        return self.devices * self.nodes

    @property
    def own(self) -> int:
        """This process's number, as its launcher tells it; 0 leads."""
        return build_trainer(self).global_rank if self.count > 1 else 0

    def check(self) -> None:
        """Refuse more devices than there are, and a strategy that does not work on them.

        Raises:
            OptionError: There are fewer GPUs, or the strategy is unknown or not for them.
        """
        look_up(STRATEGIES, self.strategy, "strategy")
        if self.strategy == "fsdp" and precision() == "16-mixed":
            raise OptionError("fsdp needs GPUs that compute bf16; these do not. Use ddp.")
        if torch.cuda.is_available() and self.devices > (here := torch.cuda.device_count()):
            raise OptionError(f"--devices is {self.devices}; this machine has {here}. Lower it.")


ALONE = Ranks()


def _replicate(ranks: Ranks, method: Method | None) -> DDPStrategy:
    # Buffers are equal by construction: whatever fills them is gathered first.
    skips = method is not None and method.skips
    return DDPStrategy(find_unused_parameters=skips, broadcast_buffers=False)


def _shard(ranks: Ranks, method: Method | None) -> ModelParallelStrategy:
    return ModelParallelStrategy(ranks.count, 1, save_distributed_checkpoint=False)


STRATEGIES = {"ddp": _replicate, "fsdp": _shard}


def shard_weights(method: Method, mesh: DeviceMesh) -> None:
    """Leave each process a share of the weights; steps gather them while they compute.

    Source:
        Zhao et al., VLDB 2023, arXiv:2304.11277, in torch's second form.
    """
    fully_shard(method, mesh=mesh)
    for step in ("views", "loss"):
        register_fsdp_forward_method(method, step)


@contextmanager
def whole_weights(method: Method) -> Iterator[None]:
    """All weights on every process for a while; all processes take part."""
    if not isinstance(method, FSDPModule):
        yield
        return
    method.unshard()
    try:
        yield
    finally:
        method.reshard()


def collect_weights(method: Method, plain: Method) -> Method:
    """The method with all its weights in the first process; all processes take part.

    Args:
        method: As it was trained.
        plain: The same before its weights were shared out; is filled where that was done.
    """
    if not isinstance(method, FSDPModule):
        return method
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    if weights := get_model_state_dict(method, options=options):
        plain.load_state_dict(weights)
    plain.progress = method.progress
    return plain


def build_trainer(ranks: Ranks, method: Method | None = None, **options: Any) -> lightning.Trainer:
    """Lightning's engine for these processes, silent; it starts them when it begins to fit."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    alone = ranks.count == 1
    strategy: Any = "auto" if alone else STRATEGIES[ranks.strategy](ranks, method)
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
        if int(os.environ.get("LOCAL_RANK", 0)):
            time.sleep(1)  # a parent that was killed closes its connections before it is gone
            if os.getppid() == parent:
                raise SystemExit(1) from None
        raise LostProcess(
            f"One of the {ranks.count} processes of this run ended or cannot be reached any more. "
            "Start the same command again: it goes on where the last save left off."
        ) from None
