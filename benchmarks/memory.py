"""Memory of training on few and on many images: it should not hang on their number.

Each measurement is a process of its own. What counts is RssAnon of /proc/self/status, the memory
that a process has for itself, at its highest. Pages of the memory-mapped images (RssFile) do not
count: they are the system's cache of the disk, which it takes back when memory is short.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure

FEW, MANY, SIDE = 1_000, 100_000, 64
STEPS, BATCH = 100, 128
MOST_MB = 200


def measure() -> Iterator[Figure]:
    """Peak of a loop that serves and augments shuffled rows, with few and with many images."""
    peaks = []
    for count in (FEW, MANY):
        with tempfile.TemporaryDirectory() as folder:
            _write_images(Path(folder) / "d.npz", count)
            _ask("build", folder)
            peaks.append(float(_ask("train", folder)))
        yield Figure(f"memory to train on {count:,} images of {SIDE} x {SIDE}", peaks[-1], "MB")
    yield Figure("memory to train on 100 times as many: growth", peaks[1] - peaks[0], "MB", MOST_MB)


def _ask(part: str, folder: str) -> str:
    """What a process of its own says."""
    command = [sys.executable, "-m", "benchmarks.memory", part, folder]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _write_images(file: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (count, SIDE, SIDE), dtype=np.uint8)
    subjects = np.array([f"patient-{k // 4:06}" for k in range(count)])
    np.savez(file, images=images, labels=np.arange(count) % 2, subjects=subjects)


def _build(folder: Path) -> None:
    from tassl.data.layouts import index
    from tassl.data.store import build_store

    build_store(index(folder / "d.npz"), lambda pixels: pixels / 255, folder / "store")


def _train(folder: Path) -> Iterator[None]:
    import torch

    from tassl.data.store import open_store
    from tassl.data.tensors import Tensors, measure_normalisation
    from tassl.modality import MODALITIES
    from tassl.transforms.augment import Augment
    from tassl.transforms.draws import seeded

    store = open_store(folder / "store")
    rows = np.random.default_rng(0).permutation(len(store.table))
    tensors = Tensors(store, measure_normalisation(store, rows))
    augment = Augment(MODALITIES["ultrasound"].load().augmentation("global"))
    for step in range(STEPS):
        images = tensors.images(rows.take(range(step * BATCH, (step + 1) * BATCH), mode="wrap"))
        assert torch.isfinite(augment(images, seeded(0, step))).all()
        yield


def _own_memory() -> float:
    """RssAnon of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024


if __name__ == "__main__":
    part, place = sys.argv[1], Path(sys.argv[2])
    if part == "build":
        _build(place)
    else:
        print(max(_own_memory() for _ in _train(place)))
