"""One trial: start a head, fit it, predict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from tassl.adaptation import Tuning, embed_rows, fit_head
from tassl.checkpoint import build_encoder, load_checkpoint
from tassl.data.files import write_atomically, write_table
from tassl.data.tensors import Tensors
from tassl.evaluation.finding import Arm
from tassl.evaluation.metrics import score_once
from tassl.evaluation.splits import Subset
from tassl.heads import HEADS
from tassl.heads.base import Head
from tassl.networks.base import Encoder
from tassl.networks.natural import load_natural
from tassl.networks.pixels import Pixels
from tassl.trials.bench import Bench
from tassl.trials.targets.base import PREDICT_BATCH

NATURAL_SHARE = 0.1  # rate of natural-image weights: with batch statistics fixed they move easily
PIXELS_PER_SIDE = {2: 28, 3: 12}


def start_head(bench: Bench, arm: Arm, seed: int) -> tuple[Head, tuple[str, ...]]:
    """A head as the arm starts it, and the names of its pretrained parts."""
    torch.manual_seed(seed)
    card = HEADS[bench.task]
    linear = arm.adaptation != "finetune" and card.probe
    kind = (replace(card, at=card.probe) if linear else card).load()
    if arm.adaptation == "pixels":
        return kind(Pixels(bench.recipe.dims, bench.recipe.channels), None, bench.classes), ()
    if arm.weights:
        shape = bench.tensors.store.grid.shape
        return kind(load_natural(arm.weights, bench.recipe.channels, shape), None, bench.classes), (
            "encoder",
        )
    if not arm.method:
        return kind(build_encoder(bench.recipe), None, bench.classes), ()
    checkpoint = load_checkpoint(bench.checkpoints[arm.method], channels=bench.recipe.channels)
    head = kind(checkpoint.encoder, checkpoint.decoder, bench.classes)
    decoded = checkpoint.decoder is not None and head.dense and not linear
    return head, ("encoder", "decoder") if decoded else ("encoder",)


def fit_arm(bench: Bench, arm: Arm, subset: Subset, tuning: Tuning) -> Head:
    """Fit an arm on a subset, from the same seed for every arm of a draw."""
    seed = bench.seed_of(subset.draw)
    head, pretrained = start_head(bench, arm, seed)
    if arm.weights:
        tuning = replace(tuning, encoder_share=NATURAL_SHARE)
    return fit_head(
        head,
        bench.kind.examples(bench, subset.rows),
        tuning=tuning,
        seed=seed,
        frozen=arm.adaptation != "finetune",
        pretrained=pretrained,
        extra=bench.fixmatch if arm.semi else None,
    )


def make_features(bench: Bench, arm: Arm, rows: np.ndarray) -> np.ndarray:
    """Features (row, width) for a linear model, from pixels or from a frozen encoder."""
    if arm.adaptation == "pixels":
        return pool_pixels(bench.tensors, rows)
    encoder: Encoder = start_head(bench, arm, bench.seed_of(0))[0].encoder
    return embed_rows(encoder, bench.tensors, rows, PREDICT_BATCH[bench.tensors.store.dims])


def pool_pixels(tensors: Tensors, rows: np.ndarray) -> np.ndarray:
    """Pixels (row, pixel) themselves, averaged down where an image is large."""
    side = PIXELS_PER_SIDE[tensors.store.dims]
    shape: Any = [min(side, size) for size in tensors.store.grid.shape]
    pool: Any = F.adaptive_avg_pool2d if tensors.store.dims == 2 else F.adaptive_avg_pool3d
    batch = PREDICT_BATCH[tensors.store.dims]
    parts = [
        pool(tensors.images(rows[k : k + batch]), shape).flatten(1)
        for k in range(0, len(rows), batch)
    ]
    return torch.cat(parts).numpy()


def adapt_once(bench: Bench, arm: Arm, subset: Subset, folder: Path) -> dict[str, float]:
    """Fit one arm on one subset; write head.safetensors and predictions.parquet.

    Returns:
        The task's metrics on the test rows.
    """
    head = fit_arm(bench, arm, subset, bench.tuning)
    table = bench.kind.predict(bench, head, bench.test).table
    state = {name: weight.contiguous() for name, weight in head.state_dict().items()}
    write_atomically(folder / "head.safetensors", lambda draft: save_file(state, draft))
    write_table(folder / "predictions.parquet", table)
    return {name: score_once(table, name) for name in HEADS[bench.task].metrics}
