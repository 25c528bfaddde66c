"""Boxes as a target: they move with their views, and a study runs on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tassl.modality.base import Augmentation
from tassl.transforms.augment import Augment
from tassl.transforms.boxes import LEAST_SEEN, draw_box_centres, move_boxes
from tassl.transforms.draws import seeded
from tassl.transforms.geometry import draw_affine, draw_bend, find_places, sampling_grid

SPACES = [(48, 64), (24, 28, 32)]
both_dims = pytest.mark.parametrize("space", SPACES, ids=["2d", "3d"])
SHIFTS = Augmentation(crop=0.6, quarter_turns=0.5, flip_lr=0.5, flip_ud=0.5)
BENDS = Augmentation(crop=0.8, rotate_degrees=20, flip_lr=0.5, elastic=0.03)


def draw_scene(space: tuple[int, ...], *, round_: bool, seed: int) -> tuple[Tensor, Tensor]:
    """One bright brick or ball per image (image, 1, *space), and its box (image, 1, columns)."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in space), indexing="ij"), -1)
    images, boxes = [], []
    for _ in range(12):
        half = rng.uniform(4, 7, len(space))
        centre = rng.uniform(0.35, 0.65, len(space)) * space
        away = (grid - centre) / half
        inside = (away**2).sum(-1) <= 1 if round_ else (np.abs(away) <= 1).all(-1)
        images.append(inside[None])
        boxes.append([[0, *(centre - half), *(centre + half)]])
    return torch.tensor(np.array(images), dtype=torch.float32), torch.tensor(boxes).float()


def hull(view: Tensor) -> Tensor:
    """Low and high corner of what is bright in (1, *space)."""
    places = (view[0] > 0.5).nonzero()
    return torch.cat([places.amin(0), places.amax(0) + 1]).float()


@both_dims
@pytest.mark.parametrize(("ranges", "round_"), [(SHIFTS, False), (BENDS, True)])
def test_boxes_move_with_their_images(space, ranges, round_):
    images, boxes = draw_scene(space, round_=round_, seed=0)
    views, moved = Augment(ranges).boxed(images, boxes, seeded(3))
    seen = [k for k, box in enumerate(moved[:, 0]) if box[0] == 0]
    assert len(seen) >= 9
    for k in seen:
        assert (moved[k, 0, 1:] - hull(views[k])).abs().max() <= 1.5
    assert (moved[seen] - boxes[seen]).abs().max() > 5


@both_dims
def test_views_are_those_drawn_without_boxes(space):
    images, boxes = draw_scene(space, round_=True, seed=0)
    augment = Augment(BENDS)
    first, _ = augment.boxed(images, boxes, seeded(1))
    again, _ = augment.boxed(images, boxes[:, :0], seeded(1))
    assert torch.equal(first, again)


@both_dims
def test_places_are_found_the_other_way_round(space):
    affine = draw_affine(BENDS, 3, space, seeded(0))
    bend = draw_bend(0.03, 3, len(space), seeded(1))
    grid = sampling_grid(affine, space, bend)
    lines = [(2 * torch.arange(n) + 1) / n - 1 for n in space]
    places = torch.stack(torch.meshgrid(*lines, indexing="ij"), 0).flip(0).flatten(1).mT
    found = find_places(grid.flatten(2).mT, affine, bend, space)
    assert (found - places).abs().max() < 2e-3
    straight = find_places(sampling_grid(affine, space).flatten(2).mT, affine, None, space)
    assert (straight - places).abs().max() < 1e-4


@both_dims
def test_a_box_is_cut_and_dropped_at_the_edge(space):
    dims = len(space)
    affine = torch.eye(dims, dims + 1).repeat(1, 1, 1)
    affine[0, -1, -1] = 1.0  # the first axis looks half an image further on
    half, last = space[0] / 2, [float(n) for n in space[1:]]
    rows = [
        [1, half - 2, *[0.0] * (dims - 1), half + 2, *last],
        [2, half - 10, *[0.0] * (dims - 1), half + 10 * LEAST_SEEN, *last],
        [0, half + 1, *[0.0] * (dims - 1), half + 5, *last],
        [-1, *[-1.0] * (2 * dims)],
    ]
    moved = move_boxes(torch.tensor([rows]), affine, None, space, space)[0]
    assert moved[:, 0].tolist() == [1, -1, 0, -1]
    expected = torch.tensor([0, *[0.0] * (dims - 1), 2, *last])
    torch.testing.assert_close(moved[0, 1:], expected, atol=1e-3, rtol=0)


@both_dims
def test_windows_are_drawn_around_boxes(space):
    images, boxes = draw_scene(space, round_=False, seed=1)
    boxes[0, 0] = -1
    centres = draw_box_centres(boxes, space, seeded(0))
    assert centres[0].isnan().all()
    assert torch.isfinite(centres[1:]).all()
    windows = Augment(Augmentation(), tuple(n // 3 for n in space))
    shown = [(windows.boxed(images, boxes, seeded(s))[1][1:, 0, 0] == 0).float() for s in range(30)]
    alone = [
        (move_boxes(boxes, draw_affine(Augmentation(), 12, space, seeded(s), windows.patch), None,
                    space, windows.patch or space)[1:, 0, 0] == 0).float()
        for s in range(30)
    ]  # fmt: skip
    assert torch.stack(shown).mean() > 0.4 + 0.5 * torch.stack(alone).mean()
