"""Augmentations do what they say, in 2D and 3D, and leave alone what they must not touch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats
from torch import Tensor
from torch.nn import functional as F

from tassl.data.tensors import Normalisation
from tassl.errors import OptionError
from tassl.modality.base import Augmentation
from tassl.modality.ct import scale_hounsfield
from tassl.transforms import colour, corruption, geometry, intensity
from tassl.transforms.augment import MOST, Augment
from tassl.transforms.axes import along, spread
from tassl.transforms.draws import seeded, sign, uniform
from tassl.transforms.geometry import draw_affine, draw_bend, resample, sampling_grid
from tassl.transforms.masks import draw_block_masks
from tassl.transforms.saliency import draw_spots

SPACES = [(20, 28), (8, 10, 14)]
both_dims = pytest.mark.parametrize("space", SPACES, ids=["2d", "3d"])
GEOMETRY = Augmentation(
    crop=0.5, rotate_degrees=20, quarter_turns=0.5, flip_lr=0.5, flip_ud=0.5, elastic=0.05
)  # fmt: skip
ALL_ON = Augmentation(
    crop=0.5, rotate_degrees=20, quarter_turns=0.5, flip_lr=0.5, flip_ud=0.5, elastic=0.05,
    brightness=0.3, contrast=0.3, gamma=0.3, window=0.2, bias_field=0.3, depth_gain=0.3,
    stain=0.2, illuminant=0.2, blur=1.0, speckle=0.1, noise=0.1, rician=0.1, poisson=0.1,
    ghosting=0.3, cutout=0.2,
)  # fmt: skip
SCALE = Normalisation((0.6, 0.4, 0.5), (0.2, 0.25, 0.3))
UNIT = Normalisation((0.0,) * 3, (1.0,) * 3)
quick = settings(max_examples=25, deadline=None)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def colours(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=seeded(seed)) * 0.98 + 0.01


def smooth(batch: int, space: tuple[int, ...]) -> Tensor:
    mode = "bilinear" if len(space) == 2 else "trilinear"
    return F.interpolate(draw(batch, 1, *[3] * len(space)), size=space, mode=mode)


def identity(batch: int, dims: int) -> Tensor:
    return torch.eye(dims, dims + 1).repeat(batch, 1, 1)


# Geometry


@both_dims
def test_no_operation_changes_nothing(space):
    images = draw(2, 3, *space)
    same = Augment(Augmentation())(images, seeded(0))
    torch.testing.assert_close(same, images, atol=5e-4, rtol=0)
    drawn = draw_affine(Augmentation(), 2, space, seeded(0))
    torch.testing.assert_close(drawn, identity(2, len(space)))


@both_dims
def test_grid_is_the_one_of_torch(space):
    affine = draw_affine(GEOMETRY, 5, space, seeded(0))
    expected = F.affine_grid(affine, [5, 1, *space], align_corners=False)
    torch.testing.assert_close(sampling_grid(affine, space), expected.movedim(-1, 1))


@pytest.mark.parametrize("channels", [1, 3])
@both_dims
def test_resampling_equals_scipy_and_repeats_the_border(space, channels):
    images, view = draw(2, channels, *space), tuple(size - 3 for size in space)
    grid = torch.rand(2, len(space), *view, generator=seeded(1)) * 2.4 - 1.2
    result = resample(images, grid)
    assert result.shape == (2, channels, *view)
    for image, places, read in zip(images, grid, result, strict=True):
        pixels = [
            ((place + 1) * size - 1).numpy() / 2
            for place, size in zip(places.flip(0), space, strict=True)
        ]
        for plane, found in zip(image.numpy(), read.numpy(), strict=True):
            expected = ndimage.map_coordinates(plane, pixels, order=1, mode="nearest")
            np.testing.assert_allclose(found, expected, atol=2e-3)


def test_a_volume_of_one_slice_is_resampled_like_an_image():
    images, affine = draw(2, 1, 20, 28), draw_affine(GEOMETRY, 2, (20, 28), seeded(0))
    grid = sampling_grid(affine, (20, 28))
    deep = torch.cat([grid, torch.zeros(2, 1, 20, 28)], 1)[:, :, None]
    torch.testing.assert_close(resample(images[:, :, None], deep)[:, :, 0], resample(images, grid))


@pytest.mark.parametrize("degrees", [15.0, -40.0, 90.0])
def test_rotation_keeps_its_angle_on_an_oblong_image(degrees, monkeypatch):
    highest = lambda count, low, high, rng: torch.full((count,), float(high))  # noqa: E731
    monkeypatch.setattr(geometry, "uniform", highest)
    images = F.interpolate(draw(1, 1, 5, 7), size=(20, 28), mode="bilinear")
    affine = draw_affine(Augmentation(rotate_degrees=degrees), 1, (20, 28), seeded(0))
    turned = resample(images, sampling_grid(affine, (20, 28)))[0, 0].numpy()
    expected = ndimage.rotate(images[0, 0].numpy(), degrees, reshape=False, order=1, mode="nearest")
    np.testing.assert_allclose(turned, expected, atol=1e-3)


def in_pixels(affine: Tensor, space: tuple[int, ...]) -> Tensor:
    """Matrices from steps of one pixel in the view to pixels of the image."""
    size = torch.tensor(space[::-1], dtype=torch.float32)
    return affine[..., :-1] * size[:, None] / size


@both_dims
def test_draws_are_rotations_flips_and_zooms_in_pixels(space):
    matrix = in_pixels(draw_affine(GEOMETRY, 200, space, seeded(0)), space)
    zoom = torch.linalg.det(matrix).abs()
    gram = matrix.mT @ matrix
    scale = zoom ** (2 / len(space))
    torch.testing.assert_close(gram, scale[:, None, None] * torch.eye(len(space)).expand_as(gram))
    assert zoom.min() >= 0.5 - 1e-5
    assert zoom.max() <= 1 + 1e-5
    assert zoom.min() < 0.55
    assert zoom.max() > 0.95


@both_dims
def test_without_crop_every_distance_is_kept(space):
    ranges = Augmentation(rotate_degrees=30, quarter_turns=0.5, flip_lr=0.5, flip_ud=0.5)
    matrix = in_pixels(draw_affine(ranges, 50, space, seeded(0)), space)
    expected = torch.eye(len(space)).expand_as(matrix)
    torch.testing.assert_close(matrix.mT @ matrix, expected, atol=1e-5, rtol=0)


@both_dims
def test_no_image_is_mirrored_unless_asked(space):
    ranges = Augmentation(crop=0.3, rotate_degrees=180, quarter_turns=0.5)
    assert torch.linalg.det(draw_affine(ranges, 200, space, seeded(0))[..., :-1]).min() > 0


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
    torch.testing.assert_close(flipped, images.flip(axis), atol=5e-4, rtol=0)


@both_dims
def test_flip_probability_is_kept(space):
    affine = draw_affine(Augmentation(flip_lr=0.25), 2000, space, seeded(0))
    axis = 0 if len(space) == 2 else 2
    share = float((affine[:, axis, axis] < 0).float().mean())
    assert share == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize(
    ("space", "turns"),
    [((12, 12), {1, 2, 3}), ((12, 16), {2}), ((8, 8, 6), {1, 2, 3}), ((8, 6, 8), {2})],
)
def test_quarter_turns_keep_to_the_plane(space, turns):
    images = draw(30, 1, *space)
    views = Augment(Augmentation(quarter_turns=1.0))(images, seeded(0))
    found = set()
    for image, view in zip(images[:, 0], views[:, 0], strict=True):
        turned = {k: image.rot90(k) for k in turns}
        (hit,) = (k for k, t in turned.items() if torch.allclose(view, t, atol=2e-3))
        found.add(hit)
    assert found == turns


@both_dims
def test_quarter_turn_probability_is_kept(space):
    affine = draw_affine(Augmentation(quarter_turns=0.25), 2000, space, seeded(0))
    still = (affine[..., :-1] - torch.eye(len(space))).flatten(1).abs().amax(1) < 1e-6
    assert float(still.float().mean()) == pytest.approx(0.75, abs=0.04)


@quick
@given(crop=st.floats(0.05, 1.0), seed=st.integers(0, 1000), three=st.booleans())
def test_crops_stay_within_the_image(crop, seed, three):
    space = SPACES[three]
    affine = draw_affine(Augmentation(crop=crop, flip_lr=0.5), 16, space, seeded(seed))
    reach = affine[..., :-1].abs().sum(2) + affine[..., -1].abs()
    assert reach.max() <= 1 + 1e-5


@both_dims
def test_bend_equals_a_slow_one_in_the_axes_of_the_view(space):
    dims, turn = len(space), draw_affine(GEOMETRY, 1, space, seeded(0))
    bend = draw_bend(0.04, 1, dims, seeded(1))
    moved = (sampling_grid(turn, space, bend) - sampling_grid(turn, space))[0].numpy()
    matrix, knots = turn[0, :, :-1].numpy(), bend[0].numpy()
    for pixel in itertools.product(*(range(0, size, 3) for size in space)):
        vector = np.zeros(dims)
        for knot in itertools.product(range(3), repeat=dims):
            weight = 1.0
            for place, size, number in zip(pixel, space, knot, strict=True):
                near = max(0.0, 1 - abs(2 * place / (size - 1) - number))
                weight *= near * near * (3 - 2 * near)
            vector += weight * knots[(slice(None), *knot)]
        np.testing.assert_allclose(moved[(slice(None), *pixel)], matrix @ vector, atol=1e-5)


@both_dims
def test_bend_is_bounded_and_never_folds(space):
    fine, dims = tuple(2 * size for size in space), len(space)
    signs = draw(60, dims, *[3] * dims).sign()
    bend = 2 * MOST["elastic"] * signs
    grid = sampling_grid(identity(60, dims), fine, bend)
    assert (grid - sampling_grid(identity(60, dims), fine)).abs().max() <= 2 * 0.05 + 1e-6
    steps = [
        grid.diff(dim=grid.dim() - 1 - k)[(..., *[slice(size - 1) for size in fine])]
        for k in range(dims)
    ]
    cut = [s[(slice(None), slice(None), *[slice(size - 1) for size in fine])] for s in steps]
    jacobian = torch.stack(cut, -1).movedim(1, -2)
    assert torch.linalg.det(jacobian).min() > 0


@pytest.mark.parametrize("cached", [1, 2**18])
@both_dims
def test_mask_moves_with_its_image(space, cached, monkeypatch):
    monkeypatch.setattr("tassl.transforms.augment.CACHED", cached)
    masks = (smooth(4, space)[:, 0] > 0).long() * 3
    images, moved = Augment(GEOMETRY).paired(masks[:, None].float(), masks, seeded(1))
    assert moved.dtype == masks.dtype
    assert set(moved.unique().tolist()) <= {0, 3}
    agree = (images[:, 0] > 1.5) == (moved > 1.5)
    assert agree.float().mean() > 0.97  # all but pixels on the edge
    assert ((masks > 1.5) == (moved > 1.5)).float().mean() < 0.9


@pytest.mark.parametrize("portion", [1, 2, 3, 5])
def test_images_keep_their_order_when_changed_in_portions(portion, monkeypatch):
    monkeypatch.setattr("tassl.transforms.augment.CACHED", portion * 12 * 14)
    images, masks = draw(5, 1, 12, 14), torch.arange(5)[:, None, None].expand(5, 12, 14)
    views, moved = Augment(Augmentation()).paired(images, masks, seeded(0))
    torch.testing.assert_close(views, images, atol=1e-4, rtol=0)
    torch.testing.assert_close(Augment(Augmentation())(images, seeded(0)), views)
    assert torch.equal(moved, masks)


@both_dims
def test_paired_draws_the_same_view_as_images_alone(space):
    augment, images = Augment(ALL_ON, normalisation=SCALE), draw(3, 3, *space)
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


@both_dims
def test_lines_are_mapped_along_the_named_axis(space):
    images = draw(2, 3, *space)
    for axis, size in enumerate(space, start=2):
        each, same = draw(2, 5, size, seed=1), draw(4, size, seed=2)
        lines = images.movedim(axis, -1)
        expected = torch.einsum("bij,b...j->b...i", each, lines).movedim(-1, axis)
        torch.testing.assert_close(along(images, each, axis), expected, atol=1e-5, rtol=1e-4)
        expected = (lines @ same.T).movedim(-1, axis)
        torch.testing.assert_close(along(images, same, axis), expected, atol=1e-5, rtol=1e-4)


@both_dims
def test_spread_keeps_knots_range_and_slope(space):
    knots = draw(2, 1, *[3] * len(space))
    field = spread(knots, space)
    ends = np.ix_(*(range(n) for n in (2, 1)), *[[0, -1]] * len(space))
    torch.testing.assert_close(field[ends], knots[ends])
    assert field.min() >= knots.min() - 1e-6
    assert field.max() <= knots.max() + 1e-6
    for axis, size in enumerate(space, start=2):
        steepest = 1.5 * float(knots.diff(dim=axis).abs().max()) * 2 / (size - 1)
        assert field.diff(dim=axis).abs().max() <= steepest + 1e-6


# What every change of values has in common

Change = Callable[[Tensor, Tensor, Tensor], Tensor]


def ghost(images: Tensor, amounts: Tensor) -> Tensor:
    number = torch.arange(len(images))
    return corruption.apply_ghosts(images, amounts / 2, 2 + number % 3, number % 2)


def cut(images: Tensor, amounts: Tensor) -> Tensor:
    start = torch.full((len(images), images.dim() - 2), 0.2)
    return corruption.apply_cutout(images, start, start + amounts[:, None] / 2)


# Each takes images, one amount per image (zero for none) and noise (2, *images.shape).
CHANGES: dict[str, Change] = {
    "gain": lambda x, a, n: intensity.apply_gain(x, 1 + a, a),
    "gamma": lambda x, a, n: intensity.apply_gamma(x, a.exp()),
    "window": lambda x, a, n: intensity.apply_window(x, a / 4, a / 5),
    "field": lambda x, a, n: intensity.apply_field(
        x, (n[0][:, :1] * a.view(-1, *[1] * (x.dim() - 1))).exp()
    ),
    "stain": lambda x, a, n: colour.apply_stain(x, 1 + a[:, None] * n[0].flatten(1)[:, :3] / 9),
    "illuminant": lambda x, a, n: colour.apply_illuminant(x, 1 + a[:, None] * torch.ones(3) / 2),
    "blur": lambda x, a, n: corruption.apply_blur(x, a, 5),
    "ghosts": lambda x, a, n: ghost(x, a),
    "added": lambda x, a, n: corruption.apply_noise(x, n[0], a, 0 * a, 0 * a),
    "speckle": lambda x, a, n: corruption.apply_noise(x, n[0], 0 * a, a, 0 * a),
    "poisson": lambda x, a, n: corruption.apply_noise(x, n[0], 0 * a, 0 * a, a),
    "rician": lambda x, a, n: corruption.apply_rician(x, n, a),
    "cutout": lambda x, a, n: cut(x, a),
}
every_change = pytest.mark.parametrize("name", CHANGES)
AMOUNTS = torch.tensor([0.3, 0.8, 1.4])


@every_change
@both_dims
def test_amount_zero_changes_nothing(name, space):
    images, noise = colours(3, 3, *space), draw(2, 3, 3, *space)
    same = CHANGES[name](images, torch.zeros(3), noise)
    torch.testing.assert_close(same, images, atol=1e-5, rtol=1e-5)


@every_change
@both_dims
def test_an_image_changes_whatever_its_neighbours(name, space):
    images, noise = colours(3, 3, *space), draw(2, 3, 3, *space)
    together = CHANGES[name](images, AMOUNTS, noise)
    assert not torch.allclose(together, images, atol=1e-3)
    alone = CHANGES[name](images[:1], AMOUNTS[:1], noise[:, :1])
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@every_change
@both_dims
def test_type_and_shape_are_kept_and_the_input_left_alone(name, space, dtype):
    images, noise = colours(3, 3, *space).to(dtype), draw(2, 3, 3, *space)
    before = images.clone()
    changed = CHANGES[name](images, AMOUNTS, noise)
    assert changed.dtype == dtype
    assert changed.shape == images.shape
    assert changed.isfinite().all()
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "cutout"])
def test_volumes_of_one_slice_change_like_images(name):
    images, noise = colours(3, 3, 12, 14), draw(2, 3, 3, 12, 14)
    flat = CHANGES[name](images, AMOUNTS, noise)
    deep = CHANGES[name](images[..., None], AMOUNTS, noise[..., None])
    torch.testing.assert_close(deep[..., 0], flat)


@every_change
def test_a_constant_image_stays_finite(name):
    images, noise = torch.full((3, 3, 6, 7), 0.5), draw(2, 3, 3, 6, 7)
    assert CHANGES[name](images, AMOUNTS, noise).isfinite().all()


# Grey values


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
def test_window_clips_its_shares_and_leaves_the_rest(space):
    images, bottom, top = draw(2, 1, *space), torch.tensor([0.1, 0.3]), torch.tensor([0.2, 0.0])
    changed = intensity.apply_window(images, bottom, top)
    for image, result, b, t in zip(images, changed, bottom.tolist(), top.tolist(), strict=True):
        low, high = float(image.min()), float(image.max())
        ends = low + b * (high - low), high - t * (high - low)
        expected = np.clip(image.numpy(), *ends)
        np.testing.assert_allclose(result.numpy(), expected, atol=1e-6)
        inside = (image > ends[0] + 1e-5) & (image < ends[1] - 1e-5)
        assert inside.any()
        assert torch.equal(result[inside], image[inside])


def test_no_window_touches_water_between_air_and_bone():
    hounsfield = np.random.default_rng(0).uniform(-1000, 1000, (16, 1, 12, 12)).astype(np.float32)
    hounsfield[:, 0, 0, :3] = -1000, 0, 1000
    images = torch.from_numpy(scale_hounsfield(hounsfield))
    view = Augment(Augmentation(window=0.49))(images, seeded(0))
    torch.testing.assert_close(view[:, 0, 0, 1], torch.full((16,), 0.5), atol=1e-5, rtol=0)
    assert len(view[:, 0, 0, 0].unique()) == 16, "the lower end differs from image to image"


@both_dims
def test_field_is_smooth_around_one(space):
    strength = 0.3
    logs = intensity.draw_field((200, 3, *space), strength, seeded(0)).log()
    assert logs.shape == (200, 1, *space)
    assert logs.abs().max() <= strength + 1e-5
    assert float(logs.mean()) == pytest.approx(0, abs=0.05 * strength)
    assert logs.std() > 0.2 * strength
    for axis, size in enumerate(space, start=2):
        steepest = 1.5 * 2 * strength * 2 / (size - 1)  # three knots: two spans over the axis
        assert logs.diff(dim=axis).abs().max() <= steepest + 1e-5


def test_field_multiplies_above_the_minimum():
    image = torch.tensor([-1.0, 0.0, 3.0]).view(1, 1, 1, 3)
    changed = intensity.apply_field(image, torch.tensor([2.0, 2.0, 0.5]).view(1, 1, 1, 3))
    torch.testing.assert_close(changed.flatten(), torch.tensor([-1.0, 1.0, 1.0]))


@pytest.mark.parametrize(("space", "depth"), [((20, 28), 2), ((8, 10, 14), 3)])
def test_depth_gain_varies_along_depth_alone(space, depth):
    images = colours(40, 1, *space)
    images.flatten(1)[:, 0] = 0
    gain = (Augment(Augmentation(depth_gain=0.4))(images, seeded(0)) / images).log()
    inner = gain.transpose(1, depth).flatten(2)[:, 1:]  # without the line of the zero
    assert inner.std(2).max() < 2e-3
    assert inner.std(1).min() > 0.02
    assert inner.abs().max() <= 0.4 + 5e-3
    assert inner.abs().max() > 0.35


# Colours


def test_stain_equals_a_slow_one_pixel_by_pixel():
    images, density = colours(2, 3, 5, 6), torch.tensor([[1.2, 0.7, 1.0], [0.9, 1.1, 1.3]])
    changed = colour.apply_stain(images, density)
    stains = np.array(colour.STAINS)
    for k, row, column in itertools.product(range(2), range(5), range(6)):
        depth = -np.log10(images[k, :, row, column].double().numpy())
        amounts = np.linalg.solve(stains.T, depth) * density[k].numpy()
        expected = np.minimum(10 ** -(amounts @ stains), 1)
        np.testing.assert_allclose(changed[k, :, row, column].numpy(), expected, rtol=1e-4)


def test_stain_changes_its_dye_alone_and_never_the_glass():
    dyes = torch.tensor([0.0, 0.4, 0.8])[:, None] * torch.tensor(colour.STAINS[0])
    images = (-dyes).exp().T.view(1, 3, 1, 3).contiguous()
    stronger = colour.apply_stain(images, torch.tensor([[1.5, 1.0, 1.0]]))
    torch.testing.assert_close(stronger, images**1.5)
    other = colour.apply_stain(images, torch.tensor([[1.0, 0.5, 1.7]]))
    torch.testing.assert_close(other, images)
    assert torch.equal(stronger[..., 0], torch.ones(1, 3, 1))


@both_dims
def test_illuminant_keeps_ratios_between_pixels_of_a_channel(space):
    images, gain = colours(2, 3, *space), torch.tensor([[1.1, 1.0, 0.9], [0.8, 1.2, 1.0]])
    changed = colour.apply_illuminant(images, gain)
    for k, channel in itertools.product(range(2), range(3)):
        expected = images[k, channel] * float(gain[k, channel])
        torch.testing.assert_close(changed[k, channel], expected)


def test_a_lamp_is_warmer_or_cooler_and_never_green():
    red, green, blue = colour.draw_illuminant(0.2, 500, seeded(0)).unbind(1)
    assert torch.equal(green, torch.ones(500))
    torch.testing.assert_close(red * blue, green)
    assert red.log().min() == pytest.approx(-0.2, abs=0.01)
    assert red.log().max() == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("operation", ["stain", "illuminant"])
@both_dims
def test_colours_change_on_their_own_scale(operation, space):
    ranges, images = Augmentation(**{operation: 0.3}), colours(4, 3, *space)
    shape = (1, 3, *[1] * len(space))
    mean, deviation = (torch.tensor(v).view(shape) for v in (SCALE.mean, SCALE.deviation))
    plain = Augment(ranges, normalisation=UNIT)(images, seeded(0))
    scaled = Augment(ranges, normalisation=SCALE)((images - mean) / deviation, seeded(0))
    torch.testing.assert_close(scaled * deviation + mean, plain, atol=1e-3, rtol=0)
    assert not torch.allclose(plain, images, atol=0.05)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_colour_operations_pass_over_images_without_three_channels(channels):
    images = colours(3, channels, 12, 14)
    view = Augment(Augmentation(stain=0.3, illuminant=0.3), normalisation=SCALE)(images, seeded(0))
    torch.testing.assert_close(view, images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("operation", ["stain", "illuminant"])
def test_colour_operations_ask_for_the_normalisation(operation):
    with pytest.raises(OptionError, match="normalisation"):
        Augment(Augmentation(**{operation: 0.1}))


@pytest.mark.parametrize("operation", MOST)
def test_strengths_that_would_break_images_are_refused(operation):
    Augment(Augmentation(**{operation: MOST[operation]}), normalisation=UNIT)
    with pytest.raises(OptionError, match=f"{operation} is .* at most"):
        Augment(Augmentation(**{operation: MOST[operation] + 0.01}), normalisation=UNIT)


# Corruptions


@both_dims
def test_blur_equals_scipy_with_a_deviation_per_image(space):
    images, deviations = draw(4, 2, *space), torch.tensor([0.5, 1.0, 1.5, 6.0])
    reach = 11  # beyond some of the sides
    blurred = corruption.apply_blur(images, deviations, reach)
    for image, deviation, result in zip(images, deviations.tolist(), blurred, strict=True):
        for channel, changed in zip(image.numpy(), result.numpy(), strict=True):
            expected = channel
            for axis in range(len(space)):
                expected = ndimage.gaussian_filter1d(
                    expected, deviation, axis, mode="nearest", radius=reach
                )
            np.testing.assert_allclose(changed, expected, atol=1e-5)


@pytest.mark.parametrize("source", ["added", "speckle", "poisson"])
def test_noise_has_the_deviation_of_its_source(source):
    levels = torch.tensor([0.0, 0.25, 1.0, 4.0])
    images = (levels - 2).view(1, 1, 4, 1).expand(2, 1, 4, 20_000)
    deviation = torch.tensor([0.1, 0.3])
    noise = draw(2, *images.shape)
    added = CHANGES[source](images, deviation, noise) - images
    law = {"added": torch.ones(4), "speckle": levels, "poisson": (levels / 4).sqrt()}[source]
    torch.testing.assert_close(added.std(3)[:, 0], deviation[:, None] * law, rtol=0.03, atol=0)
    assert added.mean(3).abs().max() < 0.02


def test_noises_add_in_variance():
    images, noise = draw(2, 1, 8, 9), draw(2, 2, 1, 8, 9, seed=1)
    amounts = torch.tensor([0.1, 0.2]), torch.tensor([0.3, 0.1]), torch.tensor([0.2, 0.4])
    changed = corruption.apply_noise(images, noise[0], *amounts)
    parts = [
        CHANGES[name](images, amount, torch.ones_like(noise)) - images
        for name, amount in zip(("added", "speckle", "poisson"), amounts, strict=True)
    ]
    together = sum(part.square() for part in parts).sqrt()
    torch.testing.assert_close(changed, images + noise[0] * together)


def test_counting_noise_is_close_to_that_of_counts():
    rng, most = np.random.default_rng(0), 100
    rates = np.repeat(np.array([[0], [25], [most]]), 20_000, 1)
    images = torch.from_numpy(rates / most).float()[None, None]
    noisy = CHANGES["poisson"](images, torch.tensor([most**-0.5]), draw(2, *images.shape))
    counted = rng.poisson(rates) / most
    np.testing.assert_allclose(noisy[0, 0].std(1), counted.std(1), rtol=0.03)


def test_rician_noise_follows_the_law_of_rice():
    levels, deviation = torch.tensor([0.0, 0.5, 2.0]), 0.4
    images = (levels - 1).view(1, 1, 3, 1).expand(1, 1, 3, 20_000)
    noise = draw(2, *images.shape)
    changed = corruption.apply_rician(images, noise, torch.tensor([deviation]))[0, 0] + 1
    assert changed.min() >= 0
    for level, found in zip(levels.tolist(), changed.numpy(), strict=True):
        law = stats.rice(level / deviation, scale=deviation)
        assert stats.kstest(found, law.cdf).pvalue > 0.01


def test_noise_of_a_view_is_within_its_range_and_fresh():
    images = torch.zeros(64, 1, 32, 32)
    changed = Augment(Augmentation(noise=0.2))(images, seeded(0)).flatten(1)
    deviations = changed.std(1)
    assert deviations.max() < 0.22
    assert deviations.max() > 0.15
    assert deviations.min() < 0.05
    assert torch.corrcoef(changed).fill_diagonal_(0).abs().max() < 0.3


@pytest.mark.parametrize("space", [(12, 24), (12, 24, 36)], ids=["2d", "3d"])
def test_ghosts_weaken_all_but_every_nth_line_of_k_space(space):
    images, copies = draw(6, 1, *space), torch.tensor([2, 3, 4, 2, 3, 4])
    strength, axis = torch.linspace(0.1, 0.9, 6), torch.arange(6) % len(space)
    changed = corruption.apply_ghosts(images, strength, copies, axis)
    for k in range(6):
        lines = np.fft.fft(images[k, 0].numpy(), axis=int(axis[k]))
        kept = np.arange(space[axis[k]]) % int(copies[k]) == 0
        factor = np.where(kept, 1, 1 - float(strength[k]))
        shape = [1] * len(space)
        shape[axis[k]] = -1
        expected = np.fft.ifft(lines * factor.reshape(shape), axis=int(axis[k])).real
        np.testing.assert_allclose(changed[k, 0].numpy(), expected, atol=1e-5)


def test_ghosts_of_any_number_keep_mean_and_range():
    images, copies = draw(3, 1, 7, 3), torch.tensor([2, 4, 4])
    axis = torch.tensor([0, 0, 1])  # 7 pixels hold no whole period, 3 pixels not even four copies
    changed = corruption.apply_ghosts(images, torch.full((3,), 0.8), copies, axis)
    torch.testing.assert_close(changed.flatten(1).mean(1), images.flatten(1).mean(1))
    assert (changed.flatten(1).amax(1) <= images.flatten(1).amax(1)).all()


@both_dims
def test_ghosts_are_drawn_over_all_axes_and_numbers(space):
    strength, copies, axis = corruption.draw_ghosts(0.4, 500, len(space), seeded(0))
    assert 0 <= strength.min() < 0.02
    assert 0.38 < strength.max() <= 0.4
    assert set(copies.tolist()) == {2, 3, 4}
    assert set(axis.tolist()) == set(range(len(space)))


@both_dims
def test_cutout_fills_one_block_with_the_mean_of_each_channel(space):
    images, dims = draw(30, 2, *space), len(space)
    start, end = corruption.draw_block(0.3, 30, dims, seeded(0))
    changed = corruption.apply_cutout(images, start, end)
    for image, result, first, last in zip(images, changed, start, end, strict=True):
        expected, mean = image.clone(), image.flatten(1).mean(1)
        for pixel in itertools.product(*map(range, space)):
            places = [(p + 0.5) / size for p, size in zip(pixel, space, strict=True)]
            if all(a <= p < b for p, a, b in zip(places, first, last, strict=True)):
                expected[(slice(None), *pixel)] = mean
        torch.testing.assert_close(result, expected)
    assert start.min() >= 0
    assert end.max() <= 1
    shares = (end - start).prod(1)
    assert shares.max() <= 0.3 + 1e-6
    assert shares.max() > 0.25
    assert not torch.equal(start[0], start[1])


# Views, masks and random numbers


ALONE = [name for name in asdict(Augmentation()) if name != "keep_spot"]  # that is of pairs


@pytest.mark.parametrize("operation", ALONE)
@both_dims
def test_every_operation_shows_and_leaves_the_images_size(operation, space):
    square = (space[0], *space[:-1])  # a plane in which quarter turns fit
    images = colours(8, 3, *square)
    ranges = Augmentation(**{operation: MOST.get(operation, 0.5)})
    view = Augment(ranges, normalisation=UNIT)(images, seeded(0))
    assert view.shape == images.shape
    changed = (view - images).flatten(1).abs().amax(1) > 0.01
    assert changed.sum() >= 2
    once_more = Augment(ranges, normalisation=UNIT)(images, seeded(1))
    assert not torch.allclose(view, once_more, atol=0.01)


@pytest.mark.parametrize(
    ("source", "at_minimum", "at_maximum"),
    [("noise", 0.2, 0.2), ("speckle", 0.0, 0.8), ("poisson", 0.0, 0.2)],
)
def test_noise_of_a_view_has_the_strength_of_its_source(source, at_minimum, at_maximum):
    images = torch.tensor([-2.0, 2.0]).view(1, 1, 2, 1).expand(200, 1, 2, 400)
    augment = Augment(Augmentation(**{source: 0.2}))
    most = (augment(images, seeded(0)) - images)[:, 0].std(2).amax(0)
    torch.testing.assert_close(most, torch.tensor([at_minimum, at_maximum]), atol=5e-3, rtol=0.1)


def test_blur_of_a_view_reaches_as_far_as_its_gaussian():
    images = torch.zeros(500, 1, 25, 25)
    images[:, :, 12, 12] = 1
    view = Augment(Augmentation(blur=2.0))(images, seeded(0))[:, 0]
    widest = view[view[:, 12, 12].argmin()]
    expected = ndimage.gaussian_filter(images[0, 0].numpy(), 2.0, radius=6)
    np.testing.assert_allclose(widest.numpy(), expected, atol=2e-3)


@both_dims
def test_view_depends_on_the_generator_alone(space):
    augment, images = Augment(ALL_ON, normalisation=SCALE), draw(4, 3, *space)
    before = images.clone()
    view = augment(images, seeded(1, 2))
    assert torch.equal(images, before)
    torch.manual_seed(99)
    assert torch.equal(augment(images, seeded(1, 2)), view)
    assert not torch.allclose(augment(images, seeded(1, 3)), view)
    assert view.isfinite().all()
    twins = augment(images[:1].expand(4, *images.shape[1:]), seeded(1, 2))
    assert not torch.allclose(twins[0], twins[1]), "each image has its own draw"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@both_dims
def test_view_hangs_on_its_own_image_alone(space, dtype):
    augment, images = Augment(ALL_ON, normalisation=SCALE), draw(3, 3, *space).to(dtype)
    view = augment(images, seeded(0))
    assert view.dtype == dtype
    assert view.shape == images.shape
    images[1:] += 5
    other = augment(images, seeded(0))
    torch.testing.assert_close(other[0], view[0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(other[1], view[1])


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


@pytest.mark.parametrize("space", [(32, 48), (24, 32, 40)])
def test_both_views_keep_the_salient_spot(space):
    """A bright dot on a flat ground is in both views of every image, however small the crop."""
    dims, count = len(space), 40
    images = torch.zeros(count, 1, *space)
    for k in range(count):
        corner = [
            int(torch.randint(size - 4, (), generator=seeded(k, a))) for a, size in enumerate(space)
        ]
        images[(k, 0, *[slice(c, c + 4) for c in corner])] = 1
    ranges = {"crop": 0.2**dims, "rotate_degrees": 10}
    kept, plain = (
        Augment(Augmentation(**ranges, keep_spot=share)).pair(images, images, seeded(3))
        for share in (1.0, 0.0)
    )
    for view in kept:
        assert (view.flatten(1).amax(1) > 0.5).float().mean() > 0.95
    assert (plain[0].flatten(1).amax(1) > 0.5).float().mean() < 0.8


def test_spots_lie_on_structure():
    images = torch.zeros(200, 1, 32, 32)
    images[:, :, 20:24, 6:10] = 1
    spots = draw_spots(images, seeded(0))
    target = torch.tensor([(8 / 32) * 2 - 1, (22 / 32) * 2 - 1])
    assert ((spots - target).abs().amax(1) < 0.4).float().mean() > 0.9
