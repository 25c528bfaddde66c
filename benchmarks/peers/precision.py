"""Does bf16 cost anything? Loss and linear probe beside float32, with the same seeds.

Both see the same images in the same views from the same weights; what differs is rounding. The
spread over seeds within float32 tells what noise is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score
from torch import Tensor

from benchmarks.figures import Figure
from benchmarks.peers.ours import view_drawer
from tassl.data.phantom import PhantomSpec, draw_cohort
from tassl.heads.probe import fit_probe
from tassl.methods.base import Batch
from tassl.methods.simclr import SimCLR
from tassl.networks.residual import ResidualCNN
from tassl.transforms.draws import seeded

SUBJECTS, SIDE, BATCH, STEPS, SEEDS = 400, 32, 64, 50, 5


def measure(folder: Path) -> Iterator[Figure]:
    """SimCLR on phantoms: half of the subjects are trained on, the others are told apart."""
    cohort = draw_cohort(
        PhantomSpec(subjects=SUBJECTS, images_per_subject=1, size=SIDE, local_signal=3.0)
    )
    images = torch.from_numpy(cohort.images)[:, None] / 64 - 1
    runs = np.array(
        [
            [_train(images, cohort.labels, seed, half=half) for half in (False, True)]
            for seed in range(SEEDS)
        ]
    )
    for name, (full, half) in zip(("last loss", "probe AUC"), runs.transpose(2, 1, 0), strict=True):
        reach = stats.sem(half - full) * stats.t.ppf(0.975, SEEDS - 1)
        gap = float((half - full).mean())
        yield Figure(f"{name} in float32", float(full.mean()))
        yield Figure(f"{name}: deviation over seeds in float32", float(full.std(ddof=1)))
        yield Figure(f"{name}: bf16 minus float32", gap, interval=(gap - reach, gap + reach))


def _train(images: Tensor, labels: np.ndarray, seed: int, *, half: bool) -> tuple[float, float]:
    """Mean loss of the last ten steps, and area under the ROC curve of a probe."""
    torch.manual_seed(seed)
    encoder = ResidualCNN(2, 1, widths=(16, 32, 64), stem=2)
    method = SimCLR(encoder, augment=view_drawer("ultrasound", strong=True))
    optimizer = torch.optim.AdamW(method.parameters(), fused=True)
    train, losses = len(images) // 2, []
    for step in range(STEPS):
        rng = seeded(seed, step)
        rows = torch.randperm(train, generator=rng)[:BATCH]
        views = method.views(Batch(images[rows], rows, rng))
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = method.loss(views)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        features = encoder(images).float().numpy()
    probe = fit_probe(features[:train], labels[:train], np.arange(train), seed)
    chances = probe.predict_proba(features[train:])[:, 1]
    return float(np.mean(losses[-10:])), float(roc_auc_score(labels[train:], chances))
