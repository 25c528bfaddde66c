"""Random numbers, drawn subject by subject so that no subject depends on how many follow."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray

Floats = NDArray[np.floating]
SUBJECT, BLOCK = 0, 1
BLOCK_SIZE, GOLDEN = 20, (5**0.5 - 1) / 2


class Draws:
    """One generator per subject; every draw has the subjects along its first axis.

    Args:
        seed: Seed of the cohort.
        first: Index of the first subject.
        count: Number of subjects.
    """

    def __init__(self, seed: int, first: int, count: int) -> None:
        self._generators = [_generator(seed, SUBJECT, k) for k in range(first, first + count)]

    def uniform(self, low: float, high: float, *shape: int) -> Floats:
        """Draw (subjects, *shape) numbers between low and high."""
        return low + (high - low) * np.stack([g.random(shape) for g in self._generators])

    def normal(self, *shape: int) -> Floats:
        """Draw (subjects, *shape) standard normal numbers."""
        return np.stack([g.standard_normal(shape) for g in self._generators])

    def white(self, *shape: int) -> NDArray[np.float32]:
        """Draw (subjects, *shape) standard normal numbers as float32: the noise of images."""
        drawn = [g.standard_normal(shape, dtype=np.float32) for g in self._generators]
        return np.stack(cast(list[NDArray[np.float32]], drawn))

    def directions(self, count: int, dims: int) -> Floats:
        """Draw (subjects, count, dims) unit vectors, uniform on the circle or sphere."""
        vectors = self.normal(count, dims)
        return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def draw_even(seed: int, count: int) -> Floats:
    """Draw a point of the unit square per subject, spread evenly over each block of 20: (count, 2).

    Even spreading keeps the share of each class near its prevalence, and the sites alike in every
    class, in small cohorts too.
    """
    blocks = [_generator(seed, BLOCK, block) for block in range(-(-count // BLOCK_SIZE))]
    return np.concatenate([_lattice(generator) for generator in blocks])[:count]


def _lattice(generator: Generator) -> Floats:
    """Points of a shifted golden-ratio lattice in random order, (BLOCK_SIZE, 2)."""
    order = generator.permutation(BLOCK_SIZE)
    first = (order + generator.random(BLOCK_SIZE)) / BLOCK_SIZE
    return np.stack([first, (order * GOLDEN + generator.random()) % 1], axis=1)


def _generator(seed: int, *stream: int) -> Generator:
    return default_rng(SeedSequence(seed, spawn_key=stream))
