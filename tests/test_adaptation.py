"""Features of a frozen encoder."""

from __future__ import annotations

import numpy as np
import torch

from small_store import make_recipe, make_tensors
from tassl.adaptation import embed_rows
from tassl.checkpoint import build_encoder
from tassl.optimisation import autocast


def test_frozen_features_are_mean_and_deviation_of_every_level(tmp_path):
    tensors = make_tensors(tmp_path)
    torch.manual_seed(0)
    encoder, rows = build_encoder(make_recipe(tensors)), np.array([3, 0, 5])
    features = embed_rows(encoder, tensors, rows, 2)
    assert features.shape == (3, 2 * sum(encoder.widths))
    with torch.no_grad(), autocast():
        maps = [encoder.features(tensors.images(rows[k : k + 1])) for k in range(3)]
    for image, levels in zip(features, maps, strict=True):
        cells = [level[0].float().flatten(1).numpy() for level in levels]
        told = np.concatenate([part for c in cells for part in (c.mean(1), c.std(1))])
        np.testing.assert_allclose(image, told, atol=0.02)  # bf16
