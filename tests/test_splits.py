"""Splits and label subsets: by subject, stratified, seeded and nested."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tassl.errors import InputError
from tassl.evaluation.splits import Subset, count_labels, draw_splits, draw_subsets

SIDES = ("train", "val", "test")


def make_table(classes: list[int], images: list[int] | None = None) -> pd.DataFrame:
    """One subject per entry of `classes`, with its number of images; rows are interleaved."""
    images = images or [1] * len(classes)
    rows = [
        {"subject": f"s{k:03d}", "label": label, "turn": turn}
        for k, (label, count) in enumerate(zip(classes, images, strict=True))
        for turn in range(count)
    ]
    table = pd.DataFrame(rows).sort_values("turn", kind="stable", ignore_index=True)
    return table.assign(split="", masked=False)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    count = draw(st.integers(10, 40))
    classes = draw(st.lists(st.integers(-1, 3), min_size=count, max_size=count))
    images = draw(st.lists(st.integers(1, 4), min_size=count, max_size=count))
    return make_table(classes, images)


def sides_of(table: pd.DataFrame, split: np.ndarray) -> pd.Series:
    return table.assign(side=split).groupby("subject").side.nunique()


class TestSplits:
    @settings(max_examples=60, deadline=None)
    @given(tables(), st.integers(0, 1000))
    def test_subjects_never_cross(self, table: pd.DataFrame, seed: int):
        try:
            split = draw_splits(table, 0.1, 0.25, seed)
        except InputError:  # a class of one subject each leaves nothing to give away
            assert table.groupby("subject").label.max().value_counts().max() < 10
            return
        assert set(split) == set(SIDES)
        assert (sides_of(table, split) == 1).all()
        assert np.array_equal(split, draw_splits(table, 0.1, 0.25, seed))

    def test_strata_are_kept(self):
        table = make_table([0] * 80 + [1] * 40 + [2] * 8)
        counts = pd.crosstab(table.label, draw_splits(table, 0.1, 0.25, 0))
        assert counts["test"].tolist() == [20, 10, 2]
        assert counts["val"].tolist() == [6, 3, 1]

    def test_masked_subjects_stand_on_every_side(self):
        table = make_table([-1] * 200)
        table["masked"] = table.index < 12
        for seed in range(5):
            split = draw_splits(table, 0.1, 0.25, seed)
            assert set(split[table.masked]) == set(SIDES)

    def test_given_splits_are_kept(self):
        table = make_table([0, 1] * 20)
        table["split"] = np.repeat(SIDES, [24, 6, 10])
        assert np.array_equal(draw_splits(table, 0.1, 0.25, 0), table.split)

    def test_missing_side_is_drawn_from_train(self):
        table = make_table([0, 1] * 20)
        table["split"] = np.repeat(["train", "test"], [30, 10])
        split = draw_splits(table, 0.1, 0.25, 0)
        assert (split[30:] == "test").all()
        assert sorted(set(split[:30])) == ["train", "val"]

    def test_seed_decides(self):
        table = make_table([0, 1] * 30)
        first, second = (draw_splits(table, 0.1, 0.25, seed) for seed in (0, 1))
        assert not np.array_equal(first, second)

    def test_too_few_subjects(self):
        with pytest.raises(InputError, match="2 subjects leave none for val"):
            draw_splits(make_table([0, 0]), 0.1, 0.25, 0)


class TestSubsets:
    @pytest.fixture
    def table(self) -> pd.DataFrame:
        return make_table([0] * 30 + [1] * 12, [1, 2, 3] * 14)

    @staticmethod
    def draw(table: pd.DataFrame, seed: int = 0, budgets: tuple = (2, 5, 10)) -> list[Subset]:
        usable = np.arange(len(table))
        return draw_subsets(table, usable, budgets, 3, seed, stratified=True)

    def test_order_and_number(self, table: pd.DataFrame):
        subsets = self.draw(table, budgets=(10, 2, 5, 2))
        budgets = [name for name in ("2", "5", "10", "all") for _ in range(3)]
        assert [subset.budget for subset in subsets] == budgets
        assert [subset.draw for subset in subsets] == [0, 1, 2] * 4

    def test_nested_within_a_draw(self, table: pd.DataFrame):
        subsets = self.draw(table)
        for draw in range(3):
            rows = [set(s.rows) for s in subsets if s.draw == draw]
            assert all(small < large for small, large in itertools.pairwise(rows))
            assert rows[-1] == set(range(len(table)))

    def test_subjects_are_counted_per_class_and_taken_whole(self, table: pd.DataFrame):
        for subset in self.draw(table):
            chosen = table.iloc[subset.rows]
            if subset.budget != "all":
                counted = chosen.groupby("label").subject.nunique()
                assert counted.tolist() == [int(subset.budget)] * 2
            assert len(chosen) == table.subject.isin(chosen.subject).sum()

    def test_seeded(self, table: pd.DataFrame):
        first, again, other = self.draw(table), self.draw(table), self.draw(table, seed=1)
        assert all(np.array_equal(a.rows, b.rows) for a, b in zip(first, again, strict=True))
        assert not np.array_equal(first[0].rows, other[0].rows)
        assert not np.array_equal(first[0].rows, first[1].rows)

    def test_budgets_beyond_the_pool_are_left_to_all(self, table: pd.DataFrame):
        names = {s.budget for s in self.draw(table, budgets=(5, 12, 29, 30, 100))}
        assert names == {"5", "12", "29", "all"}
        (short,) = [s for s in self.draw(table, budgets=(29,)) if (s.budget, s.draw) == ("29", 0)]
        counted = table.iloc[short.rows].groupby("label").subject.nunique()
        assert counted.tolist() == [29, 12]

    def test_shares_are_of_each_class_with_one_subject_at_least(self, table: pd.DataFrame):
        subsets = self.draw(table, budgets=(0.25, 0.01, 0.5))
        assert list(dict.fromkeys(s.budget for s in subsets)) == ["1%", "25%", "50%", "all"]
        for subset in subsets[:9]:
            counted = table.iloc[subset.rows].groupby("label").subject.nunique().tolist()
            assert counted == {"1%": [1, 1], "25%": [8, 3], "50%": [15, 6]}[subset.budget]

    def test_shares_that_come_to_the_same_are_one_budget(self, table: pd.DataFrame):
        names = {s.budget for s in self.draw(table, budgets=(0.01, 0.02, 0.03, 0.99))}
        assert names == {"1%", "all"}

    def test_labels_are_counted_in_subjects(self, table: pd.DataFrame):
        subsets = self.draw(table, budgets=(5, 29, 0.01))
        assert count_labels(table, subsets) == {"1%": 2, "5": 10, "29": 41, "all": 42}

    def test_without_strata(self, table: pd.DataFrame):
        usable = np.arange(len(table))
        subsets = draw_subsets(table, usable, (5,), 1, 0, stratified=False)
        assert table.iloc[subsets[0].rows].subject.nunique() == 5

    def test_only_usable_rows(self, table: pd.DataFrame):
        usable = np.flatnonzero(table.turn == 0)
        subsets = draw_subsets(table, usable, (5,), 2, 0, stratified=True)
        assert all(set(subset.rows) <= set(usable) for subset in subsets)

    @settings(max_examples=40, deadline=None)
    @given(tables(), st.integers(0, 100))
    def test_every_class_has_a_subject(self, table: pd.DataFrame, seed: int):
        usable = np.flatnonzero(table.label >= 0)
        assume(len(usable))
        classes = set(table.label.iloc[usable])
        for subset in draw_subsets(table, usable, (1, 3), 2, seed, stratified=True):
            assert set(table.label.iloc[subset.rows]) == classes
