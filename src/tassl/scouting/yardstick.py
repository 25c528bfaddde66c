"""How well features serve the task, by cross-validation on labelled training subjects alone.

Frozen features are probed by linear models and, for classes, by nearest neighbours; for masks and
restored images the points of the whole pyramid are, for boxes its anchors. Since a probe is unfair
to masked methods, whole networks are fine-tuned too, shortly, where time allows. All are scored on
the same folds.

Source:
    A frozen masked encoder is no fair test: Chen et al., 2022, arXiv:2210.12843.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tassl.adaptation import Tuning, embed_rows, fit_head
from tassl.data.regions import split_codes
from tassl.evaluation.metrics import METRICS, score_once
from tassl.heads import HEADS
from tassl.heads.base import Head
from tassl.heads.box_probe import BoxProbe
from tassl.heads.ridge import limit_features
from tassl.networks.base import Encoder
from tassl.networks.decoder import Decoder
from tassl.scouting.ground import Ground
from tassl.scouting.points import cut_points, embed_points, probe_points, step_of
from tassl.scouting.restoring import probe_restoration, score_restored
from tassl.trials.bench import Bench
from tassl.trials.targets.base import PREDICT_BATCH

FROZEN, NEAREST, TUNED = "frozen", "nearest neighbours", "fine-tuned"
NEIGHBOURS = 10
PROBING = 100  # steps of a linear model of anchors
Scores = dict[str, list[float]]  # one score per part, by the way the features are used
Start = Callable[[], tuple[Encoder, Decoder | None]]


def probe(ground: Ground, encoder: Encoder) -> Scores:
    """Score frozen features on every part, by what the images are labelled with."""
    return PROBES[HEADS[ground.bench.task].target](ground, encoder)


def probe_images(ground: Ground, encoder: Encoder) -> Scores:
    """Score a vector per image, by models of what the whole image is labelled with."""
    batch = PREDICT_BATCH[encoder.dims]
    return probe_vectors(ground, embed_rows(encoder, ground.bench.tensors, ground.rows, batch))


def probe_masks(ground: Ground, encoder: Encoder) -> Scores:
    """Score the points of an image, by a linear model of their classes: Dice."""
    bench, step = ground.bench, step_of(ground.bench.tensors)
    features = embed_points(encoder, bench.tensors, ground.rows, step)
    truth = cut_points(bench.tensors.masks(bench.target[ground.rows]), step)
    return {FROZEN: probe_points(features, truth, ground.parts, bench.classes, seed=bench.seed)}


def probe_regions(ground: Ground, encoder: Encoder) -> Scores:
    """Score the points of an image, by a linear model of each region: the mean of their Dice."""
    bench, step = ground.bench, step_of(ground.bench.tensors)
    features = embed_points(encoder, bench.tensors, ground.rows, step)
    codes = cut_points(bench.kind.load(bench, ground.rows), step)
    scores = [
        probe_points(features, truth.astype(np.uint8), ground.parts, 2, seed=bench.seed)
        for truth in split_codes(codes, bench.classes)
    ]
    return {FROZEN: np.mean(scores, 0).tolist()}


def probe_boxes(ground: Ground, encoder: Encoder) -> Scores:
    """Score every anchor, by a linear model of whether it shows an object and where: mean AP."""
    start = lambda: BoxProbe(encoder, None, ground.bench.classes)  # noqa: E731
    tuning = replace(ground.bench.tuning, fewest_steps=PROBING, most_steps=PROBING)
    return {FROZEN: _fit_parts(ground, start, slice(None), tuning, frozen=True)}


def probe_restored(ground: Ground, encoder: Encoder) -> Scores:
    """Score the points of an image, by a linear model of what was degraded there."""
    return {FROZEN: probe_restoration(ground, encoder)}


def probe_vectors(ground: Ground, features: np.ndarray) -> Scores:
    """Score one vector per labelled row, (row, width), on every part."""
    whole = np.zeros((len(ground.bench.target), features.shape[1]), dtype=features.dtype)
    whole[ground.rows] = features
    scores: Scores = {}
    for k, (bench, fitted) in enumerate(_list_parts(ground)):
        models = {FROZEN: bench.kind.fit_linear(bench, whole, fitted, bench.seed + k)}
        if bench.kind.stratified:
            models[NEAREST] = _fit_neighbours(bench, whole, fitted)
        for way, model in models.items():
            table = bench.kind.probe(bench, model, whole[bench.test]).table
            scores.setdefault(way, []).append(score(bench, table, fitted))
    return scores


def tune(ground: Ground, start: Start, parts: slice) -> list[float]:
    """Scores of whole networks after a short fine-tuning, on some parts."""
    bench = ground.bench
    new = lambda: HEADS[bench.task].load()(*start(), bench.classes)  # noqa: E731
    tuning = replace(bench.tuning, most_steps=bench.tuning.fewest_steps)
    return _fit_parts(ground, new, parts, tuning, pretrained=("encoder", "decoder"))


def _fit_parts(
    ground: Ground, start: Callable[[], Head], parts: slice, tuning: Tuning, **how: Any
) -> list[float]:
    """Scores of heads that are fitted on some parts."""
    scores = []
    for k, (bench, fitted) in list(enumerate(_list_parts(ground)))[parts]:
        torch.manual_seed(bench.seed + k)
        examples = bench.kind.examples(bench, fitted)
        head = fit_head(start(), examples, tuning=tuning, seed=bench.seed + k, **how)
        table = bench.kind.predict(bench, head, bench.test, fully=False).table
        scores.append(score(bench, table, fitted))
    return scores


def score(bench: Bench, table: pd.DataFrame, fitted: np.ndarray) -> float:
    """The task's first metric, the better the higher.

    A metric without a highest value, an error, is told as skill: the share of the error of a
    constant that is gone; of restored images, that of the degraded ones.

    Args:
        bench: What is scored on.
        table: Predictions.
        fitted: Rows that the model was fitted to.

    Source:
        Skill: Murphy, Monthly Weather Review 1988, 116(12), 2417-2424, eq. 4.
    """
    metric = HEADS[bench.task].metrics[0]
    value = score_once(table, metric)
    if bench.kind.implied:
        return score_restored(bench, value)
    if np.isfinite(METRICS[metric].bounds[1]):
        return value
    constant = table.assign(predicted=float(np.median(bench.target[fitted])))
    return 1 - value / max(score_once(constant, metric), 1e-12)


def _list_parts(ground: Ground) -> list[tuple[Bench, np.ndarray]]:
    """For each part a bench whose test rows are those to score, and the rows to fit on."""
    return [
        (replace(ground.bench, test=ground.rows[scored]), ground.rows[fitted])
        for fitted, scored in ground.parts
    ]


def _fit_neighbours(bench: Bench, features: np.ndarray, fitted: np.ndarray) -> Pipeline:
    nearest = KNeighborsClassifier(min(NEIGHBOURS, len(fitted)), metric="cosine")
    return make_pipeline(StandardScaler(), limit_features(), nearest).fit(
        features[fitted], bench.target[fitted]
    )


PROBES: dict[str, Callable[[Ground, Encoder], Scores]] = {  # by target; others are not scouted
    "label": probe_images,
    "findings": probe_images,
    "value": probe_images,
    "mask": probe_masks,
    "regions": probe_regions,
    "boxes": probe_boxes,
    "image": probe_restored,
}
