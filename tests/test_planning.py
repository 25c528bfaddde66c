"""What a pretraining will cost, and what is given up where memory or time are short."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import tassl
from small_store import make_recipe
from tassl.amounts import parse_memory, parse_time, round_up, show_memory, show_time
from tassl.checkpoint import Checkpoint
from tassl.cli import main
from tassl.data.phantom import PhantomSpec, draw_cohort, save_npz
from tassl.data.tensors import Tensors
from tassl.errors import OptionError, TasslError
from tassl.health import Epoch
from tassl.methods import METHODS
from tassl.methods.mae import MaskedAutoencoder
from tassl.methods.simclr import SimCLR
from tassl.modality import MODALITIES
from tassl.modality.base import Augmentation
from tassl.pretraining import (
    Plan,
    Schedule,
    history,
    measuring,
    plan_pretraining,
    planning,
    pretrain_method,
    read_plan,
    write_plan,
)
from tassl.pretraining.measuring import Cost, measure_cost, own_memory
from tassl.pretraining.saving import explain_savings, list_savings, ran_out_of_memory
from tassl.pretraining.training import build_learner

ROWS = np.arange(24)
JOB = {"profile": MODALITIES["ultrasound"].load(), "views": Augmentation(crop=0.6, noise=0.1)}
KIND = {"modality": "ultrasound", "method": "mae", "epochs": 2, "quiet": True}
CPU_TEXT = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes."


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = PhantomSpec(subjects=20, images_per_subject=1, size=24)
    return save_npz(draw_cohort(spec), tmp_path_factory.mktemp("cohort") / "cohort.npz")


@pytest.mark.parametrize(
    ("parse", "text", "amount"),
    [
        (parse_memory, "8GB", 8e9),
        (parse_memory, " 1.5 gb ", 1.5e9),
        (parse_memory, "512KB", 512e3),
        (parse_memory, ".5TB", 5e11),
        (parse_time, "2h", 7200),
        (parse_time, "90 M", 5400),
        (parse_time, "0.5d", 43200),
        (parse_time, "45s", 45),
    ],
)
def test_amounts_are_read(parse: Callable[[str], float], text: str, amount: float):
    assert parse(text) == amount


@pytest.mark.parametrize(
    "text", ["", "8", "GB", "8 G", "8GiB", "-1GB", "0GB", "1e3GB", "٨GB", "nan"]
)
@pytest.mark.parametrize(("parse", "name"), [(parse_memory, "memory"), (parse_time, "time")])
def test_other_amounts_are_refused(parse: Callable[[str], float], name: str, text: str):
    with pytest.raises(OptionError, match=rf"--{name} is .*; wanted a number above zero.*, as in"):
        parse(text)


@pytest.mark.parametrize("amount", [1.0, 59, 119, 4567.0, 1e6, 123456789, 3.21e12])
def test_what_is_shown_is_read_again(amount: float):
    assert parse_time(show_time(amount)) == pytest.approx(amount, rel=0.006)
    if amount >= 1e3:
        assert parse_memory(show_memory(amount)) == pytest.approx(amount, rel=0.006)
    assert 1.05 * amount <= round_up(amount) <= 1.16 * amount


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("space", [(224, 224), (96, 96, 80)])
def test_savings_keep_the_result_before_they_change_it(name: str, space: tuple[int, ...]):
    card, asked = METHODS[name], Schedule(100, 64)
    savings = list_savings(asked, card, space)
    assert savings[0] == asked
    assert len(set(savings)) == len(savings)
    order = [(-s.window or -1000, s.batch // s.parts, not s.recompute) for s in savings]
    assert [window for window, *_ in order] == sorted(window for window, *_ in order)
    same = [s.batch == asked.batch and not s.window for s in savings]
    assert same == sorted(same, reverse=True)
    last = savings[-1]
    assert last.recompute
    assert last.window >= 32
    assert last.batch // last.parts == (1 if card.per_image else card.smallest_batch)
    assert last.batch == (64 if card.per_image else card.smallest_batch)
    for one, other in pairwise(savings):
        (reason,) = explain_savings(one, other, card)
        unchanged = one.batch == other.batch and one.window == other.window
        assert ("result stays the same" in reason) == unchanged


def test_small_images_get_no_windows():
    assert not any(s.window for s in list_savings(Schedule(9, 8), METHODS["mae"], (32, 32)))


def give(tensors: Tensors, schedule: Schedule, method: str = "mae", **limits: float) -> Plan:
    recipe = make_recipe(tensors)
    return plan_pretraining(
        tensors, ROWS, method=method, recipe=recipe, schedule=schedule, **limits, **JOB
    )


@pytest.fixture
def priced(monkeypatch: pytest.MonkeyPatch) -> list[Schedule]:
    """Prices instead of measurements: 10 bytes an image, of which a fifth is recomputed."""
    asked: list[Schedule] = []

    def price(*_: object, most: float | None, schedule: Schedule, **job: object) -> Cost | None:
        asked.append(schedule)
        memory = schedule.batch // schedule.parts * (8 if schedule.recompute else 10)
        return (
            None if most is not None and memory > 2 * most else Cost(memory, 2.0, 1.0, 2.0, 30, 90)
        )

    monkeypatch.setattr(planning, "measure_cost", price)
    monkeypatch.setattr(planning, "own_memory", lambda: 1000)
    return asked


@pytest.mark.parametrize("method", ["mae", "simclr"])
@pytest.mark.parametrize("room", [10**6, 640, 639, 512, 300, 161, 80, 65, 10, 9, 8, 7, -1])
def test_the_first_saving_that_fits_is_chosen(tensors, priced, method: str, room: int):
    savings = list_savings(Schedule(20, 16), METHODS[method], (16, 20))
    fitting = [s for s in savings if s.batch // s.parts * (8 if s.recompute else 10) <= room]
    if not fitting:
        most = 1000 + savings[-1].batch // savings[-1].parts * 8
        with pytest.raises(OptionError, match=r"--memory .* is too little for .* Give 1\.\dKB or"):
            give(tensors, Schedule(20, 16), method, most_memory=1000 + room)
        assert give(tensors, Schedule(20, 16), method, most_memory=most).schedule == savings[-1]
        return
    plan = give(tensors, Schedule(20, 16), method, most_memory=1000 + room)
    assert plan.schedule == fitting[0]
    assert bool(plan.reasons) == (fitting[0] != savings[0])
    assert len(priced) <= 1 + len(savings).bit_length()
    assert plan.memory == 1000 + fitting[0].batch // fitting[0].parts * (
        8 if fitting[0].recompute else 10
    )


def test_time_picks_the_epochs(tensors, priced):
    plan = give(tensors, Schedule(200, 8))
    assert (plan.epoch, plan.seconds) == (3 * 1.0 + 2.0, 200 * 5.0 + 2.0)
    assert give(tensors, Schedule(200, 8), most_seconds=2000).schedule.epochs == 200
    plan = give(tensors, Schedule(200, 8), most_seconds=200)
    assert plan.schedule == Schedule(35, 8)
    assert plan.seconds <= 0.9 * 200
    assert plan.reasons == ("to end within 3.33m: 35 epochs, not 200",)
    with pytest.raises(OptionError, match=r"--time 50s is too little .* 10 epochs.*Give 1.02m or"):
        give(tensors, Schedule(200, 8), most_seconds=50)
    assert give(tensors, Schedule(200, 8), most_seconds=parse_time("1.02m")).schedule.epochs == 10
    assert give(tensors, Schedule(3, 8), most_seconds=20).schedule.epochs == 3


def test_a_plan_is_kept_as_it_is(tensors, priced, tmp_path):
    plan = give(tensors, Schedule(200, 8), most_memory=1060, most_seconds=200)
    write_plan(tmp_path / "plan.json", plan)
    assert read_plan(tmp_path / "plan.json") == plan
    assert "MAE" not in str(plan)
    assert str(plan).startswith("Masked autoencoder will take 1.04KB of memory, 5s per epoch")


def test_real_steps_are_measured(tensors):
    recipe, schedule = make_recipe(tensors), Schedule(9, 8)
    cost = measure_cost(tensors, ROWS, method="mae", recipe=recipe, schedule=schedule, **JOB)
    learner = build_learner(tensors, ROWS, method="mae", recipe=recipe, schedule=schedule, **JOB)
    assert cost
    assert 1e6 < cost.memory < 1e9
    assert 0 < cost.step < 10
    assert 0 < cost.probe < cost.start < 60
    weights = sum(weight.numel() * 4 for weight in learner.method.parameters())
    assert 0 < cost.checkpoint <= weights
    assert cost.resume == 3 * weights, "weights, and two moments of each"


def test_steps_beyond_the_limit_are_stopped(tensors):
    huge = replace(make_recipe(tensors), network_options={"widths": [8, 2**14], "stem": 2})
    job = {"method": "mae", "recipe": huge, "schedule": Schedule(9, 8), **JOB}
    assert measure_cost(tensors, ROWS, most=1e6, **job) is None


def test_a_killed_measurement_is_told_from_one_that_fails(tensors, monkeypatch):
    monkeypatch.setattr(measuring, "COMMAND", "import os; os.kill(os.getpid(), 9)")
    assert measure_cost(tensors, ROWS, method="mae") is None
    monkeypatch.setattr(measuring, "COMMAND", "raise TypeError('it breaks')")
    with pytest.raises(TasslError, match=r"a few steps of mae failed \(TypeError: it breaks\)"):
        measure_cost(tensors, ROWS, method="mae")


def test_own_memory_sees_what_is_held():
    before = own_memory()
    held = np.ones(25_000_000)
    assert own_memory() - before == pytest.approx(held.nbytes, rel=0.1)


def test_a_measured_run_trains_as_an_unmeasured_one(cohort, tmp_path):
    plain = tassl.pretrain(cohort, out=tmp_path / "plain", **KIND)
    limits = {"memory": "64GB", "time": "1d"}
    kept = tassl.pretrain(cohort, out=tmp_path / "kept", **KIND, **limits)
    for one, other in zip(plain.encoder.parameters(), kept.encoder.parameters(), strict=True):
        assert torch.equal(one, other)
    plan = json.loads((tmp_path / "kept/pretrain/mae/plan.json").read_text())
    assert plan["schedule"]["epochs"] == 2
    assert not (tmp_path / "plain/pretrain/mae/plan.json").exists()


def test_a_dry_run_trains_nothing_and_is_taken_up(cohort, tmp_path, monkeypatch):
    cost = Cost(10**6, 1.0, 1.0, 1.0, 10**6, 10**6)
    monkeypatch.setattr(planning, "measure_cost", lambda *_, **job: cost)
    plan = tassl.plan(cohort, out=tmp_path / "run", time="1h", **KIND)
    assert plan.schedule.epochs == 2
    assert not (tmp_path / "run/pretrain").exists()
    done = tassl.pretrain(cohort, out=tmp_path / "run", time="1h", **KIND)
    assert done.recipe.training["reasons"] == []
    with pytest.raises(TasslError, match="another time"):
        tassl.pretrain(cohort, out=tmp_path / "run", time="2h", **KIND)


def test_a_dry_run_falls_back_as_the_run_does(cohort, tmp_path, monkeypatch):
    cost = Cost(10**6, 1.0, 1.0, 1.0, 10**6, 10**6)
    monkeypatch.setattr(planning, "measure_cost", lambda *_, **job: cost)
    few = {"modality": "ultrasound", "method": "barlow", "batch": 8, "quiet": True}
    assert tassl.plan(cohort, out=tmp_path / "run", **few).method == "byol"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--dry-run", "--epochs", "30"], 0, "will take"),
        (["--dry-run", "--memory", "8 apples"], 2, "--memory is '8 apples'; wanted"),
        (["--dry-run", "--time", "5s"], 2, "Give 1m or more"),
        (["--memory", "1KB"], 2, "--memory 1KB is too little"),
    ],
)
def test_the_command_line_says_what_it_costs(
    cohort, tmp_path, monkeypatch, capsys, words, code, said
):
    monkeypatch.setattr(
        planning, "measure_cost", lambda *_, **job: Cost(10**6, 1.0, 1.0, 1.0, 1, 1)
    )
    fixed = ["pretrain", str(cohort), "--method", "mae", "--modality", "ultrasound"]
    monkeypatch.setattr(sys, "argv", ["tassl", *fixed, "--out", str(tmp_path / "run"), *words])
    with pytest.raises(SystemExit) as stop:
        main()
    output = capsys.readouterr()
    assert stop.value.code == code
    assert said in (output.err if code else output.out)
    assert code == 0 or len(output.err.splitlines()) == 1
    assert not (tmp_path / "run/pretrain").exists()


def test_a_limit_that_makes_no_sense_is_refused_before_data_are_read(tmp_path):
    with pytest.raises(OptionError, match="--memory is '8 apples'; wanted a number above zero"):
        tassl.plan(tmp_path / "nowhere", out=tmp_path / "run", memory="8 apples", **KIND)


def test_reasons_are_said_and_kept(cohort, tmp_path, monkeypatch, capsys):
    cost = Cost(10**6, 1.0, 1.0, 1.0, 10**6, 10**6)
    monkeypatch.setattr(planning, "measure_cost", lambda *_, **job: cost)
    choices = KIND | {"epochs": 40, "time": "1.5m", "quiet": False}
    done = tassl.pretrain(cohort, out=tmp_path / "run", **choices)
    (reason,) = done.recipe.training["reasons"]
    assert reason == f"to end within 1.5m: {done.recipe.training['epochs']} epochs, not 40"
    said = capsys.readouterr().out
    assert f"! mae, {reason}" in said
    assert "Masked autoencoder will take" in said


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError(CPU_TEXT), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] not enough memory: you tried"), True),
        (RuntimeError("The size of tensor a must match"), False),
        (ValueError("not enough memory"), False),
    ],
)
def test_errors_of_memory_are_known(error: Exception, is_memory: bool):
    assert ran_out_of_memory(error) == is_memory


def train(tensors: Tensors, folder: Path, method: str, notes: list[str]) -> Checkpoint:
    return pretrain_method(
        tensors, ROWS, method=method, recipe=make_recipe(tensors), schedule=Schedule(4, 16),
        folder=folder, on_note=notes.append, **JOB,
    )  # fmt: skip


def plant(
    monkeypatch: pytest.MonkeyPatch, kind: type, most: int, error: Exception, ends: float = 0.5
) -> list[int]:
    """Let memory run out from a share of the training on for more than `most` images.

    Returns:
        The sizes of the batches that came.
    """
    original, sizes = kind.loss, []

    def loss(self: torch.nn.Module, views: tuple[torch.Tensor, ...]) -> torch.Tensor:
        sizes.append(len(views[0]))
        if self.progress >= ends and len(views[0]) > most:
            raise error
        return original(self, views)

    monkeypatch.setattr(kind, "loss", loss)
    monkeypatch.setattr(history, "SECONDS_BETWEEN_SAVES", -1.0)
    return sizes


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(CPU_TEXT), MemoryError()]
)
def test_a_batch_that_does_not_fit_passes_in_parts(tensors, tmp_path, monkeypatch, error):
    whole = train(tensors, tmp_path / "whole", "mae", [])
    sizes, notes = plant(monkeypatch, MaskedAutoencoder, 4, error), []
    done = train(tensors, tmp_path / "parts", "mae", notes)
    assert sizes == [16, 16, 16, 8, *[4] * 8], "from the epoch saved last, in parts that fit"
    assert [note.split(" parts")[0][-1] for note in notes] == ["2", "4"]
    assert done.recipe.training["parts"] == 4
    assert len(done.recipe.training["reasons"]) == 2
    for one, other in zip(whole.encoder.parameters(), done.encoder.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0.05, atol=2e-3)
    lines = pd.read_csv(tmp_path / "parts/history.csv")
    assert lines.epoch.tolist() == [0, 1, 2, 3, 4]


def test_the_plan_then_says_what_was_trained(cohort, tmp_path, monkeypatch):
    cost = Cost(10**6, 1.0, 1.0, 1.0, 10**6, 10**6)
    monkeypatch.setattr(planning, "measure_cost", lambda *_, **job: cost)
    plant(monkeypatch, MaskedAutoencoder, 4, MemoryError())
    done = tassl.pretrain(cohort, out=tmp_path / "run", time="1h", **KIND, batch=8)
    plan = read_plan(tmp_path / "run/pretrain/mae/plan.json")
    assert plan.schedule.parts == done.recipe.training["parts"] == 2
    assert "passes in 2 parts" in plan.reasons[0]


@pytest.mark.parametrize("ends", [0.5, 0.8], ids=["before", "within"])
def test_a_run_that_gave_up_memory_goes_on(cohort, tmp_path, monkeypatch, ends):
    """Whether memory ran out before the cool-down or within it."""
    plant(monkeypatch, SimCLR, 8, MemoryError(), ends)
    kind = KIND | {"method": "simclr", "course": "constant", "batch": 10, "out": tmp_path / "run"}
    short = tassl.pretrain(cohort, **kind | {"epochs": 5}).recipe.training
    monkeypatch.undo()
    lines: list[Epoch] = []
    monkeypatch.setattr(history.History, "_keep", lambda self, _: lines.append(self.lines[-1]))
    long = tassl.pretrain(cohort, **kind | {"epochs": 7}).recipe.training
    assert [line.epoch for line in lines] == [5, 6, 7], "from before the cool-down"
    assert (short["batch"], long["batch"], long["epochs"]) == (8, 8, 7)
    assert long["reasons"] == short["reasons"]
    assert "batch 8 instead of 10" in long["reasons"][-1]


def test_a_batch_that_is_compared_gets_smaller(tensors, tmp_path, monkeypatch):
    sizes, notes = plant(monkeypatch, SimCLR, 8, MemoryError()), []
    done = train(tensors, tmp_path, "simclr", notes)
    assert sizes == [16, 16, 16, 16, *[8] * 6]
    assert ["computed anew" in note for note in notes] == [True, False]
    assert "batch 8 instead of 16; the result changes" in notes[1]
    assert done.recipe.training["batch"] == 8
    lines = pd.read_csv(tmp_path / "history.csv")
    assert lines.epoch.tolist() == [0, 1, 2, 3, 4]
    assert lines.learning_rate[3] == pytest.approx(lines.learning_rate[2] / 3, rel=1)
    assert lines.learning_rate[4] == pytest.approx(0, abs=1e-9)


def test_memory_that_never_suffices_ends_in_one_line(tensors, tmp_path, monkeypatch):
    plant(monkeypatch, SimCLR, 0, MemoryError())
    with pytest.raises(OptionError, match=r"Memory ran out, though SimCLR .* smaller --size"):
        train(tensors, tmp_path, "simclr", [])


def test_other_errors_come_through(tensors, tmp_path, monkeypatch):
    plant(monkeypatch, SimCLR, 0, RuntimeError("a shape is wrong"))
    with pytest.raises(RuntimeError, match="a shape is wrong"):
        train(tensors, tmp_path, "simclr", [])
