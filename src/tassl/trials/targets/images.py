"""The clean image itself, for a degraded one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tassl.adaptation import Examples, Tuning
from tassl.data.store import Store
from tassl.evaluation.finding import Arm
from tassl.evaluation.reconstruction import measure_image
from tassl.heads.base import Head
from tassl.heads.restorer import Restorer
from tassl.modality.base import Augmentation
from tassl.optimisation import autocast, device
from tassl.transforms.acquired import Acquired, Measurement
from tassl.transforms.augment import Augment
from tassl.transforms.blinding import blind_pixels
from tassl.transforms.holding import hold_lines
from tassl.transforms.variation import smooth_variation
from tassl.transforms.windows import cut_alike
from tassl.trials.targets.base import PREDICT_BATCH, Answers, Target, name_rows

if TYPE_CHECKING:
    from tassl.trials.bench import Bench

INPUT = Arm("degraded input", "", "input")
FILTER = Arm("total variation", "", "filter")
WEIGHTS = (0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)  # of the total variation
MOST_TUNED, MOST_KEPT = 32, 200  # images


@dataclass(frozen=True)
class DegradedExamples(Examples):
    """Clean images, degraded anew in every step."""

    tensors: Acquired

    def batch(self, chosen: np.ndarray, rng: torch.Generator) -> tuple[Measurement, Tensor]:  # type: ignore[override]
        clean = self.augment(self.tensors.clean(self.rows[chosen]).to(rng.device), rng)
        found = self.tensors.spoil(clean, rng)
        seen, clean = cut_alike((found.images, clean), self.tensors.window, rng)
        return replace(found, images=seen), clean


@dataclass(frozen=True)
class BlindExamples(Examples):
    """Noisy images without clean ones: hidden pixels are to be told from those around them."""

    tensors: Acquired

    def batch(self, chosen: np.ndarray, rng: torch.Generator) -> tuple[Measurement, Tensor]:  # type: ignore[override]
        noisy = self.augment(self.images(chosen, rng.device), rng)
        (noisy,) = cut_alike((noisy,), self.tensors.window, rng)
        seen, target = blind_pixels(noisy, rng)
        return Measurement(seen, torch.zeros(len(seen)), self.tensors.degrader), target


@dataclass(frozen=True)
class HeldExamples(Examples):
    """Undersampled images without clean ones: some measured lines are to be told from the rest."""

    tensors: Acquired

    def batch(self, chosen: np.ndarray, rng: torch.Generator) -> tuple[Measurement, Measurement]:  # type: ignore[override]
        found = self.tensors.measure(self.rows[chosen]).to(rng.device)
        views = self.augment(found.images, rng)
        (seen,) = cut_alike((views,), self.tensors.window, rng)
        return hold_lines(replace(found, images=seen), rng)


class Images(Target):
    """Clean images, which every image of the store is: it is degraded before it is restored."""

    words = "clean images"
    probed = False
    implied = True
    floors = (INPUT, FILTER)

    def known(self, table: pd.DataFrame) -> pd.Series:
        return pd.Series(True, index=table.index)

    def count(self, store: Store, rows: Mapping[str, np.ndarray]) -> int:
        """Channels of the images."""
        return store.channels

    def values(self, store: Store) -> np.ndarray:
        """The row of the clean image."""
        return np.arange(len(store.table))

    def examples(self, bench: Bench, rows: np.ndarray) -> Examples:
        tensors, augment, kind = _acquired(bench), bench.augment, DegradedExamples
        if not tensors.paired and tensors.degrader.whole:
            kind = HeldExamples  # a turned image would have measured other lines
            augment = Augment(replace(augment.ranges, quarter_turns=0.0))
        elif not tensors.paired:
            kind = BlindExamples
        return kind(tensors, rows, self.load(bench, rows), augment)

    def views(self, views: Augmentation) -> Augmentation:
        """Nothing is interpolated or regraded: either would smooth what is to be restored."""
        return Augmentation(
            flip_lr=views.flip_lr, flip_ud=views.flip_ud, quarter_turns=views.quarter_turns
        )

    def unit(self, store: Store) -> str:
        return "dB"

    def tuning(self, dims: int) -> Tuning:
        if dims == 3:
            return Tuning(fewest_steps=150, most_steps=500, passes=3, batch=1)
        return Tuning(fewest_steps=150, most_steps=400, passes=10, batch=16)

    def predict(self, bench: Bench, head: Head, rows: np.ndarray, *, fully: bool = True) -> Answers:
        """Scores of the restored images, and the images."""
        assert isinstance(head, Restorer)
        head.to(device()).eval()

        @torch.no_grad()
        def restore(measurement: Measurement) -> Tensor:
            with autocast():
                return head.restore(measurement, _acquired(bench).window)

        return _answer(bench, rows, map(restore, _measure(bench, rows)))

    def floor(self, bench: Bench, arm: Arm) -> Answers:
        """What is reached without learning: nothing done, or a filter tuned on validation."""
        weight = _tune_weight(bench) if arm == FILTER else 0.0
        return _answer(bench, bench.test, _smooth(bench, bench.test, arm, weight))


def _tune_weight(bench: Bench) -> float:
    """The weight of the total variation with the best PSNR on validation images."""
    rows = bench.val[:: max(1, -(-len(bench.val) // MOST_TUNED))]
    tried = [
        (_answer(bench, rows, _smooth(bench, rows, FILTER, weight)).table.psnr.mean(), weight)
        for weight in WEIGHTS
    ]
    return max(tried)[1]


def _smooth(bench: Bench, rows: np.ndarray, arm: Arm, weight: float) -> Iterator[Tensor]:
    for measurement in _measure(bench, rows):
        smoothed = arm == FILTER
        yield smooth_variation(measurement, weight) if smoothed else measurement.images


def _measure(bench: Bench, rows: np.ndarray) -> Iterator[Measurement]:
    size = PREDICT_BATCH[bench.tensors.store.dims]
    for start in range(0, len(rows), size):
        yield _acquired(bench).measure(rows[start : start + size]).to(device())


def _answer(bench: Bench, rows: np.ndarray, batches: Iterator[Tensor]) -> Answers:
    """Score images (batch, channel, *space); keep the first of them, on the prepared scale."""
    tensors, store, scores, kept = _acquired(bench), bench.tensors.store, [], []
    for batch in batches:
        for image in tensors.in_units(batch.float().cpu()).numpy():
            clean = store.images[rows[len(scores)]].astype(np.float32) * store.scale
            scores.append(measure_image(image, clean, tensors.span))
            if len(kept) < MOST_KEPT:
                kept.append(image.astype(np.float16))
    table = pd.concat([name_rows(bench, rows), pd.DataFrame(scores).round(6)], axis=1)
    return Answers(table, {"ids": table.id.to_numpy(str)[: len(kept)], "images": np.stack(kept)})


def _acquired(bench: Bench) -> Acquired:
    assert isinstance(bench.tensors, Acquired)
    return bench.tensors
