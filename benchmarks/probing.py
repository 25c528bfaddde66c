"""How much frozen features tell: probes by repeated cross-validation, with paired intervals."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from tassl.data.tensors import Tensors
from tassl.evaluation.segmentation import dice_of_masks
from tassl.heads.probe import fit_probe
from tassl.networks.base import Encoder
from tassl.optimisation import autocast
from tassl.scouting.comparing import widen
from tassl.scouting.points import embed_images, sample_points

FOLDS, REPEATS, CONFIDENCE = 5, 4, 0.95
FITTED_POINTS, STRENGTH = 1500, 0.1  # of each labelled image, and its inverse decay: dense probes
Part = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Gain:
    """A mean paired difference and its interval."""

    gain: float
    low: float
    high: float


def estimate(differences: np.ndarray) -> Gain:
    """Mean of paired differences over repeated cross-validation, and its 95% interval.

    Folds share images, so their variance is inflated: corrected resampled t. It tells of subjects
    and label draws, not of another seed of the pretraining.

    Source: Nadeau & Bengio, Machine Learning 2003, 10.1023/A:1024068626366, section 3.
    """
    count, mean = len(differences), differences.mean()
    error = np.sqrt(widen(count, FOLDS) * differences.var(ddof=1))
    reach = stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1) * error
    return Gain(float(mean), float(mean - reach), float(mean + reach))


def draw_parts(
    labels: np.ndarray,
    subjects: np.ndarray,
    *,
    few: int | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
) -> list[Part]:
    """Repeated folds by subject: places to fit on and places to score.

    Args:
        labels: Class of each image.
        subjects: Subject of each image; none stands on both sides.
        few: Subjects per class to fit on, all of the fold's unless given.
        repeats: How often to draw the folds anew.
        seed: Of folds and draws.
    """
    parts = []
    for repeat in range(repeats):
        split = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed + repeat)
        rng = np.random.default_rng((seed, repeat))
        for fitted, scored in split.split(labels, labels, subjects):
            parts.append((_keep_few(fitted, labels, subjects, few, rng), scored))
    return parts


def _keep_few(
    places: np.ndarray,
    labels: np.ndarray,
    subjects: np.ndarray,
    few: int | None,
    rng: np.random.Generator,
) -> np.ndarray:
    if few is None:
        return places
    kept = []
    for label in np.unique(labels[places]):
        own = places[labels[places] == label]
        kept.append(own[np.isin(subjects[own], rng.permutation(np.unique(subjects[own]))[:few])])
    return np.sort(np.concatenate(kept))


def probe_images(
    features: np.ndarray, labels: np.ndarray, subjects: np.ndarray, parts: Sequence[Part]
) -> np.ndarray:
    """AUROC of a linear probe of two classes on (image, width) features, one for each part."""
    scores = []
    for k, (fitted, scored) in enumerate(parts):
        model = fit_probe(features[fitted], labels[fitted], subjects[fitted], seed=k)
        scores.append(roc_auc_score(labels[scored], model.predict_proba(features[scored])[:, 1]))
    return np.array(scores)


def embed_points(
    encoder: Encoder, tensors: Tensors, rows: np.ndarray, step: int, batch: int = 16
) -> np.ndarray:
    """Features of blocks of `step` pixels a side, from all levels of the pyramid.

    Returns:
        (row, block, summed width) float16.
    """
    batches = (tensors.images(rows[k : k + batch]) for k in range(0, len(rows), batch))
    return np.concatenate([embed_images(encoder, images, step) for images in batches])


def cut_points(masks: Tensor, step: int) -> np.ndarray:
    """Classes (row, block) of the same blocks: that of the pixel at their centre."""
    return sample_points(masks[:, None].float(), step, nearest=True)[..., 0].byte().numpy()


def probe_points(
    features: np.ndarray, classes: np.ndarray, parts: Sequence[Part], count: int
) -> np.ndarray:
    """Dice of a dense linear probe, the mean over the images scored, one for each part.

    Args:
        features: (image, point, width).
        classes: (image, point).
        parts: Images to fit on and to score.
        count: Number of classes, background included.
    """
    scores = []
    for k, (fitted, scored) in enumerate(parts):
        model = _fit_points(features, classes, fitted, k)
        found = [model.predict(features[image].astype(np.float32)) for image in scored]
        scores.append(mean_dice(found, classes[scored], count))
    return np.array(scores)


def mean_dice(found: Iterable[np.ndarray], truth: Iterable[np.ndarray], count: int) -> float:
    """Dice of foreground classes, the mean over images."""
    pairs = zip(found, truth, strict=True)
    return float(np.nanmean([dice_of_masks(mask, wanted, count) for mask, wanted in pairs]))


@torch.no_grad()
def embed_lesions(
    encoder: Encoder, tensors: Tensors, rows: np.ndarray, batch: int = 64
) -> np.ndarray:
    """The cell of the coarsest map that holds most of each image's mask, (row, width)."""
    encoder.eval()
    pool: Any = {2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}[tensors.store.dims]
    parts = []
    for k in range(0, len(rows), batch):
        chosen = rows[k : k + batch]
        with autocast():
            last = encoder.features(tensors.images(chosen))[-1].float()
        covered = pool((tensors.masks(chosen) > 0)[:, None].float(), last.shape[2:])
        place = covered.flatten(1).argmax(1)
        parts.append(last.flatten(2)[torch.arange(len(last)), :, place].numpy())
    return np.concatenate(parts)


def _fit_points(
    features: np.ndarray, classes: np.ndarray, images: np.ndarray, seed: int
) -> Pipeline:
    """A logistic regression on some points of each of these images."""
    rng, known, wanted = np.random.default_rng(seed), [], []
    for image in images:
        chosen = rng.permutation(features.shape[1])[:FITTED_POINTS]
        known.append(features[image, chosen])
        wanted.append(classes[image, chosen])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=200))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(np.concatenate(known).astype(np.float32), np.concatenate(wanted))
