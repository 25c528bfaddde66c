"""Features and maps at the points of a grid, for linear models of what stands where."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from tassl.data.tensors import Tensors
from tassl.evaluation.segmentation import dice_of_masks
from tassl.networks.base import Encoder
from tassl.optimisation import autocast, device

MOST_POINTS = 8192  # of an image
BATCH = {2: 16, 3: 2}
FITTED_POINTS, STRENGTH = 200, 0.1  # of each labelled image, and its inverse decay


def step_of(tensors: Tensors) -> int:
    """Pixels from one point to the next: the fewest that keep to `MOST_POINTS`."""
    shape, step = tensors.store.grid.shape, 1
    while np.prod(_count(shape, step)) > MOST_POINTS:
        step += 1
    return step


def embed_points(encoder: Encoder, tensors: Tensors, rows: np.ndarray, step: int) -> np.ndarray:
    """Features from all levels of the pyramid, (row, point, width) float16."""
    chunks = np.array_split(rows, -(-len(rows) // BATCH[encoder.dims]))
    return np.concatenate([embed_images(encoder, tensors.images(own), step) for own in chunks])


@torch.no_grad()
def embed_images(encoder: Encoder, images: Tensor, step: int) -> np.ndarray:
    """The same for images that are at hand, (image, channel, *space)."""
    encoder.to(device()).eval()
    with autocast():
        maps = encoder.features(images.to(device()))
    size, mode = _count(tuple(images.shape[2:]), step), {2: "bilinear", 3: "trilinear"}
    levels = [F.interpolate(level.float().cpu(), size, mode=mode[encoder.dims]) for level in maps]
    return torch.cat(levels, 1).flatten(2).transpose(1, 2).half().numpy()


def sample_points(maps: Tensor, step: int, *, nearest: bool = False) -> Tensor:
    """Maps (image, channel, *space) at the points, (image, point, channel): means of blocks.

    Args:
        maps: What is sampled.
        step: Pixels from one point to the next.
        nearest: Take the pixel at the centre, as class numbers need it.
    """
    mode = "nearest-exact" if nearest else "area"
    sampled = F.interpolate(maps, _count(tuple(maps.shape[2:]), step), mode=mode)
    return sampled.flatten(2).transpose(1, 2)


def cut_points(masks: Tensor, step: int) -> np.ndarray:
    """Classes (image, point) of masks (image, *space): those of the pixels at the centres."""
    return sample_points(masks[:, None].float(), step, nearest=True)[..., 0].byte().numpy()


def probe_points(
    features: np.ndarray,
    classes: np.ndarray,
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
    count: int,
    *,
    fitted: int = FITTED_POINTS,
    seed: int = 0,
) -> list[float]:
    """Dice of a linear model of single points, the mean over the images scored, for each part.

    Args:
        features: (image, point, width).
        classes: (image, point).
        parts: Images to fit on and to score.
        count: Number of classes, background included.
        fitted: Points of each image to fit on.
        seed: Of their choice.
    """
    scores = []
    for k, (known, scored) in enumerate(parts):
        model = _fit_points(features, classes, known, fitted, seed + k)
        found = [model.predict(features[image].astype(np.float32)) for image in scored]
        scores.append(mean_dice(found, classes[scored], count))
    return scores


def mean_dice(found: Iterable[np.ndarray], truth: Iterable[np.ndarray], count: int) -> float:
    """Dice of foreground classes, the mean over images."""
    pairs = zip(found, truth, strict=True)
    return float(np.nanmean([dice_of_masks(mask, wanted, count) for mask, wanted in pairs]))


def _fit_points(
    features: np.ndarray, classes: np.ndarray, images: np.ndarray, fitted: int, seed: int
) -> Pipeline:
    """A logistic regression on some points of each image, one of every class among them."""
    rng, known, wanted = np.random.default_rng(seed), [], []
    for image in images:
        order = rng.permutation(features.shape[1])
        _, first = np.unique(classes[image][order], return_index=True)
        chosen = order[np.union1d(np.arange(min(fitted, len(order))), first)]
        known.append(features[image, chosen])
        wanted.append(classes[image, chosen])
    if len({*np.concatenate(wanted)}) < 2:  # nothing is shown, or nothing else
        return make_pipeline(DummyClassifier()).fit(np.concatenate(known), np.concatenate(wanted))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=200))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(np.concatenate(known).astype(np.float32), np.concatenate(wanted))


def _count(space: tuple[int, ...], step: int) -> list[int]:
    return [-(-size // step) for size in space]
