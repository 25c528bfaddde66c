"""Any method on hardly any images or in tiny batches trains soundly, or refuses in one line."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from small_store import make_recipe, make_tensors
from tassl.errors import OptionError
from tassl.methods import METHODS
from tassl.modality import MODALITIES
from tassl.modality.base import Augmentation
from tassl.networks import NETWORKS
from tassl.pretraining import Schedule, default_schedule, fall_back, pretrain_method

PLANTED = [(24, 1), (24, 2), (24, 3), (3, None), (5, None), (9, None)]  # images, batch


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return {
        (dims, count): make_tensors(tmp_path_factory.mktemp(f"{dims}d-{count}"), dims, count)
        for dims in (2, 3)
        for count in {count for count, _ in PLANTED}
    }


def schedule_of(method: str, dims: int, images: int, batch: int | None) -> Schedule:
    usual = default_schedule(images, dims, 0, METHODS[method])
    return Schedule(1, batch or usual.batch)


@pytest.mark.slow
@pytest.mark.parametrize(("images", "batch"), PLANTED)
@pytest.mark.parametrize("method", METHODS)
def test_tiny_batches_and_sets_train_soundly_or_are_refused(
    tmp_path, stores, method, images, batch
):
    card = METHODS[method]
    dims = 3 if card.ordered else card.dims[0]
    tensors, plan = stores[dims, images], schedule_of(method, dims, images, batch)
    network = next(name for name in NETWORKS if name not in card.known_failures)

    def train(name: str):
        return pretrain_method(
            tensors,
            np.arange(images),
            method=name,
            recipe=make_recipe(tensors, network),
            profile=MODALITIES["ultrasound"].load(),
            views=Augmentation(crop=0.6, noise=0.1),
            schedule=schedule_of(name, dims, images, batch),
            folder=tmp_path / name,
        )

    if min(plan.batch, images) < card.smallest_batch:
        with pytest.raises(OptionError, match=f"needs at least {card.smallest_batch} images") as e:
            train(method)
        assert "\n" not in str(e.value)
        assert not (tmp_path / method).exists()
        method = fall_back(method, images, batch)
        if METHODS[method].smallest_batch > min(plan.batch, images):
            return
    checkpoint = train(method)
    assert checkpoint.recipe.method == method
    health = json.loads((tmp_path / method / "health.json").read_text())
    assert health["healthy"], health["verdict"]
    assert math.isfinite(pd.read_csv(tmp_path / method / "history.csv").loss.iloc[-1])
