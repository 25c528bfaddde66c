"""Metrics against scikit-learn and against slow loops."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from tassl.evaluation.classification import binary_auroc
from tassl.evaluation.columns import columns_of
from tassl.evaluation.metrics import METRICS
from tassl.evaluation.segmentation import dice_of_masks


def make_table(labels: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame(scores, columns=[f"score_{k}" for k in range(scores.shape[1])])
    return table.assign(label=labels)


def score(metric: str, table: pd.DataFrame, weights: np.ndarray | None = None) -> np.ndarray:
    return METRICS[metric].score(table, np.ones((1, len(table))) if weights is None else weights)


def draw_weights(rng: np.random.Generator, rows: int, resamples: int = 6) -> np.ndarray:
    return rng.multinomial(rows, np.full(rows, 1 / rows), resamples).astype(float)


@pytest.mark.parametrize("seed", range(5))
class TestAgainstScikitLearn:
    def test_binary_auroc_with_ties(self, seed: int):
        rng = np.random.default_rng(seed)
        labels = np.array([0, 1, *rng.integers(0, 2, 60).tolist()])
        ranks = rng.integers(0, 8, 62) / 8  # many ties
        table, weights = make_table(labels, np.stack([1 - ranks, ranks], 1)), draw_weights(rng, 62)
        expected = [roc_auc_score(labels, ranks, sample_weight=w) for w in weights]
        assert score("auroc", table, weights) == pytest.approx(expected, abs=1e-12)
        assert score("auroc", table)[0] == pytest.approx(roc_auc_score(labels, ranks), abs=1e-12)

    def test_macro_auroc(self, seed: int):
        rng = np.random.default_rng(seed)
        labels = np.concatenate([np.arange(4), rng.integers(0, 4, 96)])
        scores = np.round(rng.dirichlet(np.ones(4), 100), 2)
        scores /= scores.sum(1, keepdims=True)
        table, weights = make_table(labels, scores), draw_weights(rng, 100)
        expected = [
            roc_auc_score(labels, scores, multi_class="ovr", sample_weight=w) for w in weights
        ]
        assert score("auroc", table, weights) == pytest.approx(expected, abs=1e-12)

    def test_balanced_accuracy(self, seed: int):
        rng = np.random.default_rng(seed)
        labels = np.concatenate([np.arange(3), rng.choice(3, 60, p=[0.7, 0.2, 0.1])])
        scores = rng.random((63, 3))
        table, weights = make_table(labels, scores), draw_weights(rng, 63) + 0.5
        expected = [
            balanced_accuracy_score(labels, scores.argmax(1), sample_weight=w) for w in weights
        ]
        assert score("balanced_accuracy", table, weights) == pytest.approx(expected)


class TestDegenerateClassification:
    labels = np.array([0, 0, 1, 1])

    @pytest.mark.parametrize(
        ("ranks", "area"), [([1, 2, 3, 4], 1), ([4, 3, 2, 1], 0), ([1] * 4, 0.5)]
    )
    def test_extremes(self, ranks: list[float], area: float):
        found = binary_auroc(np.array(ranks), self.labels == 1, np.ones((1, 4)))
        assert found == [area]

    @pytest.mark.parametrize("metric", ["auroc", "balanced_accuracy"])
    def test_resample_without_a_class_is_nan(self, metric: str):
        table = make_table(self.labels, np.eye(2)[self.labels])
        weights = np.array([[2.0, 2, 0, 0], [1, 1, 1, 1]])
        found = score(metric, table, weights)
        assert np.isnan(found[0])
        assert found[1] == 1

    def test_class_absent_from_the_reference(self):
        table = make_table(self.labels, np.eye(3)[self.labels])
        assert np.isnan(score("auroc", table)[0])
        assert score("balanced_accuracy", table)[0] == 1

    def test_columns_are_ordered_by_number(self):
        table = pd.DataFrame({f"score_{k}": [k] for k in (10, 2, 0, 1)})
        assert columns_of(table, "score_").tolist() == [[0, 1, 2, 10]]


class TestDice:
    @pytest.mark.parametrize("shape", [(9, 7), (5, 6, 4)])
    def test_against_a_loop(self, shape: tuple[int, ...]):
        rng = np.random.default_rng(0)
        predicted, truth = rng.integers(0, 4, (2, *shape), dtype=np.uint8)
        truth[truth == 3] = 0
        expected = []
        for c in (1, 2):
            p, t = (predicted == c).ravel().tolist(), (truth == c).ravel().tolist()
            both = sum(a and b for a, b in zip(p, t, strict=True))
            expected.append(2 * both / (sum(p) + sum(t)))
        found = dice_of_masks(predicted, truth, 4)
        assert found[:2] == pytest.approx(expected)
        assert np.isnan(found[2])

    def test_perfect_and_disjoint(self):
        truth = np.array([[0, 1], [2, 2]])
        assert dice_of_masks(truth, truth, 3).tolist() == [1, 1]
        assert dice_of_masks(np.array([[1, 0], [0, 0]]), truth, 3).tolist() == [0, 0]

    def test_empty_reference(self):
        empty, found = np.zeros((2, 2), int), np.array([[0, 1], [0, 0]])
        assert dice_of_masks(empty, empty, 3).tolist() == [1, 1]
        assert dice_of_masks(found, empty, 3).tolist() == [0, 1]

    def test_mean_over_images_by_weight(self):
        table = pd.DataFrame({"dice_1": [1.0, 0.5, 0.0], "dice_2": [np.nan, 0.7, 0.2]})
        weights = np.array([[1.0, 1, 1], [0, 2, 1]])
        assert score("dice", table, weights) == pytest.approx([1.7 / 3, 1.3 / 3])
