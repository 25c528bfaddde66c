"""The simulated studies of the coverage benchmark have the truth that they say they have."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.simulation import LABELS, World, _rank_all, draw_study, list_worlds

from tassl.evaluation.classification import binary_auroc


@pytest.mark.parametrize(
    "world",
    [
        World("", "dice", 4000, 40, level=2.0, failing=0.05, pretrained=1),
        World("", "mae", 4000, 40, level=0.0, pretrained=1),
        World("", "auroc", 1000, 40, level=1.0, pretrained=1),
        World("", "dice", 4000, 40, images=3, pretrained=1),
    ],
    ids=lambda world: f"{world.metric} {world.images}",
)
def test_many_subjects_and_draws_come_to_the_truth(world: World):
    scores = draw_study(world, 0.3, np.ones((1, world.subjects)), np.random.default_rng(0))
    means = [[scores[a.name, b, world.metric].observed.mean() for b in LABELS] for a in world.arms]
    assert np.abs(np.array(means) / world.truth(0.3) - 1).max() < 0.06


def test_ranks_against_the_metric():
    rng = np.random.default_rng(0)
    values, positive = rng.normal(size=(2, 2, 3, 12)), np.arange(12) % 2 == 0
    weights = np.r_[np.ones((1, 12)), rng.integers(1, 4, (5, 12))].astype(float)
    observed, resampled = _rank_all(values, positive, weights)
    for place in np.ndindex(2, 2, 3):
        expected = binary_auroc(values[place], positive, weights)
        assert observed[place] == pytest.approx(expected[0], abs=1e-6)
        assert resampled[place[:2]][:, place[2]] == pytest.approx(expected, abs=1e-6)


def test_settings_have_names_of_their_own():
    names = [world.name for world in list_worlds()]
    assert len(set(names)) == len(names)
