"""From rows of a store to normalised tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tassl.data.store import Store

MOST_IMAGES_FOR_STATISTICS = 1000


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation per channel, taken from the images that are pretrained on."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


def measure_normalisation(store: Store, rows: np.ndarray) -> Normalisation:
    """Measure mean and deviation on at most 1,000 evenly chosen rows."""
    chosen = np.sort(rows)[:: max(1, len(rows) // MOST_IMAGES_FOR_STATISTICS)]
    values = store.images[chosen].astype(np.float64)
    axes = (0, *range(2, values.ndim))
    mean, deviation = values.mean(axes), np.maximum(values.std(axes), 1e-3)
    return Normalisation(tuple(map(float, mean)), tuple(map(float, deviation)))


class Tensors:
    """Serves rows of a store as tensors.

    Args:
        store: Images and masks.
        normalisation: Applied to every image.
    """

    def __init__(self, store: Store, normalisation: Normalisation) -> None:
        self.store = store
        self.normalisation = normalisation
        shape = (1, -1, *[1] * store.dims)
        self._mean = torch.tensor(normalisation.mean).view(shape)
        self._deviation = torch.tensor(normalisation.deviation).view(shape)

    def images(self, rows: np.ndarray) -> Tensor:
        """Normalised images, (row, channel, *space) float32."""
        pixels = torch.from_numpy(self.store.images[rows].astype(np.float32))
        return (pixels - self._mean) / self._deviation

    def masks(self, rows: np.ndarray) -> Tensor:
        """Class numbers, (row, *space) int64."""
        assert self.store.masks is not None
        return torch.from_numpy(self.store.masks[rows].astype(np.int64))

    def labels(self, rows: np.ndarray) -> Tensor:
        """Class of each image, (row,) int64."""
        return torch.from_numpy(self.store.table.label.to_numpy()[rows].astype(np.int64))
