"""One trial: start a head, fit it, predict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from sklearn.pipeline import Pipeline
from torch import Tensor
from torch.nn import functional as F

from tassl.adaptation import Tuning, embed_rows, fit_head, predict_rows
from tassl.checkpoint import build_encoder, load_checkpoint
from tassl.data.files import write_atomically
from tassl.data.tensors import Tensors
from tassl.evaluation.metrics import score_once
from tassl.evaluation.segmentation import dice_of_masks, measure_masks
from tassl.evaluation.splits import Subset
from tassl.evaluation.verdict import Arm
from tassl.heads import HEADS
from tassl.heads.base import Head
from tassl.heads.probe import fit_probe
from tassl.heads.ridge import fit_ridge
from tassl.networks.base import Encoder
from tassl.trials.bench import Bench

PIXELS_PER_SIDE = {2: 28, 3: 12}
PREDICT_BATCH = {2: 128, 3: 4}


def start_head(bench: Bench, arm: Arm, seed: int) -> tuple[Head, tuple[str, ...]]:
    """A head as the arm starts it, and the names of its pretrained parts."""
    torch.manual_seed(seed)
    kind = HEADS[bench.task].load()
    if not arm.method:
        return kind(build_encoder(bench.recipe), None, bench.classes), ()
    checkpoint = load_checkpoint(bench.checkpoints[arm.method], channels=bench.recipe.channels)
    head = kind(checkpoint.encoder, checkpoint.decoder, bench.classes)
    decoded = checkpoint.decoder is not None and head.dense
    return head, ("encoder", "decoder") if decoded else ("encoder",)


def fit_arm(bench: Bench, arm: Arm, subset: Subset, tuning: Tuning) -> Head:
    """Fit an arm on a subset, from the same seed for every arm of a draw."""
    seed = bench.seed * 1000 + subset.draw
    head, pretrained = start_head(bench, arm, seed)
    return fit_head(
        head,
        bench.tensors,
        subset.rows,
        _targets(bench, subset.rows),
        tuning=tuning,
        augment=bench.augment,
        seed=seed,
        frozen=arm.adaptation == "frozen",
        pretrained=pretrained,
    )


def _targets(bench: Bench, rows: np.ndarray) -> Tensor:
    if HEADS[bench.task].load().dense:
        return bench.tensors.masks(bench.target[rows])
    return torch.from_numpy(bench.target[rows])


def predict_table(
    bench: Bench, head: Head, rows: np.ndarray, *, fully: bool = True
) -> pd.DataFrame:
    """Predictions of a head for these rows, one row each; of masks, their scores."""
    if head.dense:
        return mask_table(bench, predict_masks(bench, head, rows), rows, fully=fully)
    found = torch.cat(list(_predictions(bench, head, rows))).numpy()
    if HEADS[bench.task].target == "value":
        return _value_table(bench, rows, found[:, 0])
    return _score_table(bench, rows, found)


def predict_masks(bench: Bench, head: Head, rows: np.ndarray) -> np.ndarray:
    """Predicted class numbers of these rows, (row, *space) uint8."""
    batches = _predictions(bench, head, rows)
    return np.concatenate([batch.argmax(1).to(torch.uint8).numpy() for batch in batches])


def mask_table(
    bench: Bench, masks: np.ndarray, rows: np.ndarray, *, fully: bool = True
) -> pd.DataFrame:
    """Scores of predicted masks per class, one row each; Dice alone unless `fully`."""
    store = bench.tensors.store
    assert store.masks is not None
    pairs = [(mask, store.masks[row]) for mask, row in zip(masks, rows, strict=True)]
    dice = [dice_of_masks(*pair, bench.classes) for pair in pairs]
    table = _table(bench, rows, np.array(dice), "dice_", 1)
    if not fully:
        return table
    spacing = store.grid.spacing or (1.0,) * store.dims
    tolerance = bench.protocol.tolerance
    rest = [measure_masks(*pair, bench.classes, spacing, tolerance) for pair in pairs]
    return pd.concat([table, pd.DataFrame(rest).round(6)], axis=1)


def _predictions(bench: Bench, head: Head, rows: np.ndarray) -> Iterator[Tensor]:
    return predict_rows(head, bench.tensors, rows, PREDICT_BATCH[bench.tensors.store.dims])


def make_features(bench: Bench, arm: Arm, rows: np.ndarray | None = None) -> np.ndarray:
    """Features of rows, or of all, for a linear model: from pixels or from a frozen encoder."""
    if rows is None:
        rows = np.arange(len(bench.tensors.store.table))
    if arm.adaptation == "pixels":
        return _pixels(bench.tensors, rows)
    encoder: Encoder = start_head(bench, arm, bench.seed * 1000)[0].encoder
    return embed_rows(encoder, bench.tensors, rows, PREDICT_BATCH[bench.tensors.store.dims])


def _pixels(tensors: Tensors, rows: np.ndarray) -> np.ndarray:
    """Pixels themselves, averaged down where an image is large."""
    side = PIXELS_PER_SIDE[tensors.store.dims]
    shape: Any = [min(side, size) for size in tensors.store.grid.shape]
    pool: Any = F.adaptive_avg_pool2d if tensors.store.dims == 2 else F.adaptive_avg_pool3d
    batch = PREDICT_BATCH[tensors.store.dims]
    parts = [
        pool(tensors.images(rows[k : k + batch]), shape).flatten(1)
        for k in range(0, len(rows), batch)
    ]
    return torch.cat(parts).numpy()


def fit_linear(bench: Bench, features: np.ndarray, subset: Subset) -> Pipeline:
    """A linear model on fixed features, fitted to a subset."""
    subjects = bench.tensors.store.table.subject.to_numpy()[subset.rows]
    labels = bench.target[subset.rows]
    if HEADS[bench.task].target == "value":
        return fit_ridge(features[subset.rows], labels, subjects)
    return fit_probe(features[subset.rows], labels, subjects, bench.seed * 1000 + subset.draw)


def probe_table(bench: Bench, model: Pipeline, features: np.ndarray) -> pd.DataFrame:
    """Predictions of a linear model for the test rows, from their features."""
    if HEADS[bench.task].target == "value":
        return _value_table(bench, bench.test, model.predict(features))
    scores = np.zeros((len(bench.test), bench.classes))
    scores[:, model.classes_] = model.predict_proba(features)
    return _score_table(bench, bench.test, scores)


def _value_table(bench: Bench, rows: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    table = bench.tensors.store.table.iloc[rows][["id", "subject", "value"]]
    return table.reset_index(drop=True).assign(predicted=predicted.astype(float))


def _score_table(bench: Bench, rows: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    labels = bench.tensors.store.table.label.to_numpy()[rows]
    return _table(bench, rows, scores, "score_", 0).assign(label=labels)


def _table(
    bench: Bench, rows: np.ndarray, values: np.ndarray, prefix: str, first: int
) -> pd.DataFrame:
    table = bench.tensors.store.table.iloc[rows][["id", "subject"]].reset_index(drop=True)
    names = [f"{prefix}{first + k}" for k in range(values.shape[1])]
    return pd.concat(
        [table, pd.DataFrame(np.round(values.astype(float), 6), columns=names)], axis=1
    )


def adapt_once(bench: Bench, arm: Arm, subset: Subset, folder: Path) -> dict[str, float]:
    """Fit one arm on one subset; write head.safetensors and predictions.parquet.

    Returns:
        The task's metrics on the test rows.
    """
    head = fit_arm(bench, arm, subset, bench.tuning)
    table = predict_table(bench, head, bench.test)
    save_file(
        {k: v.contiguous() for k, v in head.state_dict().items()}, folder / "head.safetensors"
    )
    file = folder / "predictions.parquet"
    write_atomically(file, lambda draft: table.to_parquet(draft, index=False))
    return {name: score_once(table, name) for name in HEADS[bench.task].metrics}
