"""Scores of subgroups, the gap between best and worst, and what is too small to be told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tassl.evaluation.metrics import score_once
from tassl.evaluation.statistics import Estimate
from tassl.evaluation.subgroups import Gap, list_groups, score_subgroups

SUBJECTS = 120


def invent(spoilt: np.ndarray | None = None, draws: int = 2, seed: int = 0) -> list[pd.DataFrame]:
    """Predictions of two classes; of the subjects of `spoilt` they are worthless."""
    rng = np.random.default_rng(seed)
    label = np.arange(SUBJECTS) % 2
    tables = []
    for _ in range(draws):
        logit = 2.5 * (label - 0.5) + rng.normal(size=SUBJECTS)
        if spoilt is not None:
            logit[spoilt] = rng.normal(size=spoilt.sum())
        score = 1 / (1 + np.exp(-logit))
        tables.append(
            pd.DataFrame(
                {"id": np.arange(SUBJECTS), "subject": np.arange(SUBJECTS), "label": label,
                 "score_0": 1 - score, "score_1": score}
            )
        )  # fmt: skip
    return tables


def score(names: np.ndarray, tables: list[pd.DataFrame]) -> tuple[dict, list[Gap]]:
    groups, gaps = score_subgroups({"arm": tables}, {"site": names}, "auroc", 0.95)
    return {group.name: group for group in groups}, gaps


def test_a_subgroup_has_the_score_of_its_rows():
    names = np.array(["A", "B", "C"], dtype=object)[np.arange(SUBJECTS) // 40]
    tables = invent()
    groups, _ = score(names, tables)
    assert list(groups) == ["A", "B", "C"]
    for name, group in groups.items():
        plain = [score_once(table[names == name], "auroc") for table in tables]
        assert group.subjects == 40
        assert group.score.value == pytest.approx(np.mean(plain))
        assert group.score.low < group.score.value < group.score.high


def test_a_planted_gap_is_found_and_its_worst_group_named():
    spoilt = np.arange(SUBJECTS) >= 60
    _, (gap,) = score(np.where(spoilt, "B", "A").astype(object), invent(spoilt, draws=1))
    assert (gap.worst, gap.best) == ("B", "A")
    assert gap.difference.low > 0
    assert gap.p < 0.01


def test_groups_that_are_alike_are_rarely_far_apart():
    """The widest of ten gaps between five groups is wide by chance; its p-value knows that."""
    names = np.array(list("ABCDE"), dtype=object)[np.arange(SUBJECTS) // 24]
    found = [score(names, invent(seed=seed, draws=1))[1][0] for seed in range(20)]
    assert np.mean([gap.p < 0.05 for gap in found]) <= 0.2
    assert all(gap.difference.value >= 0 for gap in found)


def test_what_is_too_small_is_said_instead_of_a_number():
    names = np.full(SUBJECTS, "A", dtype=object)
    names[:8] = "few"
    label = np.arange(SUBJECTS) % 2
    names[np.flatnonzero(label)[-12:]] = "one class"
    groups, gaps = score(names, invent())
    assert groups["few"].subjects == 8
    assert groups["few"].score is None
    assert groups["one class"].score is None
    assert groups["A"].score is not None
    assert gaps == []


def test_best_is_the_lowest_of_an_error():
    rng = np.random.default_rng(0)
    value = rng.normal(50, 10, size=SUBJECTS)
    far = np.arange(SUBJECTS) >= 60
    error = np.where(far, 9, 1) * rng.normal(size=SUBJECTS)
    table = pd.DataFrame(
        {"id": range(SUBJECTS), "subject": range(SUBJECTS), "value": value,
         "predicted": value + error}
    )  # fmt: skip
    names = np.where(far, "far", "near").astype(object)
    _, (gap,) = score_subgroups({"arm": [table]}, {"sex": names}, "mae", 0.95)
    assert (gap.best, gap.worst) == ("near", "far")
    assert gap.difference.high < 0


class TestFindings:
    """The first finding is told well, the second not at all; site B never shows the second."""

    names = np.array(["A", "B"], dtype=object)[np.arange(SUBJECTS) // 60]

    def invent(self) -> pd.DataFrame:
        rng = np.random.default_rng(0)
        first = np.arange(SUBJECTS) % 2
        second = np.where(self.names == "A", (np.arange(SUBJECTS) // 2) % 2, 0)
        return pd.DataFrame(
            {"subject": range(SUBJECTS), "finding_0": first, "finding_1": second,
             "score_0": first * 0.6 + 0.4 * rng.random(SUBJECTS),
             "score_1": rng.random(SUBJECTS)}
        ).astype({"finding_0": float, "finding_1": float})  # fmt: skip

    def score(self, table: pd.DataFrame) -> tuple[dict[str, Estimate | None], list[Gap]]:
        groups, gaps = score_subgroups({"arm": [table]}, {"site": self.names}, "mean_auroc", 0.95)
        return {group.name: group.score for group in groups}, gaps

    def test_all_groups_have_the_mean_of_the_same(self):
        found, (gap,) = self.score(self.invent())
        assert [score.value for score in found.values() if score] == [1, 1]
        assert gap.difference.value == 0

    def test_none_in_common_leaves_no_score(self):
        table = self.invent()
        table.loc[self.names == "B", "finding_0"] = np.nan
        assert self.score(table) == ({"A": None, "B": None}, [])

    def test_a_group_too_small_to_be_scored_takes_none_away(self):
        names = np.where(np.arange(SUBJECTS) < 8, "few", self.names)
        groups, _ = score_subgroups(
            {"arm": [self.invent()[:60]]}, {"site": names[:60]}, "mean_auroc", 0.95
        )
        scores = {group.name: group.score for group in groups}
        assert scores["few"] is None
        assert scores["A"] is not None
        assert 0.5 < scores["A"].value < 0.9


def test_groups_by_age_sex_site_and_size():
    table = pd.DataFrame(
        {"site": ["A", "B", ""] * 3, "sex": ["F"] * 9,
         "age": [0, 17.9, 18, 39, 40, 64.5, 65, 90, np.nan]}
    )  # fmt: skip
    kinds = list_groups(table, np.array([1, 2, 3, 4, 5, 6, 7, 0, np.nan]))
    assert set(kinds) == {"site", "age", "size"}, "one sex alone is no comparison"
    assert list(kinds["age"]) == [
        "under 18", "under 18", "18 to 39", "18 to 39", "40 to 64", "40 to 64",
        "65 and over", "65 and over", "",
    ]  # fmt: skip
    assert list(kinds["size"]) == [
        "smallest third", "smallest third", "smallest third", "middle third", "middle third",
        "largest third", "largest third", "", "",
    ]  # fmt: skip
    assert "size" not in list_groups(table, np.full(9, np.nan))
