"""Regions of a mask, which may lie inside one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tassl.data.regions import EXAMPLE
from tassl.data.store import Store
from tassl.errors import InputError
from tassl.evaluation.regions import dice_of_regions, measure_regions
from tassl.trials.targets.masks import Masks

if TYPE_CHECKING:
    from tassl.trials.bench import Bench

LEAST = 0.5  # probability of what is taken for part of a region


class Regions(Masks):
    """Codes of pixels, whose bits are the regions of the store."""

    dice = staticmethod(dice_of_regions)
    measure = staticmethod(measure_regions)

    def count(self, store: Store, rows: Mapping[str, np.ndarray]) -> int:
        """Number of regions."""
        if not store.regions:
            raise InputError(
                f"No region is named; the masks hold {', '.join(map(str, store.mask_values))}. Say "
                f"which values each joins, as in --regions {EXAMPLE}."
            )
        return len(store.regions)

    def load(self, bench: Bench, rows: np.ndarray) -> Tensor:
        codes = torch.from_numpy(bench.tensors.store.codes).long()
        return codes[super().load(bench, rows)]

    def reference(self, store: Store, row: int) -> np.ndarray:
        return store.codes[super().reference(store, row)]

    def decide(self, chances: Tensor) -> Tensor:
        parts = [(chances[:, bit] > LEAST).byte() << bit for bit in range(chances.shape[1])]
        return torch.stack(parts).sum(0, dtype=torch.uint8)
