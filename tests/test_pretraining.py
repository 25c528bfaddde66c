"""The pretraining loop, end to end on a tiny image set."""

from __future__ import annotations

import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from small_pretraining import ROWS, pretrain, stop_after
from small_store import make_tensors
from tassl.checkpoint import Checkpoint, load_checkpoint
from tassl.data.tensors import Tensors
from tassl.errors import OptionError, UnknownName
from tassl.health import Epoch
from tassl.methods import METHODS
from tassl.methods.simclr import SimCLR
from tassl.methods.usual import DEAREST, usual_epochs
from tassl.modality.base import Augmentation
from tassl.networks import NETWORKS
from tassl.pretraining import Schedule, default_schedule, running, training
from tassl.pretraining.positives import Partners

EPOCHS = 3
VIEWS = Augmentation(crop=0.6, rotate_degrees=10, contrast=0.2, noise=0.1, illuminant=0.1)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory) -> Tensors:
    return make_tensors(tmp_path_factory.mktemp("volumes"), dims=3)


def train(
    tensors: Tensors,
    folder: Path,
    method: str,
    network: str = "",
    *,
    batch: int = 0,
    seed: int = 0,
    **choices: Any,
) -> Checkpoint:
    card = METHODS.get(method, METHODS["simclr"])
    network = network or next(name for name in NETWORKS if name not in card.known_failures)
    schedule = Schedule(EPOCHS, batch or max(8, card.smallest_batch), seed=seed)
    return pretrain(tensors, folder, schedule, method, network, views=VIEWS, **choices)


def read_history(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "history.csv").drop(columns="seconds")


def assert_same_weights(first: Checkpoint, second: Checkpoint) -> None:
    for one, other in ((first.encoder, second.encoder), (first.decoder, second.decoder)):
        if one is None or other is None:
            assert one is other
            continue
        for (name, weight), twin in zip(
            one.state_dict().items(), other.state_dict().values(), strict=True
        ):
            assert torch.equal(weight, twin), name


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_method_trains_end_to_end(tensors, tmp_path, method, network):
    if 2 not in METHODS[method].dims or network in METHODS[method].known_failures:
        pytest.skip("the card rules this combination out")
    lines: list[Epoch] = []
    folder = tmp_path / "run"
    checkpoint = train(tensors, folder, method, network, on_epoch=lines.append)
    assert sorted(file.name for file in folder.iterdir()) == [
        "checkpoint.json",
        "checkpoint.safetensors",
        "examples.npz",
        "health.json",
        "history.csv",
    ]
    history = pd.read_csv(folder / "history.csv")
    assert list(history) == list(Epoch.__dataclass_fields__)
    assert history.epoch.tolist() == list(range(EPOCHS + 1))
    assert [line.epoch for line in lines] == list(range(1, EPOCHS + 1))
    assert history.loss.tolist()[1:] == [line.loss for line in lines]
    assert math.isnan(history.loss[0]), "epoch 0 is the state before training"
    assert history.feature_std[0] > 0
    assert history.loss[1:].notna().all()
    assert history.learning_rate.iloc[-1] == pytest.approx(0, abs=1e-9)
    assert_same_weights(checkpoint, load_checkpoint(folder))
    facts = checkpoint.recipe
    assert facts.method == method
    assert facts.training["images"] == len(ROWS)
    assert facts.training["data"] == tensors.store.digest
    assert facts.training["epochs"] == EPOCHS
    assert facts.decoder == (checkpoint.decoder is not None)
    with np.load(folder / "examples.npz", allow_pickle=False) as shown:
        assert "image" in shown.files
        assert len(shown.files) > 1
        assert {shown[name].shape[:2] for name in shown.files} == {(6, 1)}
        np.testing.assert_allclose(shown["image"], tensors.images(ROWS[:6]).numpy())


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_on_volumes(volumes, tmp_path, method):
    if 3 not in METHODS[method].dims:
        pytest.skip("the card rules volumes out")
    checkpoint = train(volumes, tmp_path, method)
    assert checkpoint.recipe.shape == volumes.store.grid.shape
    assert checkpoint.encoder.dims == 3


