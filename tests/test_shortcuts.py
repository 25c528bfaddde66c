"""Features that follow the border or the brightness are named; sound ones are left in peace."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from small_pretraining import pretrain
from tassl.data.layouts import index
from tassl.data.store import build_store
from tassl.data.tensors import Tensors, measure_normalisation
from tassl.modality.base import Augmentation
from tassl.modality.preparing import clip_percentiles
from tassl.pretraining import Schedule
from tassl.pretraining.shortcuts import find_shortcut, swap_border, swap_level

COUNT = 60


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.manual_seed(0))


def frame_of(images: Tensor) -> Tensor:
    return torch.stack([images[..., 0], images[..., -1]], -1).flatten(1)


@pytest.mark.parametrize("space", [(24, 24), (12, 14, 12)])
def test_planted_shortcuts_are_named(space):
    images = draw(COUNT, 1, *space)
    bright = images + 3 * draw(COUNT, 1, *[1] * len(space))
    found = find_shortcut(frame_of, images)
    assert found
    assert not found.healthy
    assert found.verdict.startswith("shortcut: features follow the border; of 60 images")
    assert "crop" in found.action

    def level(images: Tensor) -> Tensor:
        mean = images.flatten(1).mean(1, keepdim=True)
        return torch.cat([mean.cos(), mean.sin()], 1)

    found = find_shortcut(level, bright)
    assert found
    assert "follow the mean intensity" in found.verdict
    assert "brightness" in found.action
    assert find_shortcut(level, bright, restores=True) is None


def test_sound_features_are_left_in_peace():
    images = draw(COUNT, 1, 24, 24)
    assert find_shortcut(lambda images: images.flatten(1), images) is None
    assert find_shortcut(lambda images: images[..., 6:-6, 6:-6].flatten(1), images) is None
    assert find_shortcut(lambda images: torch.ones(len(images), 5), images) is None
    assert find_shortcut(frame_of, images[:8]) is None, "too few to tell"
    same = images.clone()
    same[..., :2], same[..., -2:] = 0, 0
    same[..., :2, :], same[..., -2:, :] = 0, 0
    assert find_shortcut(lambda images: images.flatten(1), same) is None


def test_swaps_change_what_they_say():
    images = draw(2, 3, 24, 36)
    mixed = swap_border(images, images.flip(0))
    torch.testing.assert_close(mixed[..., 2:-2, 3:-3], images[..., 2:-2, 3:-3])
    edges = torch.ones(24, 36, dtype=torch.bool)
    edges[2:-2, 3:-3] = False
    torch.testing.assert_close(mixed[..., edges], images.flip(0)[..., edges])
    moved = swap_level(images, images.flip(0))
    torch.testing.assert_close(moved.mean((1, 2, 3)), images.flip(0).mean((1, 2, 3)))
    torch.testing.assert_close(moved.std((1, 2, 3)), images.std((1, 2, 3)))


def test_a_marked_border_is_named_in_the_health_of_a_run(tmp_path: Path):
    rng = np.random.default_rng(0)
    images = np.full((COUNT, 24, 24), 100.0) + rng.normal(0, 2, (COUNT, 24, 24))
    images[:, :, :2] = rng.integers(0, 2, (COUNT, 1, 2)) * 200  # a code of its own per image
    images[:, :2, :] = rng.integers(0, 2, (COUNT, 2, 24)) * 200
    np.savez(tmp_path / "images.npz", images=images.clip(0, 255).astype(np.uint8))
    store = build_store(index(tmp_path / "images.npz"), clip_percentiles, tmp_path / "store")
    tensors = Tensors(store, measure_normalisation(store, np.arange(COUNT)))
    choices = {"rows": np.arange(COUNT), "views": Augmentation(noise=0.1)}
    pretrain(tensors, tmp_path / "run", Schedule(4, 20), "simclr", **choices)
    health = json.loads((tmp_path / "run" / "health.json").read_text())
    assert health["verdict"].startswith("shortcut: features follow the border")
    assert health["healthy"] is False
