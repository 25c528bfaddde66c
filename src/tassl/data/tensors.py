"""From rows of a store to normalised tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tassl.data.store import Store

MOST_IMAGES_FOR_STATISTICS = 1000
Change = Callable[[Tensor, np.ndarray], Tensor]  # normalised images and their rows to images


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation per channel, taken from the images that are pretrained on."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


def measure_normalisation(store: Store, rows: np.ndarray) -> Normalisation:
    """Measure mean and deviation on at most 1,000 evenly chosen rows, one at a time."""
    chosen = np.sort(rows)[:: max(1, -(-len(rows) // MOST_IMAGES_FOR_STATISTICS))]
    means, squares = np.zeros((2, len(chosen), store.channels))
    for k, row in enumerate(chosen):
        pixels = store.images[row].reshape(store.channels, -1) * np.float64(store.scale)
        means[k], squares[k] = pixels.mean(1), (pixels**2).mean(1)
    mean = means.mean(0)
    deviation = np.maximum(np.sqrt((squares.mean(0) - mean**2).clip(0)), 1e-3)
    return Normalisation(tuple(map(float, mean)), tuple(map(float, deviation)))


class Tensors:
    """Serves rows of a store as tensors.

    Args:
        store: Images and masks.
        normalisation: Applied to every image.
        changes: Made to every normalised image thereafter, one after another.
    """

    def __init__(
        self, store: Store, normalisation: Normalisation, changes: tuple[Change, ...] = ()
    ) -> None:
        self.store = store
        self.changes = changes
        self.normalisation = normalisation
        shape = (1, -1, *[1] * store.dims)
        self._mean = torch.tensor(normalisation.mean).view(shape)
        self._deviation = torch.tensor(normalisation.deviation).view(shape)

    def images(self, rows: np.ndarray) -> Tensor:
        """Normalised images, (row, channel, *space) float32."""
        images = self._normalise(self.store.images[rows])
        for change in self.changes:
            images = change(images, rows)
        return images

    def crops(self, rows: np.ndarray, starts: np.ndarray, size: Sequence[int]) -> Tensor:
        """Normalised windows, (row, channel, *size) float32; see `Store.crops`."""
        if not self.changes:
            return self._normalise(self.store.crops(rows, starts, size))
        windows = [[slice(a, a + n) for a, n in zip(start, size, strict=True)] for start in starts]
        images = self.images(rows)
        return torch.stack([own[(..., *w)] for own, w in zip(images, windows, strict=True)])

    def changed(self, *changes: Change) -> Tensors:
        """The same images with more changes."""
        return Tensors(self.store, self.normalisation, (*self.changes, *changes))

    def masks(self, rows: np.ndarray) -> Tensor:
        """Class numbers, (row, *space) int64."""
        assert self.store.masks is not None
        return torch.from_numpy(self.store.masks[rows].astype(np.int64))

    def labels(self, rows: np.ndarray) -> Tensor:
        """Class of each image, (row,) int64."""
        return torch.from_numpy(self.store.table.label.to_numpy()[rows].astype(np.int64))

    def _normalise(self, stored: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(stored).float()  # ten times as fast as numpy from float16
        return (pixels * self.store.scale - self._mean) / self._deviation
