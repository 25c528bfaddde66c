"""The scene in front of the scanner: where each tissue lies, and how it would show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tassl.data.phantom.anatomy import Anatomy
from tassl.data.phantom.draws import Draws, Floats
from tassl.data.phantom.shapes import dot, rotate, spread
from tassl.data.phantom.spec import PhantomSpec

APEX = -2.3  # depth in half fields from which the beams of an ultrasound probe fan out


@dataclass(frozen=True)
class Scene:
    """n images without blur and noise.

    Args:
        levels: (n, *space) in the modality's unit: dB, HU or multiples of organ signal.
        lesion: (n, *space) bool.
        organ: (n, *space) bool, the lesion and the vessels included.
    """

    levels: Floats
    lesion: NDArray[np.bool_]
    organ: NDArray[np.bool_]


def make_grid(spec: PhantomSpec) -> NDArray[np.float32]:
    """Pixel centres (dims, *space) in half fields."""
    ticks = ((np.arange(spec.size) + 0.5) * 2 / spec.size - 1).astype(np.float32)
    return np.stack(np.meshgrid(*[ticks] * spec.dims, indexing="ij"))


def draw_views(spec: PhantomSpec, draws: Draws) -> Floats:
    """Draw where each image's pixels lie in its subject: (subjects * views, dims, *space).

    Views differ by a small turn (sd 5 degrees), shift (up to 3% of the field) and zoom (3%).
    """
    dims, views = spec.dims, spec.images_per_subject
    angles = np.radians(5) * draws.normal(views, dims * (dims - 1) // 2)
    shift = draws.uniform(-0.06, 0.06, views, dims).reshape(-1, dims)
    zoom = np.exp(0.03 * draws.normal(views)).reshape(-1, 1, 1)
    turn = rotate(angles.reshape(len(shift), -1), dims) * zoom
    grid = make_grid(spec)[None]
    turned = np.stack([dot(row, grid) for row in np.moveaxis(turn, 1, 0)], axis=1)
    return turned + spread(shift, turned)


def paint_scene(spec: PhantomSpec, anatomy: Anatomy, points: Floats) -> Scene:
    """Paint the tissues over one another, from the skin to the lesion.

    Args:
        spec: What to draw.
        anatomy: One per image.
        points: (n, dims, *space), where the pixels lie in the subject.
    """
    levels, edge = spec.physics, np.float32(2 / spec.size)
    skin = anatomy.body.distance(points)
    organ = anatomy.organ.distance(points)
    lesion = anatomy.lesion.distance(points)
    texture = np.float32(levels.texture) * anatomy.texture.at(points)
    inside = _cover(skin, edge)
    canvas = np.full_like(skin, levels.air)
    _paint(canvas, levels.fat + texture, inside)
    _paint(canvas, levels.soft + texture, _cover(skin - spread(anatomy.fat, skin), edge))
    _paint(canvas, levels.organ + texture, _cover(organ, edge) * inside)
    _paint(canvas, np.float32(levels.bone), _cover(anatomy.bone.distance(points), edge) * inside)
    for vessel in anatomy.vessels:
        _paint(canvas, np.float32(levels.vessel), _cover(vessel.distance(points), edge) * inside)
    uneven = spread(anatomy.unevenness, skin) * anatomy.lesion_texture.at(points)
    canvas += np.float32(levels.shadow) * _shadow(anatomy, points)
    level = np.float32(levels.organ) + spread(anatomy.contrast, skin) + uneven
    _paint(canvas, level, _cover(lesion, spread(anatomy.margin, skin)))
    return Scene(canvas, lesion > 0, organ > 0)


def _shadow(anatomy: Anatomy, points: Floats) -> Floats:
    """Strength (n, *space) of the lesion's shadow, -1 to 1, along beams that fan from APEX."""
    centre, radius = anatomy.lesion.centre, spread(anatomy.lesion.radius, points[:, 0])
    down, across = points[:, -2] - np.float32(APEX), points[:, -1]
    depth = np.sqrt(down**2 + across**2)
    lesion_down, lesion_across = (spread(centre[:, k], depth) for k in (-2, -1))
    lesion_down = lesion_down - np.float32(APEX)
    aside = (down * lesion_across - across * lesion_down) / depth
    if points.shape[1] == 3:
        aside = np.sqrt(aside**2 + (points[:, 0] - spread(centre[:, 0], depth)) ** 2)
    behind = depth - np.sqrt(lesion_down**2 + lesion_across**2) - 0.5 * radius
    cover = _cover(behind, 0.6 * radius) * _cover(0.7 * radius - np.abs(aside), 0.5 * radius)
    return spread(anatomy.shadow, depth) * cover


def _cover(distance: Floats, width: Floats | np.float32) -> Floats:
    """Share of a pixel that a structure covers, rising from 0 to 1 over `width`."""
    return np.clip(0.5 + distance / width, 0, 1)


def _paint(canvas: Floats, level: Floats | np.float32, cover: Floats) -> None:
    canvas += cover * (level - canvas)
