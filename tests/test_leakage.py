"""What features tell of the site is not mistaken for what they tell of the class."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tassl.evaluation.leakage import (
    NEIGHBOURS,
    Cells,
    balance,
    find_cells,
    measure_leakage,
    robustness_index,
    weigh_neighbours,
)

SUBJECTS, WIDTH = 160, 12


def make_table(tie: float = 0.5, images: int = 1, seed: int = 0) -> pd.DataFrame:
    """Subjects of two classes; `tie` is the share of class 1 that is seen at site B, and of class
    0 at site A."""
    rng = np.random.default_rng(seed)
    group = np.arange(SUBJECTS) % 2
    site = np.where(rng.random(SUBJECTS) < tie, group, 1 - group)
    table = pd.DataFrame(
        {"subject": [f"s{k:03d}" for k in range(SUBJECTS)], "site": np.array(["A", "B"])[site]}
    ).assign(group=group)
    return table.loc[np.repeat(table.index, images)].reset_index(drop=True)


def find(table: pd.DataFrame) -> Cells:
    cells = find_cells(table, np.arange(len(table)))
    assert isinstance(cells, Cells)
    return cells


def code(signal: np.ndarray, seed: int = 1) -> np.ndarray:
    """Noise, in which all columns carry a number strongly."""
    return np.random.default_rng(seed).normal(size=(len(signal), WIDTH)) + 12 * signal[:, None]


class TestProbe:
    def test_a_site_in_the_features_is_told(self):
        cells = find(make_table())
        leak = measure_leakage(code(cells.site), cells, 0.95)
        assert leak.accuracy.value > 0.95
        assert leak.accuracy.p < 0.001
        assert leak.chance == 0.5

    def test_a_class_that_goes_with_the_site_is_not_taken_for_it(self):
        cells = find(make_table(tie=0.8))
        features = code(cells.group)
        assert np.mean(cells.site == cells.group) > 0.7, "a plain probe would be right as often"
        leak = measure_leakage(features, cells, 0.95)
        assert abs(leak.accuracy.value - 0.5) < 0.1
        assert leak.accuracy.p > 0.01

    def test_a_subject_that_is_recognised_is_no_site(self):
        """Several images of a subject look alike, but none stands in two folds."""
        table = make_table(images=4)
        cells = find(table)
        own = np.random.default_rng(2).normal(size=(SUBJECTS, 80))
        features = own[pd.factorize(cells.subject)[0]]
        leak = measure_leakage(features, cells, 0.95)
        assert leak.accuracy.p > 0.01

    def test_the_interval_holds_the_value_and_the_seed_decides(self):
        cells, features = find(make_table()), code(np.zeros(SUBJECTS))
        first, again = (measure_leakage(features, cells, 0.95, seed=3) for _ in range(2))
        assert first == again
        assert first.accuracy.low < first.accuracy.value < first.accuracy.high
        assert first.robustness is not None
        assert first.robustness.low < 0.5 < first.robustness.high


class TestRobustnessIndex:
    @pytest.mark.parametrize(("which", "index"), [("group", 1.0), ("site", 0.0)])
    def test_ends_of_the_scale(self, which: str, index: float):
        cells = find(make_table())
        robustness = measure_leakage(code(getattr(cells, which)), cells, 0.95).robustness
        assert robustness is not None
        assert robustness.value == pytest.approx(index, abs=0.12)
        assert robustness.p < 0.001

    def test_uneven_sites_do_not_move_it(self):
        """Features without any order are even, however the classes lie over the sites."""
        values = []
        for seed in range(4):
            cells = find(make_table(tie=0.8, seed=seed))
            pair = weigh_neighbours(code(np.zeros(SUBJECTS), seed=seed), cells)
            values.append(robustness_index(*pair, np.empty((0, SUBJECTS))))
        assert np.mean(values) == pytest.approx(0.5, abs=0.06)

    def test_against_a_slow_count(self):
        cells = find(make_table(tie=0.7, images=2))
        features = code(cells.site)
        same, other = weigh_neighbours(features, cells)
        scaled = (features - features.mean(0)) / features.std(0)
        for k in (0, 5, 77):
            cosine = scaled @ scaled[k] / np.linalg.norm(scaled, axis=1)
            apart = [j for j in np.argsort(-cosine) if cells.subject[j] != cells.subject[k]]
            totals = [0.0, 0.0]
            for j in apart[:NEIGHBOURS]:
                sizes = [
                    np.sum((cells.site == cells.site[i]) & (cells.group == cells.group[i]))
                    for i in (j, k)
                ]
                agree = (cells.group[j] == cells.group[k], cells.site[j] == cells.site[k])
                if agree in ((True, False), (False, True)):
                    totals[int(agree[1])] += (len(cells.site) / 4) ** 2 / np.prod(sizes)
            assert (same[k].sum(), other[k].sum()) == pytest.approx(totals)


class TestCells:
    def test_pairs_count_alike(self):
        cells = find(make_table(tie=0.8))
        sums = np.bincount(cells.number, cells.weight)
        assert sums == pytest.approx(SUBJECTS / 4)
        hits = cells.site == 0
        (plain,) = balance(cells, hits, np.empty((0, SUBJECTS)))
        assert plain == pytest.approx(0.5)

    def test_small_sites_and_lone_classes_are_left_out(self):
        table = make_table()
        table.loc[:5, "site"] = "tiny"
        table.loc[6:11, "site"] = ""
        table = pd.concat([table, table.iloc[20:40].assign(group=2, site="A", subject="x")])
        cells = find(table.reset_index(drop=True))
        assert cells.sites == ("A", "B")
        assert cells.groups == 2
        assert cells.rows.min() == 12
        assert cells.rows.max() < SUBJECTS

    @pytest.mark.parametrize(
        ("table", "reason"),
        [
            (make_table().assign(site=""), "Fewer than two sites"),
            (make_table().assign(site="A"), "Fewer than two sites"),
            (make_table(tie=1.0), "cannot be told apart"),
            (make_table().iloc[:30], "cannot be told apart"),
        ],
    )
    def test_what_cannot_be_asked_is_said(self, table: pd.DataFrame, reason: str):
        found = find_cells(table, np.arange(len(table)))
        assert isinstance(found, str)
        assert reason in found