@pytest.mark.parametrize("method", METHODS)
def test_training_changes_the_weights_and_the_seed_decides(tensors, tmp_path, method):
    if 2 not in METHODS[method].dims:
        pytest.skip("the card rules images out")
    first = train(tensors, tmp_path / "first", method)
    torch.rand(7)
    assert_same_weights(first, train(tensors, tmp_path / "again", method))
    other = train(tensors, tmp_path / "other", method, seed=1)
    with pytest.raises(AssertionError):
        assert_same_weights(first, other)


def test_gradients_are_clipped(tensors, tmp_path, monkeypatch):
    plain, norms = SimCLR.loss, []

    def record(method: SimCLR) -> None:
        slopes = [weight.grad.flatten() for weight in method.parameters()]
        norms.append(float(torch.cat(slopes).norm()))

    monkeypatch.setattr(SimCLR, "loss", lambda method, views: 1e4 * plain(method, views))
    monkeypatch.setattr(SimCLR, "after_step", record)
    train(tensors, tmp_path, "simclr")
    assert norms == pytest.approx([1.0] * len(norms), abs=1e-3)
    assert norms


@pytest.mark.usefixtures("saving")
@pytest.mark.parametrize("done", [1, 2])
@pytest.mark.parametrize(
    ("method", "network"),
    [*[(name, "") for name, card in METHODS.items() if 2 in card.dims], ("mae", "vit")],
)
def test_resumed_run_equals_an_uninterrupted_one(tensors, tmp_path, method, network, done):
    whole = train(tensors, tmp_path / "whole", method, network)
    folder = tmp_path / "broken"
    with pytest.raises(ZeroDivisionError):
        train(tensors, folder, method, network, on_epoch=stop_after(done))
    assert [file.name for file in folder.iterdir()] == ["resume.ckpt"]
    lines: list[Epoch] = []
    resumed = train(tensors, folder, method, network, on_epoch=lines.append)
    assert [line.epoch for line in lines] == list(range(done + 1, EPOCHS + 1))
    assert_same_weights(whole, resumed)
    pd.testing.assert_frame_equal(
        read_history(folder), read_history(tmp_path / "whole"), check_exact=True
    )
    assert not (folder / "resume.ckpt").exists()


@pytest.mark.usefixtures("saving")
def test_run_killed_before_its_checkpoint_was_written_is_finished(tensors, tmp_path, monkeypatch):
    whole = train(tensors, tmp_path / "whole", "simclr")

    def fail(*args: object) -> None:
        raise OSError("the disk is full")

    folder = tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setattr(running, "save_checkpoint", fail)
        with pytest.raises(OSError, match="disk is full"):
            train(tensors, folder, "simclr")
    assert not (folder / "checkpoint.json").exists()
    lines: list[Epoch] = []
    resumed = train(tensors, folder, "simclr", on_epoch=lines.append)
    assert [line.epoch for line in lines] in ([], [EPOCHS])
    assert_same_weights(whole, resumed)
    pd.testing.assert_frame_equal(read_history(folder), read_history(tmp_path / "whole"))


