"""How well features serve the task, by cross-validation on labelled training subjects alone.

Frozen features are probed: classes by logistic regression and nearest neighbours, numbers by ridge
regression, masks by a linear model of the whole pyramid. Since a probe is unfair to masked methods,
whole networks are fine-tuned too, shortly, where time allows. All are scored on the same folds.

Source:
    A frozen masked encoder is no fair test: Chen et al., 2022, arXiv:2210.12843.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from tassl.adaptation import embed_rows, fit_head, predict_rows
from tassl.data.tensors import Tensors
from tassl.evaluation.metrics import score_once
from tassl.evaluation.segmentation import dice_of_masks
from tassl.heads import HEADS
from tassl.heads.probe import fit_probe
from tassl.heads.ridge import fit_ridge
from tassl.networks.base import Encoder
from tassl.networks.decoder import Decoder
from tassl.optimisation import autocast, device
from tassl.scouting.ground import Ground, Part

FROZEN, NEAREST, TUNED = "frozen", "nearest neighbours", "fine-tuned"
NEIGHBOURS = 10
BATCH = {2: 64, 3: 4}
MOST_POINTS = 8192  # of an image
FITTED_POINTS, STRENGTH = 200, 0.1  # of each labelled image, and its inverse decay
PIXELS_PER_SIDE = {2: 28, 3: 12}
Scores = dict[str, list[float]]  # one score per part, by the way the features are used


def probe(ground: Ground, encoder: Encoder) -> Scores:
    """Score frozen features on every part."""
    if ground.kind == "mask":
        return {FROZEN: _probe_points(ground, embed_points(encoder, ground.tensors, ground.rows))}
    batch = BATCH[ground.tensors.store.dims]
    return probe_vectors(ground, embed_rows(encoder, ground.tensors, ground.rows, batch))


def probe_vectors(ground: Ground, features: np.ndarray) -> Scores:
    """Score one vector per labelled row, (row, width), on every part."""
    ways = {FROZEN: _fit_frozen}
    if ground.kind == "label":
        ways[NEAREST] = _fit_nearest
    return {
        way: [
            score(ground, fit(ground, features, part, k)(features[part[1]]), part)
            for k, part in enumerate(ground.parts)
        ]
        for way, fit in ways.items()
    }


def pool_pixels(ground: Ground) -> np.ndarray:
    """Raw pixels of the labelled rows as features, averaged down where an image is large."""
    tensors, dims = ground.tensors, ground.tensors.store.dims
    shape: Any = [min(PIXELS_PER_SIDE[dims], size) for size in tensors.store.grid.shape]
    pool: Any = F.adaptive_avg_pool2d if dims == 2 else F.adaptive_avg_pool3d
    chunks = np.array_split(ground.rows, -(-len(ground.rows) // 256))
    return torch.cat([pool(tensors.images(rows), shape).flatten(1) for rows in chunks]).numpy()


def tune(ground: Ground, start: Callable[[], tuple[Encoder, Decoder | None]], k: int) -> float:
    """Score of a whole network after a short fine-tuning on part `k`."""
    fitted, scored = (ground.rows[places] for places in ground.parts[k])
    torch.manual_seed(ground.seed + k)
    head = fit_head(
        HEADS[ground.task].load()(*start(), ground.classes),
        ground.tensors,
        fitted,
        ground.targets(fitted),
        tuning=ground.tuning,
        augment=ground.augment,
        seed=ground.seed + k,
        pretrained=("encoder", "decoder"),
    )
    found = torch.cat(list(predict_rows(head, ground.tensors, scored, BATCH[head.encoder.dims])))
    predicted = found.argmax(1) if head.dense else found[:, 0] if ground.kind == "value" else found
    return score(ground, predicted.numpy(), ground.parts[k])


def score(ground: Ground, predicted: np.ndarray, part: Part) -> float:
    """AUROC, mean Dice, or skill: the share of the mean absolute error of a constant that is gone.

    Args:
        ground: What is scored on.
        predicted: Of the part's second places: probabilities (row, class), masks or numbers.
        part: Places in `ground.rows`.

    Source:
        Skill: Murphy, Monthly Weather Review 1988, 10.1175/1520-0493(1988)116<2417:SSBOTM>2.0.CO;2.
    """
    fitted, scored = (ground.rows[places] for places in part)
    if ground.kind == "mask":
        return mean_dice(predicted, ground.tensors.masks(scored).numpy(), ground.classes)
    truth = ground.target[scored]
    if ground.kind == "value":
        usual = np.abs(truth - np.median(ground.target[fitted])).mean()
        return float(1 - np.abs(truth - predicted).mean() / max(usual, 1e-12))
    table = pd.DataFrame({f"score_{c}": column for c, column in enumerate(predicted.T)})
    return score_once(table.assign(label=truth), HEADS[ground.task].metrics[0])


def mean_dice(found: np.ndarray, truth: np.ndarray, classes: int) -> float:
    """Dice of foreground classes, the mean over images (image, *space)."""
    dice = [dice_of_masks(*pair, classes) for pair in zip(found, truth, strict=True)]
    return float(np.nanmean(dice))


def _fit_frozen(ground: Ground, features: np.ndarray, part: Part, seed: int) -> Callable:
    fitted, _ = part
    known, subjects = ground.target[ground.rows[fitted]], ground.subjects[fitted]
    if ground.kind == "value":
        return fit_ridge(features[fitted], known, subjects).predict
    return _spread(ground, fit_probe(features[fitted], known, subjects, seed))


def _fit_nearest(ground: Ground, features: np.ndarray, part: Part, seed: int) -> Callable:
    fitted, _ = part
    model = make_pipeline(
        StandardScaler(), KNeighborsClassifier(min(NEIGHBOURS, len(fitted)), metric="cosine")
    )
    return _spread(ground, model.fit(features[fitted], ground.target[ground.rows[fitted]]))


def _spread(ground: Ground, model: Pipeline) -> Callable[[np.ndarray], np.ndarray]:
    """Probabilities of all classes, also of those that the model has not seen."""

    def predict(features: np.ndarray) -> np.ndarray:
        scores = np.zeros((len(features), ground.classes))
        scores[:, model.classes_.astype(int)] = model.predict_proba(features)
        return scores

    return predict


def _probe_points(ground: Ground, features: np.ndarray) -> list[float]:
    """Dice of a linear model of the points of an image, for each part."""
    masks, step = ground.tensors.masks(ground.rows), step_of(ground.tensors)
    truth = sample_points(masks[:, None].float(), step, nearest=True)[..., 0].byte().numpy()
    scores = []
    for k, (fitted, scored) in enumerate(ground.parts):
        model = _fit_points(features, truth, fitted, ground.seed + k)
        found = np.stack([model.predict(features[image].astype(np.float32)) for image in scored])
        scores.append(mean_dice(found, truth[scored], ground.classes))
    return scores


def _fit_points(
    features: np.ndarray, classes: np.ndarray, images: np.ndarray, seed: int
) -> Pipeline:
    """A logistic regression on some points of each image; every class that an image shows is in."""
    rng, known, wanted = np.random.default_rng(seed), [], []
    for image in images:
        order = rng.permutation(features.shape[1])
        _, first = np.unique(classes[image][order], return_index=True)
        chosen = order[np.union1d(np.arange(min(FITTED_POINTS, len(order))), first)]
        known.append(features[image, chosen])
        wanted.append(classes[image, chosen])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=200))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(np.concatenate(known).astype(np.float32), np.concatenate(wanted))


def step_of(tensors: Tensors) -> int:
    """Pixels from one point of a dense probe to the next: the fewest that keep to `MOST_POINTS`."""
    shape, step = tensors.store.grid.shape, 1
    while np.prod([-(-size // step) for size in shape]) > MOST_POINTS:
        step += 1
    return step


@torch.no_grad()
def embed_points(encoder: Encoder, tensors: Tensors, rows: np.ndarray) -> np.ndarray:
    """Features of points on a grid, from all levels of the pyramid, (row, point, width) float16."""
    chunks = np.array_split(rows, -(-len(rows) // (BATCH[encoder.dims] // 4)))
    return np.concatenate([embed_grid(encoder, tensors, tensors.images(own)) for own in chunks])


@torch.no_grad()
def embed_grid(encoder: Encoder, tensors: Tensors, images: Tensor) -> np.ndarray:
    """The same for images that are at hand, (image, channel, *space)."""
    encoder.to(device()).eval()
    with autocast():
        maps = encoder.features(images.to(device()))
    size = _count_points(tensors.store.grid.shape, step_of(tensors))
    mode = {2: "bilinear", 3: "trilinear"}[encoder.dims]
    levels = [F.interpolate(level.float().cpu(), size, mode=mode) for level in maps]
    return torch.cat(levels, 1).flatten(2).transpose(1, 2).half().numpy()


def sample_points(maps: Tensor, step: int, *, nearest: bool = False) -> Tensor:
    """Maps (image, channel, *space) at the same points, (image, point, channel): means of blocks.

    Args:
        maps: What is sampled.
        step: Pixels from one point to the next.
        nearest: Take the pixel at the centre, as class numbers need it.
    """
    size = _count_points(tuple(maps.shape[2:]), step)
    mode = "nearest-exact" if nearest else "area"
    return F.interpolate(maps, size, mode=mode).flatten(2).transpose(1, 2)


def _count_points(space: tuple[int, ...], step: int) -> list[int]:
    return [-(-size // step) for size in space]
