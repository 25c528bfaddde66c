"""Intervals cover what they promise, and studies without an effect rarely claim one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special

from tassl.evaluation.finding import NO_EVIDENCE, Arm
from tassl.evaluation.protocol import Protocol
from tassl.evaluation.statistics import (
    Estimate,
    Scores,
    _untransform,
    adjust_holm,
    estimate,
    score_draws,
    subject_weights,
)
from tassl.evaluation.verdict import compare

TRUTH, SUBJECTS, DRAWS, RESAMPLES = 0.7, 120, 3, 200


class Simulation:
    """Scores of arms without images: subject, subject in arm, draw and noise effects add up.

    Args:
        rng: Source of every effect.
        subject: Deviation between subjects, shared by all arms.
        own: Deviation between subjects that an arm has of its own.
        draw: Deviation between draws of an arm.
        noise: Deviation of what is left.
    """

    def __init__(
        self, rng: np.random.Generator, *, subject=0.10, own=0.05, draw=0.01, noise=0.05
    ) -> None:
        self.rng, self.own, self.draw, self.noise = rng, own, draw, noise
        self.shared = rng.normal(0, subject, SUBJECTS)
        self.names = pd.Series([f"s{k}" for k in range(SUBJECTS)])
        self.weights = subject_weights(self.names, RESAMPLES, int(rng.integers(1 << 30)))

    def score(self, truth: float = TRUTH) -> Scores:
        base = truth + self.shared + self.rng.normal(0, self.own, SUBJECTS)
        tables = [
            pd.DataFrame(
                {
                    "subject": self.names,
                    "dice_1": base
                    + self.rng.normal(0, self.draw)
                    + self.rng.normal(0, self.noise, SUBJECTS),
                }
            )
            for _ in range(DRAWS)
        ]
        return score_draws(tables, "dice", self.weights)


def measure_coverage(studies: int, seed: int = 0, **effects: float) -> tuple[float, float]:
    """Share of 95% intervals that hold the true mean, and the true paired difference of 0.03."""
    mean = gap = 0
    for study in range(studies):
        simulation = Simulation(np.random.default_rng((seed, study)), **effects)
        one = simulation.score()
        pairs = [simulation.score(TRUTH + 0.03).minus(one) for _ in range(2)]
        own, paired = estimate(one, 0.95), estimate(pairs[0], 0.95, pairs)
        mean += bool(own.low <= TRUTH <= own.high)
        gap += bool(paired.low <= 0.03 <= paired.high)
    return mean / studies, gap / studies


def measure_false_verdicts(studies: int, seed: int = 0, **effects: float) -> float:
    """Share of studies without any effect in which some finding helps or hurts."""
    arms = [Arm("a", "", "finetune"), Arm("b", "", "frozen")]
    arms += [Arm("c", "simclr", "finetune"), Arm("d", "mae", "finetune")]
    wrong = 0
    for study in range(studies):
        simulation = Simulation(np.random.default_rng((seed, study)), **effects)
        scores = {
            (arm.name, budget, "dice"): simulation.score()
            for arm in arms
            for budget in ("5", "10", "25", "all")
        }
        findings = compare(scores, arms, "dice", Protocol())
        wrong += any(finding.verdict != NO_EVIDENCE for finding in findings)
    return wrong / studies


@pytest.mark.parametrize("draw", [0.0, 0.01, 0.05])
def test_intervals_cover(draw: float):
    mean, gap = measure_coverage(300, draw=draw)
    assert 0.90 <= mean <= 0.99
    assert 0.90 <= gap <= 0.99


def test_false_verdicts_are_rare():
    assert measure_false_verdicts(200, draw=0.02) < 0.08


class TestWeights:
    def test_every_resample_draws_as_many_subjects_as_there_are(self):
        weights = subject_weights(pd.Series(list("abcde")), 50, 0)
        assert weights.shape == (50, 5)
        assert (weights.sum(1) == 5).all()
        assert len(np.unique(weights, axis=0)) > 20

    def test_images_of_one_subject_stay_together(self):
        subjects = pd.Series(["b", "a", "b", "c", "a", "b"])
        weights = subject_weights(subjects, 200, 0)
        for name in "abc":
            own = weights[:, subjects == name]
            assert (own == own[:, :1]).all()
        firsts = weights[:, [0, 1, 3]]
        assert (firsts.sum(1) == 3).all()

    def test_seeded(self):
        subjects = pd.Series(list("abcde"))
        first, again, other = (subject_weights(subjects, 9, seed) for seed in (0, 0, 1))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_clustered_subjects_widen_the_interval(self):
        """Five copies of each subject say no more than one."""
        rng = np.random.default_rng(0)
        values = rng.normal(0.7, 0.1, 40)
        widths = []
        for copies in (1, 5):
            table = pd.DataFrame({"dice_1": np.repeat(values, copies)})
            table["subject"] = np.repeat([f"s{k}" for k in range(40)], copies)
            scores = score_draws([table], "dice", subject_weights(table.subject, 1000, 0))
            found = estimate(scores, 0.95)
            widths.append(found.high - found.low)
        assert widths[1] == pytest.approx(widths[0], rel=0.01)


class TestEstimate:
    def test_identical_arms_differ_by_exactly_nothing(self):
        scores = Simulation(np.random.default_rng(0)).score()
        found = estimate(scores.minus(scores), 0.95)
        assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)

    def test_mean_of_the_draws(self):
        scores = Simulation(np.random.default_rng(0)).score()
        assert estimate(scores, 0.95).value == pytest.approx(scores.observed.mean())

    def test_more_confidence_is_wider(self):
        scores = Simulation(np.random.default_rng(0)).score()
        narrow, wide = estimate(scores, 0.8), estimate(scores, 0.99)
        assert wide.low < narrow.low < narrow.value < narrow.high < wide.high

    def test_p_agrees_with_the_interval(self):
        for seed in range(30):
            simulation = Simulation(np.random.default_rng(seed))
            found = estimate(simulation.score(TRUTH + 0.02).minus(simulation.score()), 0.95)
            assert (found.p < 0.05) == (found.low > 0 or found.high < 0)

    def test_single_draw(self):
        scores = Simulation(np.random.default_rng(0)).score()
        one = Scores(scores.observed[:1], scores.resampled[:, :1], scores.subjects)
        found = estimate(one, 0.95)
        assert found.low < found.value < found.high

    def test_resamples_that_lack_a_class_are_left_out(self):
        resampled = np.random.default_rng(0).normal(0.7, 0.1, (100, 3))
        holed = resampled.copy()
        holed[:10] = np.nan
        observed = np.array([0.7, 0.7, 0.7])
        found = estimate(Scores(observed, holed, 50), 0.95)
        assert found == estimate(Scores(observed, resampled[10:], 50), 0.95)

    def test_one_subject_proves_nothing(self):
        table = pd.DataFrame({"subject": ["a"], "dice_1": [0.9]})
        scores = score_draws([table], "dice", subject_weights(table.subject, 50, 0))
        assert estimate(scores, 0.95).p == 1

    @pytest.mark.parametrize("comparisons", [1, 20])
    def test_detectable_difference_is_found_with_its_power(self, comparisons: int):
        """At the detectable difference, 80% of studies find it."""
        effects = {"draw": 0.0}
        found = []
        for study in range(200):
            simulation = Simulation(np.random.default_rng((3, study)), **effects)
            same = simulation.score().minus(simulation.score())
            none = estimate(same, 0.95, comparisons=comparisons)
            moved = simulation.score(TRUTH + none.detectable).minus(simulation.score())
            found.append(estimate(moved, 0.95).p * comparisons < 0.05)
        assert 0.7 < np.mean(found) < 0.9


class TestSources:
    """Subjects, draws, and what both share."""

    @staticmethod
    def cross(values: np.ndarray, resamples: int = 4000, seed: int = 0) -> Scores:
        """Scores of (draw, subject) values, as a mean."""
        count = values.shape[1]
        rng = np.random.default_rng(seed)
        weights = rng.multinomial(count, np.full(count, 1 / count), size=resamples) / count
        return Scores(values.mean(1), weights @ values.T, count)

    def test_error_is_that_of_the_two_way_table(self):
        """Mean squares by hand: subjects + draws - rest, each over the number of values."""
        rng = np.random.default_rng(0)
        draws, subjects = 5, 40
        values = rng.normal(0, 1, subjects) + rng.normal(0, 0.5, (draws, 1))
        values = values + rng.normal(0, 1.5, (draws, subjects))
        rows, columns = values.mean(1, keepdims=True), values.mean(0, keepdims=True)
        rest = values - rows - columns + values.mean()
        by_draw = subjects * float(((rows - values.mean()) ** 2).sum()) / (draws - 1)
        by_subject = draws * float(((columns - values.mean()) ** 2).sum()) / (subjects - 1)
        by_both = float((rest**2).sum()) / ((draws - 1) * (subjects - 1))
        expected = ((by_subject + by_draw - by_both) / values.size) ** 0.5
        found = estimate(self.cross(values), 0.95)
        narrow = estimate(self.cross(values), 0.5)
        error = (found.detectable - (found.high - found.low) / 2) / _quantile(found, narrow)
        assert error == pytest.approx(expected, rel=0.03)

    def test_draws_that_vary_less_than_chance_add_nothing(self):
        rng = np.random.default_rng(0)
        shared = rng.normal(0.5, 0.1, 30)
        noise = rng.normal(0, 0.1, (3, 30))
        values = shared + noise - noise.mean(1, keepdims=True)
        scores = self.cross(values)
        alone = self.cross(values.mean(0, keepdims=True))
        found, single = estimate(scores, 0.95), estimate(alone, 0.95)
        assert found.high - found.low == pytest.approx(single.high - single.low)

    def test_a_lucky_arm_borrows_the_variance_of_the_others(self):
        rng = np.random.default_rng(0)
        shared = rng.normal(0.5, 0.01, 30)
        lucky = self.cross(shared + np.zeros((3, 1)))
        others = [self.cross(shared + rng.normal(0, 0.1, (3, 1))) for _ in range(4)]
        own, pooled = estimate(lucky, 0.95), estimate(lucky, 0.95, [lucky, *others])
        assert pooled.high - pooled.low > 5 * (own.high - own.low)

    @pytest.mark.parametrize(("subjects", "least"), [(2, 0.5), (5, 1 / 16), (20, 2**-19)])
    def test_no_probability_is_below_that_of_equal_signs(self, subjects: int, least: float):
        values = 0.3 + 1e-9 * np.random.default_rng(0).normal(size=(3, subjects))
        assert estimate(self.cross(values), 0.95).p == least
        assert estimate(self.cross(np.full((3, subjects), 0.3)), 0.95).p == least

    @pytest.mark.parametrize("draws", [1, 3])
    def test_degenerate_scores(self, draws: int):
        gone = Scores(np.full(draws, np.nan), np.full((9, draws), np.nan), 30)
        found = estimate(gone, 0.95, [gone], skewed=True)
        assert (found.p, np.isnan(found.low)) == (1, True)
        still = estimate(self.cross(np.full((draws, 30), 0.7)), 0.95, skewed=True)
        assert still.low == still.value == still.high


class TestLean:
    def test_the_interval_leans_to_the_long_tail(self):
        """A mean of values with a long lower tail is more often too high than too low."""
        values = 1 - np.random.default_rng(0).exponential(0.1, (1, 30))
        scores = TestSources.cross(values)
        plain, found = estimate(scores, 0.95), estimate(scores, 0.95, skewed=True)
        assert found.low < plain.low
        assert found.high < plain.high
        assert found.p == plain.p

    def test_symmetric_values_keep_their_interval(self):
        half = np.random.default_rng(0).normal(0, 0.1, 20)
        scores = TestSources.cross(0.5 + np.r_[half, -half][None], 20_000)
        plain, found = estimate(scores, 0.95), estimate(scores, 0.95, skewed=True)
        width = plain.high - plain.low
        assert found.low == pytest.approx(plain.low, abs=0.03 * width)
        assert found.high == pytest.approx(plain.high, abs=0.03 * width)

    @pytest.mark.parametrize("skewness", [-0.6, -0.1, 0.2, 0.5])
    def test_inverse_of_halls_transformation(self, skewness: float):
        for end in (-2.1, -0.4, 1.3, 2.4):
            t = _untransform(end, skewness)
            g = t + skewness * t**2 / 3 + skewness**2 * t**3 / 27 + skewness / 6
            assert g == pytest.approx(end)


def _quantile(found: Estimate, narrow: Estimate) -> float:
    """The t quantile of 80% power, whose freedom follows from the widths at two levels."""
    ratio = (found.high - found.low) / (narrow.high - narrow.low)
    freedom = optimize.brentq(
        lambda df: special.stdtrit(df, 0.975) / special.stdtrit(df, 0.75) - ratio, 1, 1e4
    )
    return float(special.stdtrit(freedom, 0.8))


class TestHolm:
    @pytest.mark.parametrize("count", [1, 2, 5, 20])
    def test_against_a_loop(self, count: int):
        values = np.random.default_rng(count).random(count) ** 3
        expected, running = [0.0] * count, 0.0
        for rank, k in enumerate(sorted(range(count), key=lambda k: values[k])):
            running = max(running, min(1.0, values[k] * (count - rank)))
            expected[k] = running
        assert adjust_holm(values.tolist()).tolist() == pytest.approx(expected)

    def test_ties_and_none(self):
        assert adjust_holm([0.01, 0.01]).tolist() == [0.02, 0.02]
        assert adjust_holm([]).tolist() == []
