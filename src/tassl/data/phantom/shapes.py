"""Analytic shapes with wavy outlines, the same code in 2D and 3D, many at a time.

Lengths are in half fields: an image spans -1 to 1 along every axis.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tassl.data.phantom.draws import Draws, Floats

SAMPLES = 256  # directions that a mean radius is taken over


@dataclass(frozen=True)
class Waves:
    """A smooth random function: a sum of plane waves.

    Args:
        vectors: Wave vectors (n, waves, dims) in radians per unit length.
        phases: (n, waves) in radians.
        weights: Amplitudes (n, waves).
    """

    vectors: Floats
    phases: Floats
    weights: Floats

    def at(self, points: Floats) -> Floats:
        """Value at points (n, dims, *space), as (n, *space)."""
        total = np.zeros_like(points[:, 0])
        for k in range(self.phases.shape[1]):
            phase = dot(self.vectors[:, k], points) + spread(self.phases[:, k], total)
            total += spread(self.weights[:, k], total) * np.cos(phase)
        return total

    def join(self, other: Waves) -> Waves:
        """The sum of two functions."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Waves(*(np.concatenate(pair, axis=1) for pair in pairs))


@dataclass(frozen=True)
class Shape:
    """An ellipsoid whose radius the outline changes with direction.

    Args:
        centre: (n, dims).
        axes: (n, dims, dims); takes an offset from the centre to the unit ball.
        radius: (n,), mean radius.
        outline: Waves over directions; their value is the logarithm of the relative radius.
    """

    centre: Floats
    axes: Floats
    radius: Floats
    outline: Waves

    def distance(self, points: Floats) -> Floats:
        """Distance to the outline along the ray from the centre, positive inside: (n, *space)."""
        offset = points - spread(self.centre, points)
        ball = np.stack([dot(row, offset) for row in np.moveaxis(self.axes, 1, 0)], axis=1)
        length = np.sqrt((ball**2).sum(1)) + np.float32(1e-6)
        border = np.exp(self.outline.at(ball / length[:, None]))
        return spread(self.radius, length) * (border - length)


def spread(values: Floats, like: Floats) -> Floats:
    """Give values (n, ...) as many trailing axes as `like` has, and its type."""
    return values.reshape(values.shape + (1,) * (like.ndim - values.ndim)).astype(like.dtype)


def take(record: Any, index: NDArray[np.intp]) -> Any:
    """Return a record (or tuple) of arrays (n, ...) with the entries that index names."""
    if isinstance(record, np.ndarray):
        return record[index]
    if isinstance(record, tuple):
        return tuple(take(part, index) for part in record)
    return replace(record, **{f.name: take(getattr(record, f.name), index) for f in fields(record)})


def draw_waves(draws: Draws, dims: int, frequency: tuple[float, float], weights: Floats) -> Waves:
    """Draw waves of random direction.

    Args:
        draws: The subjects' random numbers.
        dims: Spatial dimensions.
        frequency: Least and greatest radians per unit length.
        weights: Amplitudes, (subjects, waves).
    """
    count = weights.shape[1]
    vectors = draws.directions(count, dims) * draws.uniform(*frequency, count, 1)
    return Waves(vectors, draws.uniform(0, 2 * np.pi, count), weights)


def make_shape(centre: Floats, turn: Floats, radii: Floats, outline: Waves) -> Shape:
    """Build a shape from its rotation (n, dims, dims) and radii (n, dims)."""
    return Shape(centre, turn / radii[:, :, None], np.exp(np.log(radii).mean(1)), outline)


def rotate(angles: Floats, dims: int) -> Floats:
    """Rotations (n, dims, dims) from one angle in radians per plane: (n, 1) in 2D, (n, 3) in 3D."""
    turn = np.broadcast_to(np.eye(dims), (len(angles), dims, dims))
    for plane, (i, j) in enumerate(combinations(reversed(range(dims)), 2)):
        step = np.tile(np.eye(dims), (len(angles), 1, 1))
        step[:, i, i] = step[:, j, j] = np.cos(angles[:, plane])
        step[:, i, j] = np.sin(angles[:, plane])
        step[:, j, i] = -step[:, i, j]
        turn = step @ turn
    return turn


def mean_radius(outline: Waves, dims: int) -> Floats:
    """Radius (n,) of the circle or sphere with the content of a unit ball of this outline."""
    steps = np.arange(SAMPLES) + 0.5
    across, height = steps * np.pi * (3 - np.sqrt(5)), np.zeros(SAMPLES)
    if dims == 3:  # a Fibonacci sphere
        height = 1 - 2 * steps / SAMPLES
    else:
        across = steps * 2 * np.pi / SAMPLES
    ring = np.sqrt(1 - height**2)
    points = np.stack([height, ring * np.sin(across), ring * np.cos(across)])[-dims:]
    values = outline.at(np.broadcast_to(points, (len(outline.phases), dims, SAMPLES)))
    return np.exp(dims * values).mean(1) ** (1 / dims)


def dot(vectors: Floats, points: Floats) -> Floats:
    """Inner product of vectors (n, dims) and points (n, dims, *space): (n, *space)."""
    parts = [
        spread(vectors[:, axis], points[:, 0]) * points[:, axis] for axis in range(points.shape[1])
    ]
    return sum(parts[1:], parts[0])
