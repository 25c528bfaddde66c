"""Several processes train what one would, and end together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import tassl
from ranks import SHARDED, train
from small_pretraining import pretrain
from small_store import make_tensors
from tassl.data.phantom import PhantomSpec, draw_cohort, save_npz
from tassl.errors import InputError, OptionError
from tassl.methods import METHODS
from tassl.pretraining import Ranks, Schedule
from tassl.study import Study
from tassl.study.sharing import join_prepared

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


@pytest.mark.slow
@pytest.mark.parametrize("method", SHARDED)
def test_two_processes_with_shares_of_the_weights_train_what_one_does(trained, method):
    alone, found = train(method), torch.load(trained / f"{method}-fsdp-0.pt")
    assert list(alone) == list(found)
    for name, value in alone.items():
        torch.testing.assert_close(found[name], value, rtol=1e-7, atol=1e-9, msg=name)


# Saves after every epoch, where the command line saves every ten seconds.
COMMAND = """
from tassl.cli import main
from tassl.pretraining import history

history.SECONDS_BETWEEN_SAVES = -1
main()
"""
EPOCHS = 6
OPTIONS = f"--method byol --modality ultrasound --size 24 --batch 16 --epochs {EPOCHS}"


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A pretraining; the run's folder and its processes are to follow."""
    folder = tmp_path_factory.mktemp("command")
    cohort = draw_cohort(PhantomSpec(subjects=40, size=24, seed=3))
    data = save_npz(cohort, folder / "cohort.npz")
    script = folder / "command.py"
    script.write_text(COMMAND)
    return [sys.executable, str(script), "pretrain", str(data), *OPTIONS.split(), "--out"]


def start(command: list[str], folder: Path, *more: str, **place: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command, str(folder), *more],
        env=os.environ | place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(run: subprocess.Popen[str]) -> str:
    """Wait for all processes of a run, which share its error stream."""
    try:
        return run.communicate(timeout=SECONDS)[1]
    finally:
        run.kill()


@pytest.fixture(scope="module")
def whole(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run = start(command, folder, "--devices", "2")
    assert finish(run) == ""
    assert run.returncode == 0
    return folder


@pytest.mark.slow
def test_two_machines_train_what_two_devices_of_one_do(command, whole, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    machines = [
        start(command, tmp_path / "run", "--nodes", "2", NODE_RANK=node, **meeting)
        for node in ("0", "1")
    ]
    assert [finish(machine) for machine in machines] == ["", ""]
    assert [machine.returncode for machine in machines] == [0, 0]
    assert_same_weights(whole, tmp_path / "run")


def assert_same_weights(first: Path, second: Path) -> None:
    one, other = (
        load_file(run / "pretrain/byol/checkpoint.safetensors") for run in (first, second)
    )
    for name, weight in one.items():
        assert torch.equal(weight, other[name]), name


def list_children(parent: int) -> list[int]:
    found = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(child) for child in found.read_text().split()]


@pytest.mark.slow
def test_the_first_process_writes_all(whole):
    assert sorted(file.name for file in (whole / "pretrain/byol").iterdir()) == [
        "checkpoint.json", "checkpoint.safetensors", "examples.npz", "health.json", "history.csv",
    ]  # fmt: skip
    assert not list(whole.rglob("*.part"))
    assert not (whole / "split.npz").exists()
    history = pd.read_csv(whole / "pretrain/byol/history.csv")
    assert history.epoch.tolist() == list(range(EPOCHS + 1))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are found under /proc")
@pytest.mark.parametrize(("victim", "strategy"), [("first", "fsdp"), ("second", "ddp")])
def test_a_run_ends_with_any_of_its_processes_and_is_resumed(
    command, whole, tmp_path, victim, strategy
):
    folder = tmp_path / "run"
    point = folder / "pretrain/byol/resume.ckpt"
    run, begin = start(command, folder, "--devices", "2", "--strategy", strategy), time.monotonic()
    while not point.exists() and run.poll() is None and time.monotonic() - begin < SECONDS:
        time.sleep(0.05)
    (child,) = list_children(run.pid)
    os.kill(run.pid if victim == "first" else child, signal.SIGKILL)
    said = finish(run).splitlines()
    assert run.returncode == (-signal.SIGKILL if victim == "first" else 2)
    assert len(said) == 1, said
    assert said[0].startswith("tassl: One of the 2 processes of this run ended"), said
    assert not (folder / "pretrain/byol/checkpoint.json").exists()
    again = start(command, folder, "--devices", "2", "--strategy", strategy)
    assert finish(again) == ""
    assert again.returncode == 0
    history = pd.read_csv(folder / "pretrain/byol/history.csv")
    assert history.epoch.tolist() == list(range(EPOCHS + 1))
    if strategy == "ddp":
        assert_same_weights(whole, folder)


@pytest.mark.parametrize(
    ("ranks", "schedule", "problem"),
    [
        (3, Schedule(1, 8), "wanted a multiple of the 3 processes"),
        (2, Schedule(1, 8, parts=2), "in 2 parts takes one process; 2 came"),
    ],
)
def test_a_batch_that_cannot_be_shared_is_refused(tmp_path, ranks, schedule, problem):
    tensors = make_tensors(tmp_path)
    with pytest.raises(OptionError, match=problem):
        pretrain(tensors, tmp_path / "run", schedule, "simclr", ranks=Ranks(ranks))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("choices", "problem"),
    [
        ({"strategy": "fdsp"}, "Did you mean 'fsdp'"),
        ({"devices": 0}, "--devices is 0; wanted 1 or more"),
        ({"nodes": -1}, "--nodes is -1; wanted 1 or more"),
        ({"devices": 2, "memory": "8GB"}, "--memory and --time are kept to in one process only"),
        ({"nodes": 2, "time": "2h"}, "--memory and --time are kept to in one process only"),
    ],
)
def test_impossible_processes_are_refused(tmp_path, choices, problem):
    with pytest.raises(OptionError, match=problem):
        tassl.pretrain(
            "x.npz", method="mae", modality="ultrasound", out=tmp_path / "run", **choices
        )


def test_a_run_takes_one_process(tmp_path):
    with pytest.raises(OptionError, match=r"A run takes one process; 2 came\. Pretrain with"):
        tassl.run("x.npz", modality="ultrasound", task="classification", out=tmp_path, devices=2)


def test_costs_are_measured_in_one_process(tmp_path):
    with pytest.raises(OptionError, match="measured in one process"):
        tassl.steps.plan("x.npz", method="mae", modality="ultrasound", out=tmp_path, devices=2)


def test_the_wait_for_prepared_data_has_an_end(tmp_path):
    study = Study("x.npz", "ultrasound", "classification", devices=2)
    with pytest.raises(InputError, match=r"No data were prepared in .* Start the first process"):
        join_prepared(study, tmp_path, patience=0)
