"""Any method on hardly any images or in tiny batches trains soundly, or refuses in one line."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from small_pretraining import pretrain
from small_store import make_tensors
from tassl.errors import OptionError
from tassl.methods import METHODS
from tassl.networks import NETWORKS
from tassl.pretraining import Schedule, default_schedule, fall_back

PLANTED = [(24, 1), (24, 2), (24, 3), (3, None), (5, None), (9, None)]  # images, batch


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return {
        (dims, count): make_tensors(tmp_path_factory.mktemp(f"{dims}d-{count}"), dims, count)
        for dims in (2, 3)
        for count in {images for images, _ in PLANTED}
    }


@pytest.mark.slow
@pytest.mark.parametrize(("images", "batch"), PLANTED)
@pytest.mark.parametrize("method", METHODS)
def test_tiny_batches_and_sets_train_soundly_or_are_refused(
    tmp_path, stores, method, images, batch
):
    card = METHODS[method]
    dims = 3 if card.ordered else card.dims[0]
    network = next(name for name in NETWORKS if name not in card.known_failures)

    def usual_batch(name: str) -> int:
        return batch or default_schedule(images, dims, 0, METHODS[name]).batch

    def train(name: str):
        schedule = Schedule(1, usual_batch(name))
        rows = np.arange(images)
        return pretrain(stores[dims, images], tmp_path / name, schedule, name, network, rows)

    if min(usual_batch(method), images) < card.smallest_batch:
        with pytest.raises(OptionError, match=f"needs at least {card.smallest_batch} images") as e:
            train(method)
        assert "\n" not in str(e.value)
        assert not (tmp_path / method).exists()
        method = fall_back(method, images, batch)
        if METHODS[method].smallest_batch > min(usual_batch(method), images):
            return  # nothing of its kind is safe
    assert train(method).recipe.method == method
    health = json.loads((tmp_path / method / "health.json").read_text())
    assert health["healthy"], health["verdict"]
    assert math.isfinite(pd.read_csv(tmp_path / method / "history.csv").loss.iloc[-1])
