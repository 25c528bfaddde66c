"""Images that grow: half the size for a share of the training, then the whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from small_pretraining import ROWS, pretrain, stop_after
from small_store import OPTIONS, make_profile, make_recipe
from tassl.errors import OptionError
from tassl.methods import METHODS
from tassl.methods.base import Batch
from tassl.methods.simclr import SimCLR
from tassl.modality.base import Augmentation
from tassl.networks import NETWORKS
from tassl.pretraining import Schedule, plan_pretraining, planning
from tassl.pretraining.growing import halve
from tassl.pretraining.measuring import Cost
from tassl.study import Study
from tassl.transforms.augment import Augment
from tassl.transforms.draws import seeded

VIEWS = Augmentation(crop=0.6, noise=0.1)
PLAN = Schedule(6, 8, grow=0.5)


@pytest.mark.parametrize("space", [(4, 6), (5, 8), (4, 6, 8)])
def test_a_pixel_is_the_mean_of_what_it_covers(space):
    images = torch.randn(2, 3, *space, generator=seeded(0))
    rows, half = torch.arange(2), tuple(size // 2 for size in space)
    small, same, partners = halve((images, rows, None))
    assert small.shape[2:] == half
    assert same is rows
    assert partners is None
    if not any(size % 2 for size in space):
        for place in np.ndindex(*half):
            block = images[(..., *[slice(2 * k, 2 * k + 2) for k in place])]
            torch.testing.assert_close(small[(..., *place)], block.flatten(2).mean(2))
    torch.testing.assert_close(halve((images, rows, images))[2], small)


def test_images_grow_after_their_share(tensors, tmp_path, monkeypatch):
    sizes, original = [], SimCLR.views
    monkeypatch.setattr(
        SimCLR,
        "views",
        lambda self, batch: (sizes.append(batch.images.shape[2:]), original(self, batch))[1],
    )
    done = pretrain(tensors, tmp_path, PLAN, "simclr")
    steps = len(ROWS) // PLAN.batch
    assert sizes[:-1] == [(8, 10)] * 3 * steps + [(16, 20)] * 3 * steps
    assert sizes[-1] == (16, 20), "the pictures"
    assert done.recipe.training["grow"] == 0.5


@pytest.mark.usefixtures("saving")
@pytest.mark.parametrize("killed", [1, 4])
def test_a_killed_run_grows_the_same(tensors, tmp_path, killed):
    pretrain(tensors, tmp_path / "whole", PLAN, "simclr")
    with pytest.raises(ZeroDivisionError):
        pretrain(tensors, tmp_path / "parts", PLAN, "simclr", on_epoch=stop_after(killed))
    pretrain(tensors, tmp_path / "parts", PLAN, "simclr")
    files = [tmp_path / name / "checkpoint.safetensors" for name in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()
    losses = [pd.read_csv(file.with_name("history.csv")).loss for file in files]
    pd.testing.assert_series_equal(*losses)


@pytest.mark.parametrize("method", [n for n, card in METHODS.items() if not card.known_failures])
def test_every_method_sees_half_the_size(method):
    dims = METHODS[method].dims[0]
    space = {2: (20, 24), 3: (18, 20, 24)}[dims]
    torch.manual_seed(0)
    encoder, kind = NETWORKS["cnn"].load()(dims, 1, **OPTIONS["cnn"]), METHODS[method].load()
    learner = kind(encoder, augment=Augment(VIEWS), **kind.fitting(make_profile(), space))
    images, rows, _ = halve((torch.randn(8, 1, *space, generator=seeded(0)), torch.arange(8), None))
    loss = learner.loss(learner.views(Batch(images, rows, seeded(0))))
    loss.backward()
    assert loss.isfinite()


def test_the_plan_knows_both_sizes(tensors, monkeypatch):
    def measure(*_, schedule: Schedule, **job: object) -> Cost:
        return Cost(10**6, 1.0, 0.25 if schedule.grow else 1.0, 0.5, 1, 1)

    monkeypatch.setattr(planning, "measure_cost", measure)
    recipe = make_recipe(tensors)
    plan = plan_pretraining(
        tensors, ROWS, method="simclr", recipe=recipe, schedule=PLAN,
        profile=make_profile(), views=VIEWS,
    )  # fmt: skip
    assert plan.schedule == PLAN
    assert plan.epoch == pytest.approx(2 * (0.5 * 0.25 + 0.5) + 0.5)


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        ({"grow": 1.5}, "--grow is 1.5; wanted a share"),
        ({"grow": 0.5, "course": "constant"}, "does not know how many"),
        ({"grow": 0.5, "scout": "10m"}, "no --scout"),
    ],
)
def test_what_cannot_grow_is_refused_before_data_are_read(choices, told):
    with pytest.raises(OptionError, match=told):
        Study("nowhere", "ultrasound", "classification", **choices).check()


def test_a_transformer_does_not_grow(tensors, tmp_path):
    with pytest.raises(OptionError, match=r"'vit' would show twice as much .* Use --network cnn"):
        pretrain(tensors, tmp_path, PLAN, "simclr", "vit")


@pytest.mark.parametrize(
    ("shape", "told"),
    [((12, 20), "on images of 6 x 10 pixels"), ((90, 70, 40), "seen through windows")],
)
def test_tiny_and_large_images_do_not_grow(tensors, tmp_path, shape, told):
    recipe = replace(make_recipe(tensors), shape=shape)
    with pytest.raises(OptionError, match=told):
        pretrain(tensors, tmp_path, PLAN, "simclr", recipe=recipe)
