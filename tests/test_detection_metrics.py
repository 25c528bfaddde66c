"""Average precision against MONAI's COCO metric, FROC against a slow loop, and where both end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from monai.apps.detection.metrics.coco import COCOMetric
from monai.apps.detection.metrics.matching import matching_batch
from monai.data.box_utils import box_iou

from tassl.evaluation.detection import (
    ALARMS,
    OVERLAPS,
    cut_at_best,
    match_boxes,
    overlap_boxes,
)
from tassl.evaluation.metrics import METRICS
from tassl.heads import HEADS

NAMES = HEADS["detection"].metrics
CLASSES = 3
LEVELS = np.linspace(0, 1, 101)


def draw_boxes(rng: np.random.Generator, count: int, dims: int) -> np.ndarray:
    low = rng.uniform(0, 20, (count, dims))
    return np.concatenate([low, low + rng.uniform(3, 9, (count, dims))], 1)


def draw_image(seed: int, dims: int, most: int = 9) -> tuple[np.ndarray, ...]:
    """Boxes of the reference with classes, and of a detector: some near, some far, some twice."""
    rng = np.random.default_rng(seed)
    truth = draw_boxes(rng, rng.integers(0, most), dims)
    kinds = rng.integers(0, CLASSES, len(truth))
    near = np.repeat(np.arange(len(truth)), rng.integers(0, 3, len(truth)))
    found = truth[near] + rng.uniform(-1.4, 1.4, (len(near), 2 * dims))
    found = np.concatenate([found, draw_boxes(rng, rng.integers(0, 4), dims)])
    said = np.concatenate([kinds[near], rng.integers(0, CLASSES, len(found) - len(near))])
    wrong = rng.random(len(said)) < 0.1
    said[wrong] = rng.integers(0, CLASSES, wrong.sum())
    scores = np.sort(rng.random(len(found)))[::-1]
    return found, said, scores, truth, kinds


def make_table(images: list[tuple[np.ndarray, ...]]) -> pd.DataFrame:
    rows = []
    for found, said, scores, truth, kinds in images:
        counts = np.bincount(kinds.astype(int), minlength=CLASSES)
        rows.append(
            {
                "boxes": np.column_stack([kinds, truth]).ravel(),
                "found": found.ravel(),
                "scores": scores.astype(float),
                "classes": said.astype(int),
                "hits": match_boxes(found, said, truth, kinds).ravel(),
                **{f"count_{c}": n for c, n in enumerate(counts)},
            }
        )
    return pd.DataFrame(rows)


def score(metric: str, table: pd.DataFrame, weights: np.ndarray | None = None) -> np.ndarray:
    return METRICS[metric].score(table, np.ones((1, len(table))) if weights is None else weights)


def score_by_monai(images: list[tuple[np.ndarray, ...]]) -> dict[str, float]:
    found, said, scores, truth, kinds = zip(*images, strict=True)
    metric = COCOMetric(
        [str(c) for c in range(CLASSES)],
        iou_list=(0.1, 0.5),
        iou_range=(0.1, 0.5, 0.05),
        max_detection=(100,),
    )
    boxes = [list(part) for part in (found, said, scores, truth, kinds)]
    results = matching_batch(box_iou, metric.get_iou_thresholds(), *boxes)
    told = metric(results)[0]
    return {
        "map": told["mAP_IoU_0.10_0.50_0.05_MaxDet_100"],
        **{f"ap_{100 * t:.0f}": told[f"AP_IoU_{t:.2f}_MaxDet_100"] for t in (0.1, 0.5)},
    }


def sort_hits(images: list[tuple[np.ndarray, ...]], c: int, overlap: float) -> list[bool]:
    """Whether each box of a class is right, the surest first; boxes matched one by one."""
    boxes = []
    for found, said, scores, truth, kinds in images:
        free = list(truth[kinds == c])
        for box, surety in zip(found[said == c], scores[said == c], strict=True):
            shared = [np.asarray(box_iou(box[None], other[None])).item() for other in free]
            hit = bool(shared) and max(shared) >= overlap
            if hit:
                free.pop(int(np.argmax(shared)))
            boxes.append((surety, hit))
    return [hit for _, hit in sorted(boxes, key=lambda box: -box[0])]


def precision_by_hand(images: list[tuple[np.ndarray, ...]], overlap: float) -> float:
    areas = []
    for c in range(CLASSES):
        total = sum((kinds == c).sum() for *_, kinds in images)
        hits = sort_hits(images, c, overlap)
        points = [(sum(hits[:k]) / total, sum(hits[:k]) / k) for k in range(1, len(hits) + 1)]
        best = [max([p for r, p in points if r >= least], default=0) for least in LEVELS]
        areas.append(np.mean(best))
    return float(np.mean(areas))


def sensitivity_by_hand(images: list[tuple[np.ndarray, ...]], alarms: float) -> float:
    """Lower the threshold box by box, as long as there are few enough false alarms."""
    shares = []
    for c in range(CLASSES):
        total = sum((kinds == c).sum() for *_, kinds in images)
        right = wrong = best = 0
        for hit in sort_hits(images, c, 0.1):
            right, wrong = right + hit, wrong + (not hit)
            if wrong <= alarms * len(images):
                best = right
        if total:
            shares.append(best / total)
    return float(np.mean(shares))


@pytest.mark.parametrize("dims", [2, 3])
def test_overlaps_equal_monais(dims: int):
    rng = np.random.default_rng(0)
    one, other = draw_boxes(rng, 20, dims), draw_boxes(rng, 30, dims)
    assert overlap_boxes(one, other) == pytest.approx(np.asarray(box_iou(one, other)), abs=1e-5)
    assert overlap_boxes(one, one).diagonal() == pytest.approx(1)
    assert overlap_boxes(one, other + 100).max() == 0


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_average_precision_equals_a_slow_loop_and_nearly_monais(dims: int, seed: int):
    images = [draw_image(100 * seed + k, dims) for k in range(12)]
    table = make_table(images)
    for name, overlaps in {"map": OVERLAPS, "ap_10": (0.1,), "ap_50": (0.5,)}.items():
        by_hand = np.mean([precision_by_hand(images, overlap) for overlap in overlaps])
        assert score(name, table)[0] == pytest.approx(by_hand, abs=1e-12)
    for name, value in score_by_monai(images).items():  # in single precision: 0.7 of recall is less
        assert score(name, table)[0] == pytest.approx(value, abs=2e-3), name


@pytest.mark.parametrize("seed", range(4))
def test_sensitivity_equals_a_slow_loop(seed: int):
    images = [draw_image(100 * seed + k, 2) for k in range(12)]
    table = make_table(images)
    by_hand = [sensitivity_by_hand(images, alarms) for alarms in ALARMS]
    names = [name for name in NAMES if name.startswith("sensitivity_")]
    assert [score(name, table)[0] for name in names] == pytest.approx(by_hand, abs=1e-12)
    assert score("cpm", table)[0] == pytest.approx(np.mean(by_hand), abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_weight_counts_as_often_as_a_copy(name: str):
    images = [draw_image(k, 2) for k in range(8)]
    weights = np.random.default_rng(0).multinomial(8, np.full(8, 1 / 8), size=6)
    found = score(name, make_table(images), weights.astype(float))
    for value, weight in zip(found, weights, strict=True):
        copies = [images[k] for k in np.repeat(np.arange(8), weight)]
        assert value == pytest.approx(score(name, make_table(copies))[0], abs=1e-12)


def test_each_object_is_found_once_and_the_nearest_is_taken():
    truth = np.array([[0, 0, 10, 10], [0, 4, 10, 14]], dtype=float)
    found = np.array([[0, 3, 10, 13], [0, 4, 10, 14], [0, 0, 10, 10]], dtype=float)
    hits = match_boxes(found, np.zeros(3), truth, np.zeros(2))
    assert hits[:, OVERLAPS.index(0.1)].tolist() == [True, True, False]
    assert hits[:, OVERLAPS.index(0.5)].tolist() == [True, False, True]


NOTHING = np.zeros((0, 4)), np.zeros(0), np.zeros(0)
TRUTH = np.array([[0, 0, 8, 8], [10, 10, 18, 18]], dtype=float), np.array([0, 0])


@pytest.mark.parametrize("name", NAMES)
def test_the_ends(name: str):
    perfect = (*[TRUTH[0], TRUTH[1], np.array([0.9, 0.8])], *TRUTH)
    assert score(name, make_table([perfect]))[0] == 1
    assert score(name, make_table([(*NOTHING, *TRUTH)]))[0] == 0
    empty = (*NOTHING, *NOTHING[:2])
    assert np.isnan(score(name, make_table([empty]))[0])
    missing = score(name, make_table([perfect, empty]), np.array([[0.0, 1.0], [1.0, 1.0]]))
    assert np.isnan(missing[0])
    assert missing[1] == 1


def test_boxes_on_an_empty_image_are_false_alarms():
    surer = (TRUTH[0][:1] + 40, np.array([0]), np.array([0.99]), *NOTHING[:2])
    perfect = (TRUTH[0], TRUTH[1], np.array([0.9, 0.8]), *TRUTH)
    table = make_table([perfect, surer])
    assert score("ap_50", table)[0] == pytest.approx(2 / 3)
    assert score("sensitivity_1/8", table)[0] == 0
    assert score("sensitivity_1/2", table)[0] == 1


@pytest.mark.parametrize("dims", [2, 3])
def test_the_threshold_of_the_report_serves_best(dims: int):
    images = [draw_image(k, dims) for k in range(8)]
    none = np.zeros((0, 2 * dims)), np.zeros(0), np.zeros(0)
    images += [(*none, *images[1][3:]), (*none, *none[:2])]
    table = make_table(images)
    sure = cut_at_best(table)
    best = 0.0
    for least in np.concatenate(list(table.scores)):
        right = shown = 0
        for found, said, scores, truth, kinds in images:
            kept = scores >= least
            hits = match_boxes(found[kept], said[kept], truth, kinds)
            right, shown = right + hits[:, OVERLAPS.index(0.3)].sum(), shown + kept.sum()
        best = max(best, 2 * right / (shown + sure.wanted.sum()))
    found = sum(map(len, sure.boxes))
    assert 2 * sure.right.sum() / (found + sure.wanted.sum()) == pytest.approx(best)
    assert [len(boxes) for boxes in sure.truth] == [len(truth) for *_, truth, _ in images]
    assert sure.boxes[0].shape[1] == sure.boxes[-1].shape[1] == 1 + 2 * dims
    assert sure.f1[-2:].tolist() == pytest.approx([0, 1], abs=1e-6)


def test_a_table_comes_back_from_disk(tmp_path: Path):
    images = [draw_image(k, 3) for k in range(6)] + [(*NOTHING, *NOTHING[:2])]
    table = make_table(images)
    table.to_parquet(tmp_path / "table.parquet")
    again = pd.read_parquet(tmp_path / "table.parquet")
    for name in NAMES:
        assert score(name, again)[0] == score(name, table)[0]
