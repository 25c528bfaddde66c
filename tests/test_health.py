"""A sick pretraining is named, with its epoch; a healthy one is left in peace."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from small_pretraining import pretrain
from small_store import make_tensors
from tassl.checkpoint import load_checkpoint
from tassl.health import Epoch, judge, last_sound, measure_features
from tassl.methods import METHODS, MethodCard
from tassl.methods.base import Batch, Method
from tassl.pretraining import Schedule

EPOCHS = 8


class Shrink(Method):
    """Plants a collapse: every image is drawn to the same feature."""

    def views(self, batch: Batch) -> tuple[Tensor, ...]:
        return (batch.images,)

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        features = F.normalize(self.encoder(views[0]))
        return (features.var(0).sum() + 1e-9).log()


class Burst(Shrink):
    """Plants a divergence: the loss is NaN from the fifth step on."""

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        self.steps = getattr(self, "steps", 0) + 1
        return super().loss(views) * (math.nan if self.steps >= 5 else 1.0)


def train(folder: Path, method: str, rate: float) -> tuple[dict, pd.DataFrame]:
    tensors = make_tensors(folder)
    schedule = Schedule(EPOCHS, 8, learning_rate=rate)
    pretrain(tensors, folder / "run", schedule, method, rows=np.arange(24))
    health = json.loads((folder / "run" / "health.json").read_text())
    return health, pd.read_csv(folder / "run" / "history.csv")


@pytest.fixture
def planted(monkeypatch):
    for kind in (Shrink, Burst):
        card = MethodCard(kind.__name__, at=f"{__name__}:{kind.__name__}", paradigm="predictive")
        monkeypatch.setitem(METHODS, kind.__name__.lower(), card)


@pytest.mark.usefixtures("planted")
def test_planted_collapse_is_named_with_its_epoch(tmp_path):
    health, history = train(tmp_path, "shrink", rate=0.1)
    last = history.iloc[-1]
    assert health["verdict"].startswith(f"collapsed at epoch {int(last.epoch)}: ")
    assert health["healthy"] is False
    assert f"holds the weights of epoch {health['kept']}," in health["action"]
    assert last.feature_std < max(0.01, 0.05 * history.feature_std[0]) or last.effective_rank < 1.5
    assert last.epoch < EPOCHS, "training stops where it collapses"


@pytest.mark.usefixtures("planted")
def test_planted_divergence_is_named_with_its_epoch(tmp_path):
    health, history = train(tmp_path, "burst", rate=1e-4)
    assert health["verdict"].startswith("diverged at epoch 2: ")  # three steps an epoch
    assert health["healthy"] is False
    assert "learning rate" in health["action"]
    assert history.epoch.tolist() == [0, 1, 2]


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize(("method", "rate"), [("shrink", 0.1), ("burst", 1e-4)])
def test_the_last_sound_weights_are_kept(tmp_path, method, rate):
    health, history = train(tmp_path, method, rate)
    checkpoint = load_checkpoint(tmp_path / "run")
    (tmp_path / "again").mkdir()
    images = make_tensors(tmp_path / "again").images(np.arange(24))
    with torch.no_grad():
        spread, rank = measure_features(checkpoint.encoder(images))
    kept = history[history.epoch == health["kept"]].iloc[0]
    assert (spread, rank) == pytest.approx((kept.feature_std, kept.effective_rank), rel=1e-2)
    assert health["kept"] < history.epoch.iloc[-1]
    assert spread > history.feature_std[0] / 4
    assert checkpoint.recipe.training["kept"] == health["kept"]
    assert checkpoint.recipe.training["stopped"] == "unhealthy"


def test_healthy_run_is_healthy(tmp_path):
    health, history = train(tmp_path, "simclr", rate=1e-3)
    assert health == {"verdict": "healthy", "healthy": True, "action": "Go on.", "kept": None}
    assert history.epoch.tolist() == list(range(EPOCHS + 1))


def line(epoch: int, loss: float = 1.0, spread: float = 0.5, rank: float = 10.0) -> Epoch:
    return Epoch(epoch, loss, spread, rank, 1e-3, 1.0)


START = line(0, math.nan)


@pytest.mark.parametrize(
    ("sick", "verdict"),
    [
        (line(2, loss=math.nan), "diverged at epoch 2"),
        (line(2, loss=math.inf), "diverged at epoch 2"),
        (line(2, spread=math.nan, rank=math.nan), "diverged at epoch 2"),
        (line(2, spread=0.001), "collapsed at epoch 2"),
        (line(2, spread=0.02), "collapsed at epoch 2"),
        (line(2, rank=1.2), "collapsed at epoch 2"),
    ],
)
def test_the_first_sick_epoch_is_named(sick, verdict):
    health = judge([START, line(1), sick, line(3, loss=math.nan)])
    assert health.verdict.startswith(verdict)
    assert not health.healthy
    assert "\n" not in health.verdict


def course(*losses: float) -> list[Epoch]:
    return [START, *[line(k + 1, loss) for k, loss in enumerate(losses)]]


def test_a_task_solved_at_once_is_named():
    losses = [1.4, 0.02, *[0.01] * 18]
    health = judge(course(*losses))
    assert health.verdict.startswith("solved at epoch 2 of 20")
    assert not health.healthy
    assert "border" in health.action
    assert judge(course(*losses[:2]), epochs=20).verdict.startswith("solved at epoch 2 of 20")
    assert judge(course(*losses), steady=False).verdict == "healthy"


def test_a_task_solved_late_is_no_fault():
    assert judge(course(*[1.4 * 0.7**k for k in range(20)])).healthy


def test_a_loss_that_never_falls_is_named_at_the_end():
    losses = [1.0 + 0.001 * (-1) ** k for k in range(10)]
    health = judge(course(*losses))
    assert health.verdict.startswith("stagnated: after 10 epochs the loss is 0.9")
    assert not health.healthy
    assert judge(course(*losses), epochs=20).healthy, "there is time left"
    assert judge(course(*losses), steady=False).healthy


def test_a_run_cut_short_is_told_to_go_on():
    health = judge(course(*[2.0 - 0.1 * k for k in range(20)][:15]))
    assert health.healthy
    assert "still improving" in health.verdict
    assert "more epochs" in health.action
    assert judge(course(*[1 + 1 / (1 + k) for k in range(40)])).verdict == "healthy"


def test_the_epochs_in_which_a_collapse_builds_up_are_not_sound():
    spreads = [0.5, 0.48, 0.52, 0.5, 0.2, 0.05, 0.001]
    lines = [START, *[line(k + 1, spread=spread) for k, spread in enumerate(spreads)]]
    assert judge(lines).kept == 4
    ranks = [line(k + 1, rank=rank) for k, rank in enumerate([9.0, 8.0, 3.0, 1.2])]
    assert judge([START, *ranks]).kept == 2
    assert judge([START, line(1, spread=0.001)]).kept == 0
    assert judge([START, line(1), line(2), line(3, loss=math.nan)]).kept == 2


def test_features_that_settle_lower_are_sound():
    spreads = [0.4, 0.3, *[0.15] * 20]
    assert last_sound([START, *[line(k + 1, spread=s) for k, s in enumerate(spreads)]]) == 22


def test_state_before_training_is_not_judged():
    assert judge([line(0, math.nan, spread=0.005, rank=1.1)]).healthy
    assert judge([START, line(1), line(2, spread=0.1, rank=2)]).healthy


@pytest.mark.parametrize("count", [2, 3, 7])
def test_rank_of_orthogonal_directions_is_their_number(count):
    axes = torch.linalg.qr(torch.randn(16, 16, generator=torch.manual_seed(0)))[0][:count]
    spread, rank = measure_features(torch.cat([axes, -axes]) * 5)
    assert rank == pytest.approx(count, rel=1e-4)
    assert spread == pytest.approx(1.0, rel=1e-4)


def test_rank_and_spread_ignore_the_length_of_features():
    features = torch.randn(40, 8, generator=torch.manual_seed(0))
    lengths = torch.rand(40, 1) + 0.1
    assert measure_features(features * lengths) == pytest.approx(
        measure_features(features), rel=1e-4
    )


def test_features_all_alike_have_no_spread():
    spread, rank = measure_features(torch.ones(10, 6))
    assert spread == pytest.approx(0, abs=1e-6)
    assert rank == pytest.approx(1, abs=0.5)
    assert all(math.isnan(value) for value in measure_features(torch.full((4, 3), math.nan)))
