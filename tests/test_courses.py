"""A constant course can be taken up for more epochs, stops at a plateau, and is the same run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import tassl
from small_pretraining import ROWS, pretrain, stop_after
from tassl.data.phantom import PhantomSpec, draw_cohort, save_npz
from tassl.errors import OptionError, RunFolderError, UnknownName
from tassl.health import Epoch
from tassl.pretraining import Schedule, history, running
from tassl.pretraining.history import STABLE
from tassl.pretraining.plateau import has_plateaued


def plan(epochs: int, **choices) -> Schedule:
    return Schedule(epochs, 8, **{"course": "constant", "cooldown": 0.4} | choices)


def assert_same_run(first: Path, second: Path) -> None:
    weights = [(place / "checkpoint.safetensors").read_bytes() for place in (first, second)]
    assert weights[0] == weights[1]
    tables = [
        pd.read_csv(place / "history.csv").drop(columns="seconds") for place in (first, second)
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


@pytest.mark.parametrize("method", ["moco", "mae"])
def test_continued_run_equals_one_planned_so_long(tensors, tmp_path, method):
    whole = pretrain(tensors, tmp_path / "whole", plan(9), method)
    pretrain(tensors, tmp_path / "parts", plan(2), method)
    lines: list[Epoch] = []
    for epochs in (5, 9):
        continued = pretrain(
            tensors, tmp_path / "parts", plan(epochs), method, on_epoch=lines.append
        )
    assert [line.epoch for line in lines] == [2, 3, 4, 5, 4, 5, 6, 7, 8, 9]
    assert continued.recipe.training == whole.recipe.training
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.usefixtures("saving")
@pytest.mark.parametrize("killed", [3, 6])
def test_continued_run_may_be_killed(tensors, tmp_path, killed):
    pretrain(tensors, tmp_path / "whole", plan(9))
    pretrain(tensors, tmp_path / "parts", plan(5))
    with pytest.raises(ZeroDivisionError):
        pretrain(tensors, tmp_path / "parts", plan(9), on_epoch=stop_after(killed))
    pretrain(tensors, tmp_path / "parts", plan(9))
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert not (tmp_path / "parts" / "resume.ckpt").exists()


@pytest.mark.usefixtures("saving")
@pytest.mark.parametrize("killed", [3, 8])
def test_a_state_of_another_plan_is_used_only_where_both_agree(tensors, tmp_path, killed):
    pretrain(tensors, tmp_path / "whole", plan(7))
    with pytest.raises(ZeroDivisionError):
        pretrain(tensors, tmp_path / "parts", plan(9), on_epoch=stop_after(killed))
    pretrain(tensors, tmp_path / "parts", plan(7))
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.usefixtures("saving")
@pytest.mark.parametrize("spoil", ["facts", "schedule", "weights", "bytes"])
def test_a_state_of_another_version_ends_in_one_line(tensors, tmp_path, spoil):
    with pytest.raises(ZeroDivisionError):
        pretrain(tensors, tmp_path, plan(9), on_epoch=stop_after(2))
    file = tmp_path / "resume.ckpt"
    state = torch.load(file, weights_only=True)
    if spoil == "facts":
        state["callbacks"] = {}
    elif spoil == "schedule":
        state["callbacks"]["History"]["asked"]["rate_of_old"] = 1.0
    else:
        state["state_dict"].popitem()
    torch.save(state, file)
    if spoil == "bytes":
        file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(RunFolderError, match=r"resume.ckpt was saved by another .* Delete it"):
        pretrain(tensors, tmp_path, plan(9))


def test_pretrain_goes_on_where_more_epochs_are_asked_for(tmp_path):
    cohort = draw_cohort(PhantomSpec(subjects=20, images_per_subject=1, size=24))
    data = save_npz(cohort, tmp_path / "cohort.npz")
    kind = {"modality": "ultrasound", "method": "mae", "quiet": True, "course": "constant"}
    tassl.pretrain(data, out=tmp_path / "whole", epochs=5, **kind)
    for epochs in (2, 5):
        tassl.pretrain(data, out=tmp_path / "parts", epochs=epochs, **kind)
    assert_same_run(*[tmp_path / name / "pretrain/mae" for name in ("whole", "parts")])
    study = [(tmp_path / name / "study.yaml").read_text() for name in ("whole", "parts")]
    assert study[0] == study[1]
    for change, told in (({"seed": 1}, "another seed"), ({"course": "cosine"}, "another course")):
        with pytest.raises(RunFolderError, match=told):
            tassl.pretrain(data, out=tmp_path / "parts", epochs=5, **kind | change)


def test_an_unknown_course_is_refused(tmp_path):
    with pytest.raises(UnknownName, match="Did you mean 'constant'"):
        tassl.pretrain(
            "x", out=tmp_path, method="mae", modality="ultrasound", course="constnt", quiet=True
        )


def test_a_run_without_a_saved_state_is_trained_anew(tensors, tmp_path):
    pretrain(tensors, tmp_path / "whole", plan(5))
    pretrain(tensors, tmp_path / "parts", plan(3))
    (tmp_path / "parts" / STABLE).unlink()
    pretrain(tensors, tmp_path / "parts", plan(5))
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_fewer_or_as_many_epochs_return_at_once(tensors, tmp_path):
    pretrain(tensors, tmp_path, plan(3))
    for epochs in (3, 2):
        pretrain(tensors, tmp_path, plan(epochs), on_epoch=stop_after(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "simclr"}, "another method"),
        ({"rows": ROWS[1:]}, "another images"),
        ({"schedule": plan(4, learning_rate=2e-3)}, "another learning_rate"),
        ({"schedule": plan(4, seed=1, cooldown=0.3)}, "another seed and another cooldown"),
    ],
)
def test_a_run_does_not_go_on_with_other_settings(tensors, tmp_path, change, message):
    pretrain(tensors, tmp_path, plan(2))
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(OptionError, match=message):
        pretrain(tensors, tmp_path, **{"schedule": plan(4)} | change)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_a_method_of_stages_does_not_go_on(tensors, tmp_path):
    pretrain(tensors, tmp_path, plan(2), "mae-simclr")
    with pytest.raises(OptionError, match="divides the epochs that were planned"):
        pretrain(tensors, tmp_path, plan(4), "mae-simclr")


@pytest.mark.usefixtures("saving")
def test_a_plateau_ends_in_a_cool_down(tensors, tmp_path, monkeypatch):
    monkeypatch.setattr(history, "has_plateaued", lambda lines, steady: len(lines) > 6)
    stopped = pretrain(tensors, tmp_path / "stopped", plan(30, early_stop=True))
    assert stopped.recipe.training["epochs"] == 10  # six, then four tenths of ten
    assert stopped.recipe.training["stopped"] == "plateau"
    pretrain(tensors, tmp_path / "planned", plan(10))
    assert_same_run(tmp_path / "stopped", tmp_path / "planned")
    rates = pd.read_csv(tmp_path / "stopped" / "history.csv").learning_rate
    assert rates.iloc[-1] == pytest.approx(0, abs=1e-9)
    pretrain(tensors, tmp_path / "stopped", plan(50, early_stop=True), on_epoch=stop_after(0))


@pytest.mark.usefixtures("saving")
@pytest.mark.parametrize("killed", [4, 8])
def test_killed_run_stops_at_the_same_plateau(tensors, tmp_path, monkeypatch, killed):
    monkeypatch.setattr(history, "has_plateaued", lambda lines, steady: len(lines) > 6)
    with pytest.raises(ZeroDivisionError):
        pretrain(tensors, tmp_path / "a", plan(30, early_stop=True), on_epoch=stop_after(killed))
    pretrain(tensors, tmp_path / "a", plan(30, early_stop=True))
    pretrain(tensors, tmp_path / "b", plan(10))
    assert_same_run(tmp_path / "a", tmp_path / "b")


@pytest.mark.usefixtures("saving")
def test_a_run_killed_after_its_last_epoch_tells_the_same(tensors, tmp_path, monkeypatch):
    monkeypatch.setattr(history, "has_plateaued", lambda lines, steady: len(lines) > 6)
    whole = pretrain(tensors, tmp_path / "a", plan(30, early_stop=True))
    with monkeypatch.context() as patch:
        patch.setattr(running, "save_checkpoint", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pretrain(tensors, tmp_path / "b", plan(30, early_stop=True))
    again = pretrain(tensors, tmp_path / "b", plan(30, early_stop=True))
    assert again.recipe.training == whole.recipe.training
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_course_rises_stays_and_falls():
    rates = [plan(10, cooldown=0.2).share(step, 100) for step in range(1000)]
    assert rates[0] == pytest.approx(1 / 50)
    assert np.ptp(rates[49:801]) == 0
    assert rates[900] == pytest.approx(1 - math.sqrt(0.5))
    assert (np.diff(rates[800:]) < 0).all()
    assert plan(10).share(1000, 100) == 0
    assert [plan(20).share(step, 100) for step in range(600)] == [
        plan(10).share(step, 100) for step in range(600)
    ]


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 1.0])
def test_a_shortened_plan_cools_from_where_it_is(share):
    for epoch in range(30) if share < 1 else [0]:
        shorter = plan(100, cooldown=share).cooled_after(epoch)
        assert shorter.cooling_from == epoch
        assert shorter.epochs > epoch


def test_bad_plans_are_refused():
    with pytest.raises(UnknownName, match="Did you mean 'constant'"):
        Schedule(10, 8, course="constnat")
    with pytest.raises(OptionError, match="Use the course 'constant'"):
        Schedule(10, 8, early_stop=True)


def course(losses, spreads=None, ranks=None) -> list[Epoch]:
    count = len(losses)
    spreads = [0.5] * count if spreads is None else spreads
    ranks = [10.0] * count if ranks is None else ranks
    lines = [
        Epoch(k + 1, *values, 1e-3, 1.0)
        for k, values in enumerate(zip(losses, spreads, ranks, strict=True))
    ]
    return [Epoch(0, math.nan, 0.4, 5.0, 0.0, 0.0), *lines]


def noise(count: int, size: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, size, count)


def test_a_loss_that_falls_is_no_plateau_and_one_that_has_fallen_is():
    steps = np.arange(60)
    falling, fallen = 5 - 0.05 * steps, 1 + 4 * np.exp(-steps / 4)
    for losses, flat in ((falling, False), (fallen, True)):
        assert has_plateaued(course(losses + noise(60, 0.01)), steady=True) == flat
        assert has_plateaued(course(3 * losses + 7 + noise(60, 0.01)), steady=True) == flat
    assert not has_plateaued(course(fallen[:19]), steady=True), "too early to tell"


def test_a_small_loss_that_still_falls_by_a_tenth_is_no_plateau():
    slow = 0.15 * np.exp(-np.arange(60) / 150) + np.exp(-np.arange(60))
    assert not has_plateaued(course(slow + noise(60, 1e-4)), steady=True)


def test_noise_is_no_plateau():
    fallen = 1 + 4 * np.exp(-np.arange(60) / 4)
    assert not has_plateaued(course(fallen + noise(60, 1.0)), steady=True)


def test_features_that_move_are_no_plateau():
    flat, losses = 10 + noise(60, 0.05), np.linspace(1, 2, 60)
    growing = np.linspace(5, 10, 60)
    assert has_plateaued(course(losses, flat / 20, flat), steady=False)
    assert not has_plateaued(course(losses, flat / 20, growing), steady=False)
    assert not has_plateaued(course(losses, growing / 20, flat), steady=False)
    assert not has_plateaued(course(losses, flat / 20, growing[::-1]), steady=False)
