"""Sides that take turns, each in a process of its own, and how much faster one is."""

from __future__ import annotations

import multiprocessing
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

import numpy as np
from scipy import stats

from benchmarks.figures import Figure

ROUNDS, STEPS, WARMUP = 7, 2, 2
Step = Callable[[], object]
OURS = "tassl"


def race(
    title: str, batch: int, sides: dict[str, Callable[[], Step]], targets: dict[str, float]
) -> Iterator[Figure]:
    """Images per second of every side, then how many times as fast we are.

    Args:
        title: What is raced.
        batch: Images per step.
        sides: Builders of the steps, by name, ours under `OURS`; they are called in the side's
            own process, so they must be picklable.
        targets: Smallest ratio that is good enough, by side.
    """
    seconds = _take_turns(sides)
    for name, taken in seconds.items():
        yield Figure(f"{title}: {name}", batch / float(np.median(taken)), "images/s")
    for name, taken in seconds.items():
        if name != OURS:
            ratio, interval = compare(taken, seconds[OURS])
            yield Figure(
                f"{title}: times as fast as {name}",
                ratio,
                interval=interval,
                least=targets.get(name),
            )


def compare(theirs: np.ndarray, ours: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Geometric mean of paired ratios and its 95% interval."""
    logs = np.log(theirs / ours)
    half = float(stats.sem(logs) * stats.t.ppf(0.975, len(logs) - 1))
    mean = float(logs.mean())
    return float(np.exp(mean)), (float(np.exp(mean - half)), float(np.exp(mean + half)))


def _take_turns(sides: dict[str, Callable[[], Step]]) -> dict[str, np.ndarray]:
    """Seconds per step of each side, one number per round."""
    context = multiprocessing.get_context("spawn")
    lines, processes = {}, []
    for name, build in sides.items():
        lines[name], end = context.Pipe()
        processes.append(context.Process(target=_serve, args=(end, build), daemon=True))
        processes[-1].start()
        end.close()
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, line in lines.items():
            line.send(STEPS)
            taken[name].append(line.recv() / STEPS)
    for line in lines.values():
        line.send(0)
    for process in processes:
        process.join()
    return {name: np.array(seconds) for name, seconds in taken.items()}


def _serve(line: Connection, build: Callable[[], Step]) -> None:
    """Run as many steps as are asked for and say what they took, until none are."""
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    step = build()
    for _ in range(WARMUP):
        step()
    while count := line.recv():
        start = time.process_time()
        for _ in range(count):
            step()
        line.send(time.process_time() - start)
