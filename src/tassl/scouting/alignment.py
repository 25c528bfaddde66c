"""What features of a pilot hold, without labels: the alignment of pretext, images and task.

Every figure is asked of the same images by linear models that are fitted and scored on different
subjects, and lies between 0 (nothing) and 1 (all). None of them chooses a method: across
paradigms only labels may.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from tassl.adaptation import embed_rows
from tassl.heads.ridge import limit_features
from tassl.modality.base import Augmentation
from tassl.networks.base import Encoder
from tassl.scouting.ground import Ground
from tassl.scouting.points import embed_images, sample_points, step_of
from tassl.transforms.augment import Augment
from tassl.transforms.draws import seeded
from tassl.trials.targets.base import PREDICT_BATCH

IMAGES = {2: 128, 3: 24}
POINTS = 64  # of each image
FOLDS = 4
PENALTIES = (1.0, 10.0, 100.0, 1e3, 1e4)
SMALLEST_DOT, LARGEST_DOT = 2, 6  # pixels across
DOT_LEVEL = 2.0  # standard deviations of the images
FEWEST_SITES, FEWEST_OF_SITE = 2, 8

ASKED = {
    "global semantics": "where the bright parts lie and how large they are (R²)",
    "local anatomy": "edges, point by point (R²)",
    "small structures": f"planted dots of {SMALLEST_DOT} to {LARGEST_DOT} pixels (AUROC, rescaled)",
    "intensity fidelity": "local mean intensity, point by point (R²)",
    "invariance": "features of an image and of a view of it (cosine, mean over operations)",
    "subject identity": "another image of the same subject is nearest (share)",
    "site leakage": "the site, beyond the largest one (accuracy, rescaled); low is good",
}


def profile_encoder(ground: Ground, encoder: Encoder) -> dict[str, float]:
    """Ask an encoder what it holds; what the images cannot tell is left out.

    Args:
        ground: Whose images outside the test split are asked.
        encoder: Frozen.
    """
    tensors, seed = ground.bench.tensors, ground.bench.seed
    rows = choose_rows(ground)
    table, images = tensors.store.table.iloc[rows], tensors.images(rows)
    subjects = table.subject.to_numpy()
    if len(set(subjects)) < FOLDS:
        return {}
    batch = PREDICT_BATCH[encoder.dims]
    vectors = embed_rows(encoder, tensors, rows, batch)
    step = step_of(tensors)
    points = _embed(encoder, images, step)
    chosen = np.stack(
        [np.random.default_rng((seed, k)).permutation(points.shape[1])[:POINTS]
         for k in range(len(rows))]
    )  # fmt: skip
    owners = np.repeat(subjects, chosen.shape[1])
    grey = images.mean(1, keepdim=True)
    held = {"global semantics": recover(vectors, locate_brightness(grey), subjects)}
    known = _pick(points, chosen)
    for name, maps in {"local anatomy": find_edges(grey), "intensity fidelity": grey}.items():
        held[name] = recover(known, _pick(sample_points(maps, step).numpy(), chosen), owners)
    held["small structures"] = find_dots(encoder, images, subjects, step, seed)
    if (cosine := compare_views(encoder, ground, images)) is not None:
        held["invariance"] = cosine
    if len(set(subjects)) < len(subjects):
        held["subject identity"] = find_again(vectors, subjects)
    sites = table.site.to_numpy()
    if (leak := tell_sites(vectors, sites, subjects)) is not None:
        held["site leakage"] = leak
    return {name: round(float(np.clip(value, 0, 1)), 4) for name, value in held.items()}


def choose_rows(ground: Ground) -> np.ndarray:
    """Whole subjects of the pool, up to a number of images."""
    subjects = ground.bench.tensors.store.table.subject.to_numpy()[ground.pool]
    rng, most = np.random.default_rng((ground.bench.seed, 5)), IMAGES[ground.bench.recipe.dims]
    names, places = np.unique(subjects, return_inverse=True)
    order = rng.permutation(names.size)[places]
    return np.sort(ground.pool[np.argsort(order, kind="stable")[:most]])


def recover(features: np.ndarray, wanted: np.ndarray, subjects: np.ndarray) -> float:
    """R² of ridge regression on subjects that it was not fitted to, the mean over targets."""
    model = make_pipeline(StandardScaler(), limit_features(), RidgeCV(PENALTIES))
    spread = wanted.std(0)
    wanted = wanted[:, spread > 1e-6 * max(1.0, float(spread.max()))]
    if not wanted.shape[1]:
        return 0.0
    known, folds = features.astype(np.float64), GroupKFold(FOLDS)
    found = np.asarray(cross_val_predict(model, known, wanted, groups=subjects, cv=folds))
    return float(r2_score(wanted, found.reshape(wanted.shape)))


def locate_brightness(grey: Tensor) -> np.ndarray:
    """Centre of brightness along each axis and share of bright pixels, (image, dims + 1)."""
    weights = grey[:, 0] - grey[:, 0].flatten(1).amin(1).view(-1, *[1] * (grey.dim() - 2))
    told = [(grey[:, 0] > grey.mean()).flatten(1).float().mean(1)]
    for axis in range(1, weights.dim()):
        others = [other for other in range(1, weights.dim()) if other != axis]
        line = weights.sum(others) + 1e-6
        told.append((line * torch.linspace(0, 1, line.shape[1])).sum(1) / line.sum(1))
    return torch.stack(told, 1).numpy()


def find_edges(grey: Tensor) -> Tensor:
    """Length of the gradient at every pixel, (image, 1, *space)."""
    slopes = torch.gradient(grey, dim=list(range(2, grey.dim())))
    return torch.stack([slope.square() for slope in slopes]).sum(0).sqrt()


def find_dots(
    encoder: Encoder, images: Tensor, subjects: np.ndarray, step: int, seed: int
) -> float:
    """How well a linear model of single points tells a planted dot, 0 for chance."""
    rng = np.random.default_rng((seed, 6))
    space = np.asarray(tuple(images.shape[2:]))
    centres = rng.integers(space // 6, space - space // 6, (len(subjects), images.dim() - 2))
    planted = plant_dots(images, centres, rng.uniform(SMALLEST_DOT, LARGEST_DOT, images.shape[0]))
    counts = -(-space // step)
    cells = tuple(np.minimum(centres // step, counts - 1).T)
    at = np.asarray(np.ravel_multi_index(cells, tuple(counts)))
    known = [_embed(encoder, shown, step)[np.arange(len(at)), at] for shown in (images, planted)]
    there = np.repeat([0, 1], len(at))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    found = cross_val_predict(
        model, np.concatenate(known).astype(np.float64), there,
        groups=np.tile(subjects, 2), cv=GroupKFold(FOLDS), method="decision_function",
    )  # fmt: skip
    return 2 * float(roc_auc_score(there, found)) - 1


def plant_dots(images: Tensor, centres: np.ndarray, diameters: np.ndarray) -> Tensor:
    """The images with one bright dot each, with a soft rim of a pixel.

    Args:
        images: (image, channel, *space), normalised.
        centres: In pixels, (image, dims).
        diameters: In pixels, (image,).
    """
    axes = torch.meshgrid(*[torch.arange(size) for size in images.shape[2:]], indexing="ij")
    grid = torch.stack(axes).float()
    apart = grid - torch.from_numpy(centres).float().view(*centres.shape, *[1] * len(axes))
    radii = torch.from_numpy(diameters).float().view(-1, *[1] * len(axes)) / 2
    return images + DOT_LEVEL * (radii + 0.5 - apart.norm(dim=1)).clamp(0, 1)[:, None]


def compare_views(encoder: Encoder, ground: Ground, images: Tensor) -> float | None:
    """Mean cosine of an image and a view of it, over the modality's operations, one at a time."""
    cosines = []
    own = _summarise(encoder, images)
    centre = own.mean(0)
    for name in ground.views.active():
        if name == "keep_spot":
            continue
        single = replace(Augmentation(), **{name: getattr(ground.views, name)})
        augment = Augment(single, None, ground.bench.tensors.normalisation)
        views = augment(images, seeded(ground.bench.seed))
        cosines.append(
            torch.cosine_similarity(own - centre, _summarise(encoder, views) - centre).mean()
        )
    return float(torch.stack(cosines).mean()) if cosines else None


