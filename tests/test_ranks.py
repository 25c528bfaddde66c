"""Several processes train what one would, and end together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ranks import train
from tassl.methods import METHODS

RANKS, SECONDS = 2, 120
SCRIPT = Path(__file__).with_name("ranks.py")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every method, trained by two processes."""
    folder = tmp_path_factory.mktemp("ranks")
    workers = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(rank), str(RANKS), str(folder)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(RANKS)
    ]
    try:
        problems = [worker.communicate(timeout=SECONDS)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0] * RANKS, "\n".join(problems)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_train_what_one_does(trained, method):
    alone = train(method)
    first, second = (torch.load(trained / f"{method}-{rank}.pt") for rank in range(RANKS))
    assert list(alone) == list(first)
    for name, value in alone.items():
        assert torch.equal(first[name], second[name]), f"the processes differ in {name}"
        torch.testing.assert_close(first[name], value, rtol=1e-7, atol=1e-9, msg=name)
