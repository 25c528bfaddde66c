"""Augmentations do what they say, in 2D and 3D."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from tassl.modality.base import Augmentation
from tassl.transforms import geometry, intensity
from tassl.transforms.augment import Augment
from tassl.transforms.draws import seeded, sign, uniform
from tassl.transforms.geometry import apply_affine, draw_affine
from tassl.transforms.masks import draw_block_masks

SPACES = [(20, 28), (8, 10, 14)]
both_dims = pytest.mark.parametrize("space", SPACES, ids=["2d", "3d"])
ALL_ON = Augmentation(
    crop=0.5, rotate_degrees=20, flip_lr=0.5, flip_ud=0.5, brightness=0.3, contrast=0.3,
    gamma=0.3, noise=0.1, speckle=0.1, blur=1.0, bias_field=0.3,
)  # fmt: skip
quick = settings(max_examples=25, deadline=None)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def identity(batch: int, dims: int) -> Tensor:
    return torch.eye(dims, dims + 1).repeat(batch, 1, 1)


# Geometry


@both_dims
def test_identity_gives_the_image_back(space):
    images = draw(2, 3, *space)
    same = apply_affine(images, identity(2, len(space)))
    torch.testing.assert_close(same, images, atol=1e-4, rtol=0)
    drawn = draw_affine(Augmentation(), 2, space, seeded(0))
    torch.testing.assert_close(drawn, identity(2, len(space)))


@both_dims
def test_no_operation_changes_nothing(space):
    images = draw(2, 1, *space)
    torch.testing.assert_close(
        Augment(Augmentation())(images, seeded(0)), images, atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("degrees", [15.0, -40.0, 90.0])
def test_rotation_keeps_its_angle_on_an_oblong_image(degrees, monkeypatch):
    highest = lambda count, low, high, rng: torch.full((count,), float(high))  # noqa: E731
    monkeypatch.setattr(geometry, "uniform", highest)
    images = F.interpolate(draw(1, 1, 5, 7), size=(20, 28), mode="bilinear")
    affine = draw_affine(Augmentation(rotate_degrees=degrees), 1, (20, 28), seeded(0))
    turned = apply_affine(images, affine)[0, 0].numpy()
    expected = ndimage.rotate(images[0, 0].numpy(), degrees, reshape=False, order=1, mode="nearest")
    np.testing.assert_allclose(turned, expected, atol=1e-3)


@both_dims
def test_draws_are_rotations_flips_and_zooms_in_pixels(space):
    ranges = Augmentation(crop=0.3, rotate_degrees=30, flip_lr=0.5, flip_ud=0.5)
    affine = draw_affine(ranges, 64, space, seeded(0))
    size = torch.tensor(space[::-1], dtype=torch.float32)
    matrix = affine[..., :-1] * size[:, None] / size
    zoom = torch.linalg.det(matrix).abs()
    gram = matrix.transpose(1, 2) @ matrix
    scale = zoom ** (2 / len(space))
    torch.testing.assert_close(gram, scale[:, None, None] * torch.eye(len(space)).expand_as(gram))
    assert zoom.min() >= 0.3 - 1e-5
    assert zoom.max() <= 1 + 1e-5
    assert zoom.min() < 0.4
    assert zoom.max() > 0.9


@pytest.mark.parametrize(
    ("space", "operation", "axis"),
    [
        ((20, 28), "flip_lr", 3),
        ((20, 28), "flip_ud", 2),
        ((8, 10, 14), "flip_lr", 2),
        ((8, 10, 14), "flip_ud", 4),
    ],
)
def test_flips_turn_the_named_axis(space, operation, axis):
    images = draw(2, 1, *space)
    flipped = Augment(Augmentation(**{operation: 1.0}))(images, seeded(0))
    torch.testing.assert_close(flipped, images.flip(axis), atol=1e-4, rtol=0)


@both_dims
def test_flip_probability_is_kept(space):
    affine = draw_affine(Augmentation(flip_lr=0.25), 2000, space, seeded(0))
    axis = 0 if len(space) == 2 else 2
    share = float((affine[:, axis, axis] < 0).float().mean())
    assert share == pytest.approx(0.25, abs=0.04)


@quick
@given(crop=st.floats(0.05, 1.0), seed=st.integers(0, 1000), three=st.booleans())
def test_crops_stay_within_the_image(crop, seed, three):
    space = SPACES[three]
    affine = draw_affine(Augmentation(crop=crop, flip_lr=0.5), 16, space, seeded(seed))
    reach = affine[..., :-1].abs().sum(2) + affine[..., -1].abs()
    assert reach.max() <= 1 + 1e-5


@both_dims
def test_mask_moves_with_its_image(space):
    ranges = Augmentation(crop=0.5, rotate_degrees=20, flip_lr=0.5, flip_ud=0.5)
    coarse = draw(4, 1, *[3] * len(space))
    mode = "bilinear" if len(space) == 2 else "trilinear"
    masks = (F.interpolate(coarse, size=space, mode=mode)[:, 0] > 0).long() * 3
    images, moved = Augment(ranges).paired(masks[:, None].float(), masks, seeded(1))
    assert moved.dtype == masks.dtype
    assert set(moved.unique().tolist()) <= {0, 3}
    agree = (images[:, 0] > 1.5) == (moved > 1.5)
    assert agree.float().mean() > 0.97  # all but pixels on the edge
    assert ((masks > 1.5) == (moved > 1.5)).float().mean() < 0.9


@both_dims
def test_paired_draws_the_same_view_as_images_alone(space):
    augment, images = Augment(ALL_ON), draw(3, 1, *space)
    alone = augment(images, seeded(2))
    paired, _ = augment.paired(images, torch.zeros(3, *space, dtype=torch.long), seeded(2))
    assert torch.equal(alone, paired)


@both_dims
def test_a_window_has_the_images_own_resolution(space):
    window = tuple(size // 2 for size in space)
    ramp = torch.arange(space[-1], dtype=torch.float32).expand(3, 1, *space)
    view = Augment(Augmentation(), window)(ramp, seeded(0))
    assert view.shape == (3, 1, *window)
    slope = view.diff(dim=-1)
    torch.testing.assert_close(slope, torch.ones_like(slope), atol=1e-4, rtol=0)
    assert len(view[:, 0].flatten(1)[:, 0].unique()) == 3, "windows differ from image to image"


# Intensity


@both_dims
def test_gain_scales_about_the_mean(space):
    images = draw(2, 1, *space)
    changed = intensity.apply_gain(images, torch.tensor([2.0, 0.5]), torch.tensor([1.0, -1.0]))
    before, after = images.flatten(1), changed.flatten(1)
    torch.testing.assert_close(after.mean(1), before.mean(1) + torch.tensor([1.0, -1.0]))
    torch.testing.assert_close(after.std(1), before.std(1) * torch.tensor([2.0, 0.5]))


@quick
@given(exponent=st.floats(0.4, 2.5), seed=st.integers(0, 1000))
def test_gamma_keeps_ends_and_order(exponent, seed):
    images = draw(1, 1, 8, 9, seed=seed)
    changed = intensity.apply_gamma(images, torch.tensor([exponent]))
    assert changed.min() == images.min()
    torch.testing.assert_close(changed.max(), images.max())
    assert changed.flatten()[images.flatten().argsort()].diff().min() >= 0


def test_gamma_is_a_power_and_leaves_a_constant_image():
    image = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3)
    changed = intensity.apply_gamma(image, torch.tensor([0.5]))
    torch.testing.assert_close(changed.flatten(), torch.tensor([0.0, 0.5, 1.0]))
    flat = torch.full((1, 1, 4, 4), 2.5)
    assert torch.equal(intensity.apply_gamma(flat, torch.tensor([0.5])), flat)


@both_dims
def test_blur_equals_scipy_with_a_deviation_per_image(space):
    images, deviations = draw(3, 2, *space), torch.tensor([0.5, 1.0, 1.5])
    blurred = intensity.apply_blur(images, deviations)
    for image, deviation, result in zip(images, deviations.tolist(), blurred, strict=True):
        for channel, changed in zip(image, result, strict=True):
            expected = ndimage.gaussian_filter(
                channel.numpy(), deviation, mode="nearest", radius=round(3 * 1.5)
            )
            np.testing.assert_allclose(changed.numpy(), expected, atol=1e-4)


@both_dims
def test_no_blur_changes_nothing(space):
    images = draw(2, 1, *space)
    torch.testing.assert_close(intensity.apply_blur(images, torch.zeros(2)), images)


def test_noise_has_its_deviation():
    images, noise = draw(3, 1, 100, 100), draw(3, 1, 100, 100, seed=1)
    deviation = torch.tensor([0.0, 0.1, 0.5])
    added = (intensity.apply_noise(images, deviation, noise) - images).flatten(1)
    torch.testing.assert_close(added.std(1), deviation, atol=0.01, rtol=0)
    torch.testing.assert_close(added.mean(1), torch.zeros(3), atol=0.02, rtol=0)


def test_noise_of_a_view_is_within_its_range_and_fresh():
    images = torch.zeros(64, 1, 32, 32)
    changed = Augment(Augmentation(noise=0.2))(images, seeded(0)).flatten(1)
    deviations = changed.std(1)
    assert deviations.max() < 0.22
    assert deviations.max() > 0.15
    assert deviations.min() < 0.05
    assert torch.corrcoef(changed).fill_diagonal_(0).abs().max() < 0.3


@both_dims
def test_speckle_leaves_the_minimum_and_grows_with_the_level(space):
    images, noise = draw(2, 1, *space), draw(2, 1, *space, seed=1)
    changed = intensity.apply_speckle(images, torch.tensor([0.1, 0.2]), noise)
    lowest = images.flatten(1).argmin(1, keepdim=True)
    assert torch.equal(changed.flatten(1).gather(1, lowest), images.flatten(1).gather(1, lowest))
    level = (images - images.flatten(1).amin(1).view(2, *[1] * (images.dim() - 1))).flatten(1)
    share = ((changed - images).flatten(1) / level.clamp_min(1e-3)).std(1)
    torch.testing.assert_close(share, torch.tensor([0.1, 0.2]), atol=0.03, rtol=0)


@both_dims
def test_field_is_smooth_around_one(space):
    strength = 0.3
    logs = intensity.draw_field((200, 3, *space), strength, seeded(0)).log()
    assert logs.shape == (200, 1, *space)
    assert logs.abs().max() <= strength + 1e-5
    assert float(logs.mean()) == pytest.approx(0, abs=0.05 * strength)
    assert logs.std() > 0.2 * strength
    for axis, size in enumerate(space, start=2):
        steepest = 2 * strength * 2 / (size - 1)  # three knots: two spans over the axis
        assert logs.diff(dim=axis).abs().max() <= steepest + 1e-5


def test_field_multiplies_above_the_minimum():
    image = torch.tensor([-1.0, 0.0, 3.0]).view(1, 1, 1, 3)
    changed = intensity.apply_field(image, torch.tensor([2.0, 2.0, 0.5]).view(1, 1, 1, 3))
    torch.testing.assert_close(changed.flatten(), torch.tensor([-1.0, 1.0, 1.0]))


def test_volumes_of_one_slice_change_like_images():
    images, noise = draw(3, 2, 12, 14), draw(3, 2, 12, 14, seed=1)
    amounts = torch.tensor([0.3, 0.8, 1.4])
    for change in (
        lambda x, n: intensity.apply_gain(x, amounts, amounts),
        lambda x, n: intensity.apply_gamma(x, amounts),
        lambda x, n: intensity.apply_noise(x, amounts, n),
        lambda x, n: intensity.apply_speckle(x, amounts, n),
        lambda x, n: intensity.apply_field(x, n.exp()[:, :1]),
        lambda x, n: intensity.apply_blur(x, amounts),
    ):
        flat, deep = change(images, noise), change(images[..., None], noise[..., None])
        torch.testing.assert_close(deep[..., 0], flat)


# Views, masks and random numbers


@both_dims
def test_view_depends_on_the_generator_alone(space):
    augment, images = Augment(ALL_ON), draw(4, 2, *space)
    before = images.clone()
    view = augment(images, seeded(1, 2))
    assert torch.equal(images, before)
    torch.manual_seed(99)
    assert torch.equal(augment(images, seeded(1, 2)), view)
    assert not torch.allclose(augment(images, seeded(1, 3)), view)
    assert view.isfinite().all()
    twins = augment(images[:1].expand(4, *images.shape[1:]), seeded(1, 2))
    assert not torch.allclose(twins[0], twins[1]), "each image has its own draw"


@quick
@given(
    space=st.lists(st.integers(4, 17), min_size=2, max_size=3).map(tuple),
    block=st.integers(2, 6),
    ratio=st.floats(0.05, 0.95),
    seed=st.integers(0, 1000),
)
def test_block_masks_hide_whole_blocks_in_their_share(space, block, ratio, seed):
    mask = draw_block_masks(3, space, block, ratio, seeded(seed))
    assert mask.shape == (3, 1, *space)
    assert mask.dtype == torch.bool
    corners = mask[(..., *[slice(None, None, block)] * len(space))]
    total = math.prod(-(-size // block) for size in space)
    wanted = min(total - 1, max(1, round(ratio * total)))
    assert corners.flatten(1).sum(1).tolist() == [wanted] * 3
    full = corners
    for axis, size in enumerate(space, start=2):
        full = full.repeat_interleave(block, axis).narrow(axis, 0, size)
    assert torch.equal(mask, full)


def test_block_masks_differ_between_images_and_seeds():
    mask = draw_block_masks(4, (32, 32), 4, 0.5, seeded(0))
    assert not torch.equal(mask[0], mask[1])
    assert torch.equal(mask, draw_block_masks(4, (32, 32), 4, 0.5, seeded(0)))
    assert not torch.equal(mask, draw_block_masks(4, (32, 32), 4, 0.5, seeded(1)))
    often = draw_block_masks(2000, (16, 16), 4, 0.5, seeded(0)).float().mean(0)
    assert (often - 0.5).abs().max() < 0.06, "no place is favoured"


def test_generators_hang_on_seed_and_counters():
    keys = [(s, *c) for s in (0, 1, 2) for c in [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (-1,)]]
    draws = [tuple(torch.rand(4, generator=seeded(*key)).tolist()) for key in keys]
    assert len(set(draws)) == len(keys)
    assert draws == [tuple(torch.rand(4, generator=seeded(*key)).tolist()) for key in keys]


def test_uniform_and_sign_keep_their_range():
    values = uniform(2000, -2.0, 3.0, seeded(0))
    assert values.min() >= -2
    assert values.max() <= 3
    assert float(values.mean()) == pytest.approx(0.5, abs=0.15)
    signs = sign(2000, 0.25, seeded(0))
    assert set(signs.tolist()) == {-1.0, 1.0}
    assert float(signs.mean()) == pytest.approx(0.5, abs=0.1)
    assert set(sign(100, 0.0, seeded(0)).tolist()) == {1.0}
