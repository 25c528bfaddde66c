"""How well features serve reconstruction: a linear model of single points, and its yardstick.

Restored images are scored by the share of the squared error of the degraded ones that is gone,
which a mean gain in dB tells alike in every unit: 3 dB is half of it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from tassl.evaluation.metrics import score_once
from tassl.heads.ridge import limit_features
from tassl.networks.base import Encoder
from tassl.scouting.ground import Ground
from tassl.scouting.points import embed_points, sample_points, step_of
from tassl.transforms.acquired import Acquired
from tassl.trials.bench import Bench
from tassl.trials.targets.images import INPUT

FITTED_POINTS, PENALTY = 200, 100.0  # of each image, and that of the weights
LEAST_ERROR = 1e-12


def undone(decibels: float) -> float:
    """Share of the squared error that is gone after a gain in PSNR; below 0 after a loss."""
    return 1 - 10 ** (-decibels / 10)


def score_restored(bench: Bench, psnr: float) -> float:
    """The same for images restored from the test rows of a bench, of this mean PSNR in dB."""
    return undone(psnr - score_once(bench.kind.floor(bench, INPUT).table, "psnr"))


def probe_restoration(ground: Ground, encoder: Encoder) -> list[float]:
    """What a linear model of the points of degraded images undoes, for each part."""
    tensors = ground.bench.tensors
    step = step_of(tensors)
    return undo_points(ground, embed_points(encoder, tensors, ground.rows, step), step)


def undo_points(ground: Ground, features: np.ndarray, step: int) -> list[float]:
    """The same of features that are at hand.

    Args:
        ground: Whose rows are restored.
        features: (row, point, width).
        step: Pixels from one point to the next.
    """
    tensors = ground.bench.tensors
    assert isinstance(tensors, Acquired)
    seen, clean = (
        np.concatenate([_sample(read, row, step) for row in ground.rows])
        for read in (tensors.images, tensors.clean)
    )
    known = np.concatenate([features, seen], axis=2).astype(np.float32)
    scores = []
    for k, (fitted, scored) in enumerate(ground.parts):
        model = _fit(known[fitted], (clean - seen)[fitted], ground.bench.seed + k)
        found = [model.predict(known[image]).reshape(seen[image].shape) for image in scored]
        restored = [seen[image] + gap for image, gap in zip(scored, found, strict=True)]
        triples = zip(seen[scored], restored, clean[scored], strict=True)
        scores.append(undone(float(np.mean([_gain(*triple) for triple in triples]))))
    return scores


def _sample(read: Callable[[np.ndarray], Tensor], row: int, step: int) -> np.ndarray:
    return sample_points(read(np.array([row])), step, nearest=True).numpy()


def _fit(known: np.ndarray, wanted: np.ndarray, seed: int) -> Pipeline:
    """A ridge regression on some points of each image, (image, point, width) both."""
    rng = np.random.default_rng(seed)
    few = [rng.permutation(known.shape[1])[:FITTED_POINTS] for _ in known]
    chosen = np.stack(few)[..., None]
    features, target = (
        np.take_along_axis(maps, chosen, axis=1).reshape(-1, maps.shape[2])
        for maps in (known, wanted)
    )
    return make_pipeline(StandardScaler(), limit_features(), Ridge(PENALTY)).fit(features, target)


def _gain(seen: np.ndarray, restored: np.ndarray, clean: np.ndarray) -> float:
    """Gain in PSNR over the points of one image, in dB."""
    before, after = (float(np.mean((image - clean) ** 2)) for image in (seen, restored))
    return 10 * float(np.log10(max(before, LEAST_ERROR) / max(after, LEAST_ERROR)))
