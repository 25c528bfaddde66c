"""The shared preprocessing agrees with slow references."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from scipy.spatial import Delaunay

from tassl.modality import preparing

regions = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
solids = arrays(bool, array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=5))


def otsu_by_hand(values: np.ndarray) -> float:
    """Try every level between two values for the least variance within both classes."""
    best, least = 0.0, np.inf
    for level in np.unique(values)[:-1]:
        low, high = values[values <= level], values[values > level]
        spread = low.var() * low.size + high.var() * high.size
        if spread < least - 1e-9:
            best, least = float(level), spread
    return best


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 255), min_size=2, max_size=60).filter(lambda v: len(set(v)) > 1))
def test_otsu_parts_values_as_the_slow_way_does(values):
    whole = np.array([0, 255, *values], np.float32)
    by_hand, level = otsu_by_hand(whole), preparing.threshold_otsu(whole)

    def within(parted: np.ndarray) -> float:
        return sum(part.var() * part.size for part in (whole[parted], whole[~parted]) if part.size)

    assert within(whole > level) == pytest.approx(within(whole > by_hand), rel=1e-4, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(regions)
def test_holes_are_those_of_scipy(region):
    np.testing.assert_array_equal(preparing.fill_holes(region), ndimage.binary_fill_holes(region))


@settings(max_examples=40, deadline=None)
@given(solids)
def test_holes_of_volumes_are_filled_slice_by_slice(region):
    slices = [ndimage.binary_fill_holes(region[..., k]) for k in range(region.shape[2])]
    np.testing.assert_array_equal(preparing.fill_holes(region), np.stack(slices, -1))


@settings(max_examples=60, deadline=None)
@given(regions | solids)
def test_largest_component_has_the_most_pixels(region):
    labels, count = ndimage.label(region)  # type: ignore[misc]
    kept = preparing.largest_component(region)
    assert not (kept & ~region).any()
    assert kept.sum() == max([(labels == k + 1).sum() for k in range(count)], default=0)
    assert ndimage.label(kept)[1] == min(count, 1)  # type: ignore[index]


@settings(max_examples=60, deadline=None)
@given((regions | solids).filter(np.any))
def test_hull_holds_the_places_that_a_triangulation_holds(region):
    places = np.ogrid[tuple(slice(size) for size in region.shape)]
    inside = preparing.inside_hull(preparing.outline(region), [place + 0.5 for place in places])
    corners = np.concatenate(
        [np.argwhere(region) + shift for shift in product((0, 1), repeat=region.ndim)]
    )
    centres = np.argwhere(np.ones(region.shape, bool)) + 0.5
    expected = Delaunay(corners).find_simplex(centres, tol=1e-9) >= 0
    np.testing.assert_array_equal(inside.ravel(), expected)


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=3, max_side=9)), st.integers(1, 5))
def test_shrinking_keeps_the_brightest_of_each_block(image, step):
    coarse = preparing.shrink(image, step)
    for cell in np.ndindex(coarse.shape):
        block = image[tuple(slice(k * step, (k + 1) * step) for k in cell)]
        np.testing.assert_array_equal(coarse[cell], block.max())


def test_percentiles_of_a_large_image_are_close_to_the_exact_ones():
    pixels = np.random.default_rng(0).gamma(2, 1, (1, 900, 1100)).astype(np.float32)
    low, high = np.percentile(pixels, (0.5, 99.5))
    exact = (np.clip(pixels, low, high) - low) / (high - low)
    assert preparing.sample(pixels).size <= preparing.MOST_SAMPLED
    np.testing.assert_allclose(preparing.clip_percentiles(pixels), exact, atol=0.02)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0.0, 0.5, 1.0]),
        ([0, 51, 255], [0, 0.2, 1]),
        ([0, 13107, 65535], [0, 0.2, 1]),
        ([0, 1, 1], [0, 1 / 255, 1 / 255]),
        ([-3, 0, 51], [0, 0, 0.2]),
    ],
    ids=["fractions", "8 bits", "16 bits", "nearly black", "below zero"],
)
def test_range_of_the_type_is_told_from_the_values(values, expected):
    image = np.array([[values]], np.float32)
    np.testing.assert_allclose(preparing.scale_by_type(image)[0, 0], expected, rtol=1e-6)
