"""Subjects: their organs and their lesion, before any scanner sees them.

Lengths are in half fields. The last axis but one is depth (downwards in a picture), the last
runs across; in 3D the first runs along the body.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tassl.data.phantom.draws import Draws, Floats
from tassl.data.phantom.shapes import Shape, Waves, draw_waves, make_shape, mean_radius, rotate
from tassl.data.phantom.spec import PhantomSpec

VESSELS = 3
SEPARATION = np.array([1.5, 1.0, 1.0, 0.5])  # outline, margin, texture, shadow: by class, in sd
BODY = {  # centre and radii along (body, depth, across)
    "ultrasound": ((0.0, 2.8, 0.0), (3.9, 3.9, 3.9)),
    "ct": ((0.0, 0.0, 0.0), (2.5, 0.76, 0.93)),
    "mri": ((0.0, 0.0, 0.0), (1.4, 0.92, 0.8)),
}
BONE = {
    "ultrasound": ((0.0, 1.0, 0.0), (1.5, 0.1, 1.5)),
    "ct": ((0.0, 0.54, 0.0), (2.0, 0.13, 0.16)),
    "mri": ((0.0, 0.72, 0.0), (0.3, 0.08, 0.3)),
}
ORGAN, UPWARDS = (0.6, 0.38, 0.52), np.array([0.0, 0.06, 0.0])  # radii, lift of the centre
FAT = {"ultrasound": (0.3, 0.5), "ct": (0.05, 0.13), "mri": (0.04, 0.09)}


@dataclass(frozen=True)
class Anatomy:
    """Everything about n subjects (or images) that does not depend on the scanner.

    Args:
        body: The skin.
        bone: Spine, or in ultrasound the chest wall.
        organ: The organ that bears the lesion.
        vessels: Round structures in the organ that tell nothing of the class.
        lesion: The lesion; its radius is that of the circle or sphere of equal content.
        fat: (n,) thickness of the layer under the skin.
        margin: (n,) width over which the lesion fades into the organ.
        contrast: (n,) lesion level minus organ level, in the modality's unit.
        unevenness: (n,) standard deviation of the lesion's texture, in the modality's unit.
        shadow: (n,) from -1 (brighter tissue behind the lesion) to 1 (darker).
        texture: Waves over position, of unit standard deviation.
        lesion_texture: Finer waves over position, of unit standard deviation.
    """

    body: Shape
    bone: Shape
    organ: Shape
    vessels: tuple[Shape, ...]
    lesion: Shape
    fat: Floats
    margin: Floats
    contrast: Floats
    unevenness: Floats
    shadow: Floats
    texture: Waves
    lesion_texture: Waves


def draw_anatomy(spec: PhantomSpec, grades: Floats, draws: Draws) -> Anatomy:
    """Draw the anatomy of subjects.

    Args:
        spec: What to draw.
        grades: (subjects,) from -1 (most benign class) to 1 (most malignant class).
        draws: The subjects' random numbers.
    """
    organ = _draw_organ(spec, grades, draws)
    signs = draws.normal(4) + spec.local_signal * grades[:, None] * SEPARATION
    outline, margin, texture, shadow = np.moveaxis(1 / (1 + np.exp(-1.5 * signs)), 1, 0)
    lesion = _draw_lesion(spec, organ, outline, draws)
    return Anatomy(
        body=_draw_fixed(spec, BODY[spec.modality], draws),
        bone=_draw_fixed(spec, BONE[spec.modality], draws),
        organ=organ,
        vessels=tuple(_draw_vessel(spec, organ, draws) for _ in range(VESSELS)),
        lesion=lesion,
        fat=draws.uniform(*FAT[spec.modality]),
        margin=2 / spec.size + 0.7 * margin * lesion.radius,
        contrast=spec.contrast * draws.uniform(0.6, 1.4),
        unevenness=spec.physics.texture * (0.3 + 2.2 * texture),
        shadow=2 * shadow - 1,
        texture=_draw_texture(spec, (8.0, 30.0), draws),
        lesion_texture=_draw_texture(spec, (4.0, 8.0), draws),
    )


def _draw_organ(spec: PhantomSpec, grades: Floats, draws: Draws) -> Shape:
    """Draw the organ; its elongation along the last axis carries the global signal."""
    dims = spec.dims
    sign = draws.normal() + 1.5 * spec.global_signal * grades
    radii = np.array(ORGAN[-dims:]) * draws.uniform(0.85, 1.1, 1)
    stretch = np.exp(0.12 * sign)[:, None] ** np.array([-1 / (dims - 1)] * (dims - 1) + [1.0])
    centre = draws.uniform(-0.12, 0.12, dims) - UPWARDS[-dims:]
    turn = rotate(draws.uniform(-0.4, 0.4, _planes(dims)), dims)
    outline = draw_waves(draws, dims, (2.0, 5.0), 0.06 * draws.uniform(0.3, 1.0, 4))
    return make_shape(centre, turn, radii * stretch, outline)


def _draw_lesion(spec: PhantomSpec, organ: Shape, irregular: Floats, draws: Draws) -> Shape:
    """Draw the lesion: lobes and spicules grow with irregularity (0..1), its content does not."""
    dims, count = spec.dims, 3
    lobes = (0.02 + 0.14 * irregular)[:, None] * draws.uniform(0.5, 1.0, count)
    spicules = (0.01 + 0.16 * irregular)[:, None] * draws.uniform(0.5, 1.0, count)
    outline = draw_waves(draws, dims, (2.5, 5.0), lobes)
    outline = outline.join(draw_waves(draws, dims, (8.0, 12.0), spicules))
    radius = draws.uniform(*spec.diameter) / spec.size / mean_radius(outline, dims)
    stretch = np.exp(0.12 * draws.normal(dims))
    stretch /= np.exp(np.log(stretch).mean(1, keepdims=True))
    turn = rotate(draws.uniform(-np.pi, np.pi, _planes(dims)), dims)
    place = 0.5 * draws.directions(1, dims)[:, 0] * draws.uniform(0, 1, 1) ** (1 / dims)
    centre = organ.centre + place * organ.radius[:, None]
    return make_shape(centre, turn, radius[:, None] * stretch, outline)


def _draw_vessel(spec: PhantomSpec, organ: Shape, draws: Draws) -> Shape:
    dims = spec.dims
    centre = organ.centre + draws.directions(1, dims)[:, 0] * draws.uniform(0.1, 0.9, 1) * 0.45
    radii = draws.uniform(0.035, 0.09, 1) * np.exp(0.2 * draws.normal(dims))
    turn = rotate(draws.uniform(-np.pi, np.pi, _planes(dims)), dims)
    return make_shape(centre, turn, radii, _draw_smooth(spec, draws))


def _draw_fixed(
    spec: PhantomSpec, place: tuple[tuple[float, ...], tuple[float, ...]], draws: Draws
) -> Shape:
    """Draw a structure near its usual place and size."""
    dims = spec.dims
    centre, radii = (np.array(values[-dims:]) for values in place)
    radii = radii + 0.03 * draws.normal(dims).clip(-2, 2)
    turn = rotate(draws.uniform(-0.05, 0.05, _planes(dims)), dims)
    return make_shape(centre + 0.02 * draws.normal(dims), turn, radii, _draw_smooth(spec, draws))


def _draw_smooth(spec: PhantomSpec, draws: Draws) -> Waves:
    return draw_waves(draws, spec.dims, (1.0, 4.0), 0.04 * draws.uniform(0.2, 1.0, 2))


def _draw_texture(spec: PhantomSpec, period: tuple[float, float], draws: Draws) -> Waves:
    """Draw waves of unit standard deviation, of periods in pixels."""
    frequency = np.pi * spec.size / period[1], np.pi * spec.size / period[0]
    weights = draws.uniform(0.5, 1.0, 6)
    return draw_waves(
        draws, spec.dims, frequency, weights / np.sqrt((weights**2).sum(1, keepdims=True) / 2)
    )


def _planes(dims: int) -> int:
    """Number of planes that a rotation can turn in."""
    return dims * (dims - 1) // 2