def find_again(vectors: np.ndarray, subjects: np.ndarray) -> float:
    """Share of images whose nearest other is of the same subject, of those that have another."""
    scaled = StandardScaler().fit_transform(vectors.astype(np.float64))
    scaled /= np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-12)
    likeness = scaled @ scaled.T
    np.fill_diagonal(likeness, -np.inf)
    same = subjects[likeness.argmax(1)] == subjects
    _, places, counts = np.unique(subjects, return_inverse=True, return_counts=True)
    return float(same[counts[places] > 1].mean())


def tell_sites(vectors: np.ndarray, sites: np.ndarray, subjects: np.ndarray) -> float | None:
    """How much better than the largest site a linear model tells sites; None where there are few.

    Source:
        Robustness to the site comes first: de Jong et al., 2025, arXiv:2501.18055.
    """
    names, counts = np.unique(sites[sites != ""], return_counts=True)
    kept = np.isin(sites, names[counts >= FEWEST_OF_SITE])
    if len(set(sites[kept])) < FEWEST_SITES:
        return None
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    folds = GroupKFold(FOLDS)
    known = vectors[kept].astype(np.float64)
    found = cross_val_predict(model, known, sites[kept], groups=subjects[kept], cv=folds)
    chance = np.unique(sites[kept], return_counts=True)[1].max() / kept.sum()
    return float((np.mean(found == sites[kept]) - chance) / (1 - chance))


def _embed(encoder: Encoder, images: Tensor, step: int) -> np.ndarray:
    parts = images.split(PREDICT_BATCH[encoder.dims] // 4)
    return np.concatenate([embed_images(encoder, part, step) for part in parts])


@torch.no_grad()
def _summarise(encoder: Encoder, images: Tensor) -> Tensor:
    parts = images.split(PREDICT_BATCH[encoder.dims])
    return torch.cat([encoder(part).float() for part in parts])


def _pick(points: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Chosen points of each image, (image x point, width)."""
    picked = np.take_along_axis(points, chosen[..., None], axis=1)
    return picked.reshape(-1, points.shape[2]).astype(np.float64)
