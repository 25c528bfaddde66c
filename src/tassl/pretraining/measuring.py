"""What a pretraining costs: a few real steps in a process of its own.

A process of its own, because the memory that this one once held is not given back, and because
nothing that is measured may change the training that follows.
"""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
from torch import Tensor

from tassl.data.tensors import Tensors
from tassl.errors import TasslError
from tassl.pretraining.learner import Learner
from tassl.pretraining.saving import ran_out_of_memory
from tassl.pretraining.training import build_learner, picture_examples, train

WARMUP, STEPS = 2, 6
SECONDS_BETWEEN_LOOKS = 0.01
COMMAND = "from tassl.pretraining.measuring import main; main()"


@dataclass(frozen=True)
class Cost:
    """What training costs.

    Args:
        memory: Bytes at the peak, beyond what the process holds before; of the GPU if there is one.
        start: Seconds before the first step, with a look at the features.
        step: Seconds of an optimiser step.
        probe: Seconds of the look at the features after each epoch.
        checkpoint: Bytes of the weights that are kept.
        resume: Bytes of the point to resume from.
    """

    memory: int
    start: float
    step: float
    probe: float
    checkpoint: int
    resume: int


def measure_cost(
    tensors: Tensors, rows: np.ndarray, *, most: float | None = None, **job: Any
) -> Cost | None:
    """Train for a few steps in another process.

    The steps are spread over the course of the training, since some methods change on the way.

    Args:
        tensors: The images.
        rows: Rows to train on.
        most: Bytes beyond which the process is stopped, so that it does not starve the machine.
        **job: As for `build_learner`.

    Returns:
        What it cost; None if memory ran out.

    Raises:
        TasslError: The steps failed.
    """
    child = subprocess.run(
        [sys.executable, "-c", COMMAND],
        input=pickle.dumps((tensors, rows, most, job)),
        capture_output=True,
        check=False,
    )
    if child.returncode < 0:  # killed: by the system where memory is short
        return None
    if child.returncode:
        reason = (child.stderr.decode(errors="replace").strip().splitlines() or ["no word"])[-1]
        raise TasslError(
            f"Measuring a few steps of {job['method']} failed ({reason}). Leave out --dry-run, "
            "--memory and --time to see the training itself fail."
        )
    answer = json.loads(child.stdout.splitlines()[-1])
    return Cost(**answer) if answer else None


def main() -> None:
    """Measure what comes as a pickle, and print it as JSON; null if memory runs out."""
    tensors, rows, most, job = pickle.load(sys.stdin.buffer)
    try:
        print(json.dumps(asdict(_measure(tensors, rows, most, job))))
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        print("null")


def _measure(tensors: Tensors, rows: np.ndarray, most: float | None, job: dict[str, Any]) -> Cost:
    schedule, before, watch = job["schedule"], own_memory(), _Stopwatch(rows)
    if most is not None:
        _limit_memory(most)
    began = _now()
    with _peak_memory() as peak:
        learner = build_learner(tensors, rows, **job)
        few = np.resize(rows, (WARMUP + STEPS) * schedule.batch)
        plan = replace(schedule, epochs=1)
        train(Learner(learner.method, tensors, few, plan, learner.partners), None, watch)
        picture_examples(learner)
    method = learner.method
    trained = [weight for weight in method.parameters() if weight.requires_grad]
    step = (watch.times[-1] - watch.times[WARMUP - 1]) / STEPS
    return Cost(
        memory=max(peak) - before,
        start=max(0.0, watch.times[0] - began - step) + watch.probe,
        step=step,
        probe=watch.probe,
        checkpoint=_size(learner.kept_parts.parameters()),
        resume=_size(method.parameters()) + _size(method.buffers()) + 2 * _size(trained),
    )


class _Stopwatch(lightning.Callback):
    """Times every step, then the look at the features."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows, self.times, self.probe = rows, [], 0.0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
        self.times.append(_now())

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        pl_module.rows = self.rows
        pl_module.probe()
        start = _now()
        pl_module.probe()
        self.probe = _now() - start


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic()


def own_memory() -> int:
    """Bytes that this process has: of the GPU, or for itself, mapped files not counted."""
    if torch.cuda.is_available():
        return torch.cuda.memory_allocated()
    if sys.platform == "linux":
        pages = Path("/proc/self/statm").read_text().split()
        return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "win32":
        return 0  # the standard library cannot tell
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def release_memory() -> None:
    """Give back what `hold_memory` keeps, so that it is not counted."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


@contextmanager
def _peak_memory() -> Iterator[list[int]]:
    """Look at the memory all the time; yields the looks that were higher than those before."""
    peak, over = [own_memory()], threading.Event()

    def look() -> None:
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            if (now := own_memory()) > peak[-1]:
                peak.append(now)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    yield peak
    over.set()
    thread.join()
    if torch.cuda.is_available():
        peak.append(torch.cuda.max_memory_allocated())


def _limit_memory(most: float) -> None:
    """Let allocations fail beyond `most`; a tenth is spared for what is reserved but not used."""
    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, 1.1 * most / total))
        return
    if sys.platform != "linux":
        return
    import resource

    status = Path("/proc/self/status").read_text()
    held = int(status.split("VmData:")[1].split()[0]) * 1024
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (int(held + 1.1 * most + 2**28), hard))


def _size(weights: Iterable[Tensor]) -> int:
    return sum(weight.numel() * weight.element_size() for weight in weights)
