"""The same numbers as other libraries, and faster: losses side by side, then whole steps in turn.

It needs an environment of its own, outside the lock file:

    python3.11 -m venv .venv-peers
    .venv-peers/bin/pip install torch torchvision lightly stable-pretraining --editable .
    .venv-peers/bin/python -m benchmarks peers

A step is reading, augmenting, forward, backward and optimiser, at the same batch on one thread.
Time is that of the processor, so that neither busy neighbours nor worker processes count. Each
side is a process of its own, with the settings of its library; they take turns, and each round
gives one ratio. The ratio shown is the geometric mean, with a 95% interval (Student's t on the
logarithms). *As shipped* is what the library's own example does; *tuned* adds bf16 and
channels-last, which we turn on for it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from benchmarks.figures import Figure

PEERS = ("lightly", "stable_pretraining", "torchvision", "timm")


def measure() -> Iterator[Figure]:
    """Losses, SimCLR, masked autoencoder, restoration of volumes, then our own limit."""
    if missing := [name for name in PEERS if find_spec(name) is None]:
        print(f"peers: {', '.join(missing)} not installed. See benchmarks/peers/__init__.py.")
        return
    from benchmarks.peers import limit, losses, mae, precision, restoration, simclr

    yield from losses.measure()
    with tempfile.TemporaryDirectory() as name:
        for part in (simclr, mae, restoration, limit, precision):
            yield from part.measure(Path(name))
