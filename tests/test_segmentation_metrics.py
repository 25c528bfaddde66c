"""Every score of predicted masks against MONAI or a slow loop, and where it ends."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_dice import compute_surface_dice
from scipy import ndimage

from tassl.evaluation.finding import Arm
from tassl.evaluation.metrics import METRICS
from tassl.evaluation.protocol import Protocol
from tassl.evaluation.segmentation import FALSE_ALARM, NAMES, lesion_f1, measure_masks
from tassl.evaluation.verdict import score_all

SPACING = {2: (0.7, 1.5), 3: (2.0, 0.8, 1.1)}


def draw_mask(seed: int, dims: int) -> np.ndarray:
    """Smooth blobs of three classes that reach the edge."""
    noise = np.random.default_rng(seed).normal(size=(22, 18, 14)[:dims])
    smooth = ndimage.gaussian_filter(noise, 2)
    return np.digitize(smooth, np.quantile(smooth, [0.6, 0.8])).astype(np.uint8)


def score(metric: str, table: pd.DataFrame) -> float:
    return METRICS[metric].score(table, np.ones((1, len(table))))[0]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dims", [2, 3])
def test_boundaries_against_monai(dims: int, seed: int):
    predicted, truth = draw_mask(seed, dims), draw_mask(seed + 10, dims)
    found = measure_masks(predicted, truth, 3, SPACING[dims], 1.6)
    flat = [torch.from_numpy(np.eye(3)[mask]).movedim(-1, 0)[None] for mask in (predicted, truth)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        far = compute_hausdorff_distance(*flat, percentile=95, spacing=SPACING[dims])[0]
        near = compute_surface_dice(*flat, [1.6, 1.6], spacing=SPACING[dims])[0]
    assert [found["hd95_1"], found["hd95_2"]] == pytest.approx(far.tolist(), rel=1e-5)
    assert [found["nsd_1"], found["nsd_2"]] == pytest.approx(near.tolist(), rel=1e-6)


def count_parts(mask: np.ndarray) -> list[set[tuple[int, ...]]]:
    """Connected parts by flood fill."""
    left, parts = {tuple(map(int, place)) for place in np.argwhere(mask)}, []
    steps = list(itertools.product((-1, 0, 1), repeat=mask.ndim))
    while left:
        waiting, part = [left.pop()], set()
        while waiting:
            place = waiting.pop()
            part.add(place)
            for step in steps:
                near = tuple(a + b for a, b in zip(place, step, strict=True))
                if near in left:
                    left.remove(near)
                    waiting.append(near)
        parts.append(part)
    return parts


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dims", [2, 3])
def test_lesions_against_a_flood_fill(dims: int, seed: int):
    rng = np.random.default_rng(seed)
    one, other = (rng.random((12, 9, 8)[:dims]) > 0.93 for _ in range(2))
    truth = count_parts(one)
    guess = count_parts(other)
    recall = np.mean([any(part & piece for piece in guess) for part in truth])
    precision = np.mean([any(part & piece for piece in truth) for part in guess])
    wanted = 2 * recall * precision / (recall + precision) if recall else 0.0
    assert lesion_f1(other, one) == pytest.approx(wanted)


def test_volume_error_is_relative():
    truth, predicted = np.zeros((2, 10, 10), np.uint8)
    truth[2:6, 2:6], predicted[2:6, 2:5] = 1, 1
    assert measure_masks(predicted, truth, 2, (1.0, 1.0), 1.0)["volume_error_1"] == 0.25


class TestDegenerate:
    truth = np.pad(np.ones((3, 3), np.uint8), 4)
    empty = np.zeros_like(truth)

    def measure(self, predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        return measure_masks(predicted, truth, 3, (2.0, 2.0), 1.0)

    def test_perfect(self):
        found = self.measure(self.truth, self.truth)
        assert {name: found[f"{name}_1"] for name in NAMES} == {
            name: METRICS[name].best for name in NAMES
        }

    def test_missed_scores_worst(self):
        found = self.measure(self.empty, self.truth)
        assert [found[f"{name}_1"] for name in NAMES] == [0, np.hypot(22, 22), 1, 0]

    def test_absent_class_is_left_out(self):
        found = self.measure(self.truth, self.truth)
        assert all(np.isnan(found[f"{name}_2"]) for name in NAMES)

    @pytest.mark.parametrize("alarm", [False, True])
    def test_empty_reference_is_left_out_and_its_alarms_are_counted(self, alarm: bool):
        found = self.measure(self.truth if alarm else self.empty, self.empty)
        assert all(np.isnan(found[f"{name}_{c}"]) for name in NAMES for c in (1, 2))
        assert found[FALSE_ALARM] == alarm
        assert np.isnan(self.measure(self.truth, self.truth)[FALSE_ALARM])

    def test_far_apart(self):
        other = np.roll(self.truth, 4, axis=0)
        found = self.measure(other, self.truth)
        assert found["nsd_1"] == 0
        assert found["lesion_f1_1"] == 0
        assert found["hd95_1"] == pytest.approx(8)


class TestMeanOverImages:
    rows: tuple[dict, ...] = (
        {"dice_1": 0.8, "nsd_1": 0.5, "nsd_2": 0.9, FALSE_ALARM: np.nan},
        {"dice_1": 0.6, "nsd_1": np.nan, "nsd_2": 0.3, FALSE_ALARM: np.nan},
        {"dice_1": 0.0, "nsd_1": np.nan, "nsd_2": np.nan, FALSE_ALARM: 1.0},
        {"dice_1": 1.0, "nsd_1": np.nan, "nsd_2": np.nan, FALSE_ALARM: 0.0},
    )

    def test_unknown_scores_are_left_out(self):
        table = pd.DataFrame(list(self.rows))
        assert score("nsd", table) == pytest.approx((0.7 + 0.3) / 2)
        assert score("false_alarms", table) == 0.5
        assert score("dice", table) == pytest.approx(0.6)

    def test_how_many_were_left_out_is_known(self):
        table = pd.DataFrame(list(self.rows)).assign(subject=list("abcd"))
        metrics = ("dice", "nsd", "false_alarms")
        scores = score_all({("scratch", "5"): [table]}, metrics, Protocol(resamples=50), 0)
        left_out = {metric: found.left_out for (_, _, metric), found in scores.items()}
        assert left_out == {"dice": 0, "nsd": 2, "false_alarms": 2}

    def test_a_metric_that_no_image_counts_for_is_not_listed(self):
        table = pd.DataFrame(list(self.rows[:2])).assign(subject=list("ab"))
        arm = Arm("scratch", "", "finetune")
        metrics = ("dice", "false_alarms")
        scores = score_all({(arm.name, "5"): [table]}, metrics, Protocol(resamples=50), 0)
        assert {metric for _, _, metric in scores} == {"dice"}