def test_keyboard_interrupt_comes_through(tensors, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(tensors, tmp_path, "simclr", on_epoch=stop_after(1, KeyboardInterrupt))
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_order_to_end_is_no_success(tensors: Tensors, tmp_path: Path):
    def end(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit, match="told to end"):
        train(tensors, tmp_path, "simclr", on_epoch=end)
    assert not (tmp_path / "checkpoint.json").exists()


def test_finished_run_returns_at_once(tensors, tmp_path):
    first = train(tensors, tmp_path, "simclr")
    lines: list[Epoch] = []
    assert_same_weights(first, train(tensors, tmp_path, "simclr", on_epoch=lines.append))
    assert lines == []


def test_only_the_given_rows_are_seen(tensors, tmp_path, monkeypatch):
    seen: set[int] = set()
    original = Tensors.images

    def watch(self: Tensors, rows: np.ndarray) -> torch.Tensor:
        seen.update(np.asarray(rows).tolist())
        return original(self, rows)

    monkeypatch.setattr(Tensors, "images", watch)
    train(tensors, tmp_path, "simclr")
    assert seen <= set(ROWS.tolist())
    assert len(seen) == len(ROWS)


def test_options_come_over_those_that_fit(tensors, tmp_path):
    done = train(tensors, tmp_path / "mae", "mae", options={"guide": "gradient"}).recipe
    plain = train(tensors, tmp_path / "plain", "mae").recipe
    assert done.method_options == plain.method_options | {"guide": "gradient"}


def test_images_of_other_dimensions_are_refused(tensors, tmp_path):
    with pytest.raises(OptionError, match="Slice order works on 3D images; these are 2D"):
        train(tensors, tmp_path / "run", "order")


def test_natural_positives_come_to_the_method(tensors, tmp_path, monkeypatch):
    seen = []
    original = SimCLR.views

    def watch(self, batch):
        seen.append((batch.rows, batch.groups, batch.partners))
        return original(self, batch)

    monkeypatch.setattr(SimCLR, "views", watch)
    pairs = np.arange(len(tensors.store.table)) // 2
    table = tensors.store.table.assign(subject=pairs.astype(str), study="1")
    paired = Tensors(replace(tensors.store, table=table), tensors.normalisation)
    monkeypatch.setattr(
        training, "Partners", lambda table, rows, _: Partners(table, rows, {"same study"})
    )
    checkpoint = train(paired, tmp_path / "run", "simclr")
    assert checkpoint.recipe.training["paired"] == len(ROWS)
    rows, groups, partners = seen[0]
    assert torch.equal(groups, torch.from_numpy(pairs)[rows])
    assert torch.equal(partners, tensors.images(rows.numpy() ^ 1))


def test_a_network_that_does_not_fit_is_refused(tensors, tmp_path):
    with pytest.raises(OptionError, match=r"does not work on network 'cnn'.*--network vit"):
        train(tensors, tmp_path / "run", "jepa", "cnn")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("rows", "batch"), [(ROWS, 4), (ROWS[:5], 8)])
def test_too_small_a_batch_is_refused(tensors, tmp_path, rows, batch):
    with pytest.raises(OptionError, match=r"SimCLR needs at least 8 images .* at batch \d came"):
        train(tensors, tmp_path / "run", "simclr", rows=rows, batch=batch)
    assert not (tmp_path / "run").exists()


def test_unknown_method_is_refused(tensors, tmp_path):
    with pytest.raises(UnknownName, match="Did you mean 'simclr'"):
        train(tensors, tmp_path, "simcrl")


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("images", [2, 10, 100, 1000, 100_000])
@pytest.mark.parametrize("method", METHODS)
def test_default_schedule_fits_the_images(images, dims, method):
    plan = default_schedule(images, dims, 4, METHODS[method])
    assert plan.seed == 4
    assert plan.learning_rate == METHODS[method].rates[dims - 2]
    assert plan.epochs >= 10
    assert 1 <= plan.batch <= images
    assert plan.batch >= min(METHODS[method].smallest_batch, images)
    assert images // plan.batch >= 1


@pytest.mark.parametrize("method", METHODS)
def test_dear_methods_make_fewer_passes_so_that_the_effort_is_similar(method):
    card = METHODS[method]
    effort = usual_epochs(card, 624, 2) * card.cost / usual_epochs(METHODS["simclr"], 624, 2)
    assert effort == pytest.approx(min(card.cost, DEAREST), rel=0.01)
