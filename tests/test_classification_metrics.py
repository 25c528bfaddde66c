"""Every score of class probabilities against scikit-learn or a slow loop, and where it ends."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    cohen_kappa_score,
    f1_score,
    roc_curve,
)

from tassl.errors import OptionError
from tassl.evaluation.classification import BINS, measure_reliability
from tassl.evaluation.metrics import METRICS
from tassl.evaluation.statistics import subject_weights
from tassl.study.configuration import Study

EXTRA = ("auprc", "sensitivity_90", "sensitivity_95", "f1", "kappa", "brier", "ece")


def make_table(classes: int, seed: int, rows: int = 80) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, rows - classes)])
    logits = 1.5 * np.eye(classes)[labels] + rng.normal(0, 1, (rows, classes))
    scores = np.round(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), 2)  # with ties
    table = pd.DataFrame(scores, columns=[f"score_{k}" for k in range(classes)])
    return table.assign(label=labels, subject=[f"s{k // 2}" for k in range(rows)])


def score(metric: str, table: pd.DataFrame, weights: np.ndarray | None = None) -> np.ndarray:
    return METRICS[metric].score(table, np.ones((1, len(table))) if weights is None else weights)


def scores_of(table: pd.DataFrame) -> np.ndarray:
    return table.filter(like="score_").to_numpy()


def average_over_classes(table: pd.DataFrame, single) -> float:
    scores = scores_of(table)
    classes = [1] if scores.shape[1] == 2 else range(scores.shape[1])
    return float(np.mean([single(table.label == c, scores[:, c]) for c in classes]))


def find_sensitivity(positive: pd.Series, scores: np.ndarray, specificity: float) -> float:
    false, true, _ = roc_curve(positive, scores, drop_intermediate=False)
    return true[false <= 1 - specificity + 1e-9].max()


def find_calibration_error(table: pd.DataFrame) -> float:
    scores, total = scores_of(table), 0.0
    for k in range(BINS):
        inside = [i for i, s in enumerate(scores.max(1)) if k / BINS < s <= (k + 1) / BINS]
        if inside:
            right = np.mean([scores[i].argmax() == table.label[i] for i in inside])
            total += len(inside) * abs(right - np.mean([scores[i].max() for i in inside]))
    return total / len(table)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("classes", [2, 4])
class TestAgainstReferences:
    def test_ranking(self, classes: int, seed: int):
        table = make_table(classes, seed)
        wanted = average_over_classes(table, average_precision_score)
        assert score("auprc", table)[0] == pytest.approx(wanted)
        for percent in (90, 95):
            wanted = average_over_classes(
                table, lambda y, s, level=percent / 100: find_sensitivity(y, s, level)
            )
            assert score(f"sensitivity_{percent}", table)[0] == pytest.approx(wanted)

    def test_decisions(self, classes: int, seed: int):
        table = make_table(classes, seed)
        said = scores_of(table).argmax(1)
        average = "binary" if classes == 2 else "macro"
        assert score("f1", table)[0] == pytest.approx(f1_score(table.label, said, average=average))
        wanted = cohen_kappa_score(table.label, said, weights="quadratic")
        assert score("kappa", table)[0] == pytest.approx(wanted)

    def test_calibration(self, classes: int, seed: int):
        table = make_table(classes, seed)
        scores = scores_of(table)
        exact = scores / scores.sum(1, keepdims=True)
        table[[f"score_{k}" for k in range(classes)]] = exact
        wanted = brier_score_loss(table.label, exact, scale_by_half=True, labels=range(classes))
        assert score("brier", table)[0] == pytest.approx(wanted)
        assert score("ece", table)[0] == pytest.approx(find_calibration_error(table))

    @pytest.mark.parametrize("metric", EXTRA)
    def test_a_weight_is_a_repetition(self, classes: int, seed: int, metric: str):
        table = make_table(classes, seed)
        weights = subject_weights(table.subject, 5, seed)
        repeated = [table.loc[table.index.repeat(own.astype(int))] for own in weights]
        expected = [score(metric, part)[0] for part in repeated]
        assert score(metric, table, weights) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("metric", EXTRA)
class TestDegenerate:
    def test_perfect(self, metric: str):
        labels = np.array([0, 0, 1, 1, 2])
        table = pd.DataFrame(np.eye(3)[labels], columns=["score_0", "score_1", "score_2"])
        assert score(metric, table.assign(label=labels))[0] == METRICS[metric].best

    def test_one_class_gives_a_number_within_bounds_or_nan(self, metric: str):
        table = make_table(2, 0).assign(label=0)
        (found,) = score(metric, table)
        least, most = METRICS[metric].bounds
        assert np.isnan(found) or least <= found <= most
        assert np.isnan(found) == (metric in ("auprc", "sensitivity_90", "sensitivity_95"))

    def test_the_same_score_for_all(self, metric: str):
        table = make_table(2, 0).assign(score_0=0.5, score_1=0.5)
        assert np.isfinite(score(metric, table)[0])


def test_reliability_tells_confidence_and_accuracy_of_each_bin():
    table = pd.DataFrame({"score_0": [0.1, 0.1, 0.4, 0.0], "label": [1, 0, 1, 1]})
    table["score_1"] = 1 - table.score_0
    curve = measure_reliability(table, np.ones((1, 4)))
    filled = curve.share[0] > 0
    assert curve.share[0, filled].tolist() == [0.25, 0.5, 0.25]
    assert curve.confidence[0, filled] == pytest.approx([0.6, 0.9, 1.0])
    assert curve.accuracy[0, filled].tolist() == [1, 0.5, 1]
    assert np.isnan(curve.accuracy[0, ~filled]).all()


def test_kappa_is_for_classes():
    with pytest.raises(OptionError, match="--ordinal is for classes"):
        Study(data="x", modality="mri", task="segmentation", ordinal=True).check()
