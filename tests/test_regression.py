"""Regression: its scores, its budgets, its probe, its direction, and the whole job."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

import tassl
from tassl.errors import InputError
from tassl.evaluation.finding import Arm
from tassl.evaluation.metrics import METRICS
from tassl.evaluation.protocol import Protocol
from tassl.evaluation.splits import draw_subsets, number_quantiles
from tassl.evaluation.statistics import estimate, score_draws, subject_weights
from tassl.evaluation.verdict import compare, conclude, score_all, tabulate
from tassl.heads import HEADS
from tassl.heads.ridge import fit_ridge
from tassl.networks import NETWORKS

NUMBERS = HEADS["regression"].metrics
CHOICES = {"modality": "ultrasound", "task": "regression", "quiet": True}


def make_table(seed: int = 0, rows: int = 40, level: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    value = level + rng.gamma(2, 30, rows)
    subjects = [f"s{k // 2}" for k in range(rows)]
    return pd.DataFrame(
        {"subject": subjects, "value": value, "predicted": 0.7 * value + rng.normal(20, 15, rows)}
    )


def score(metric: str, table: pd.DataFrame, weights: np.ndarray | None = None) -> np.ndarray:
    return METRICS[metric].score(table, np.ones((1, len(table))) if weights is None else weights)


@pytest.mark.parametrize("seed", range(3))
class TestScores:
    def test_against_scikit_learn(self, seed: int):
        table = make_table(seed)
        pair, weights = (table.value, table.predicted), subject_weights(table.subject, 5, seed)
        for metric, wanted in {
            "mae": mean_absolute_error, "rmse": root_mean_squared_error, "r2": r2_score,
        }.items():  # fmt: skip
            each = [wanted(*pair, sample_weight=own) for own in weights]
            assert score(metric, table, weights) == pytest.approx(each)

    def test_against_definitions(self, seed: int):
        table = make_table(seed)
        x, y = table.predicted.to_numpy(), table.value.to_numpy()
        gap = x - y
        line = LinearRegression().fit(x[:, None], y)
        expected = {
            "ccc": 2 * np.cov(x, y, ddof=0)[0, 1]
            / (x.var() + y.var() + (x.mean() - y.mean()) ** 2),
            "calibration_slope": line.coef_[0],
            "bias": gap.mean(),
            "agreement_low": gap.mean() - 1.96 * gap.std(ddof=1),
            "agreement_high": gap.mean() + 1.96 * gap.std(ddof=1),
        }  # fmt: skip
        assert {name: score(name, table)[0] for name in expected} == pytest.approx(expected)

    @pytest.mark.parametrize("metric", NUMBERS)
    def test_a_weight_is_a_repetition(self, seed: int, metric: str):
        table = make_table(seed)
        weights = subject_weights(table.subject, 4, seed)
        repeated = [table.loc[table.index.repeat(own.astype(int))] for own in weights]
        expected = [score(metric, part)[0] for part in repeated]
        assert score(metric, table, weights) == pytest.approx(expected)

    @pytest.mark.parametrize("metric", NUMBERS)
    def test_far_from_zero_no_digit_is_lost(self, seed: int, metric: str):
        near, far = make_table(seed), make_table(seed)
        far[["value", "predicted"]] += 1e7
        assert score(metric, far) == pytest.approx(score(metric, near), rel=1e-5)


class TestDegenerate:
    @pytest.mark.parametrize("metric", NUMBERS)
    def test_perfect_predictions_score_best(self, metric: str):
        table = make_table()
        found = score(metric, table.assign(predicted=table.value))
        assert found == pytest.approx(METRICS[metric].best, abs=1e-9)

    def test_one_value_has_no_share_explained(self):
        table = make_table().assign(value=7.1)
        assert np.isnan(score("r2", table)[0])
        assert score("ccc", table)[0] == pytest.approx(0, abs=1e-9)

    def test_one_guess_for_all_has_no_slope(self):
        table = make_table().assign(predicted=7.1)
        assert np.isnan(score("calibration_slope", table)[0])

    def test_one_image_has_no_limits(self):
        assert np.isnan(score("agreement_high", make_table(rows=1))[0])

    def test_an_unknown_score_has_an_unknown_interval(self):
        table = make_table().assign(value=7.1)
        weights = subject_weights(table.subject, 9, 0)
        found = estimate(score_draws([table, table], "r2", weights), 0.95)
        assert np.isnan([found.value, found.low, found.high]).all()
        assert found.p == 1


ARMS = [
    Arm("scratch", "", "finetune"),
    Arm("raw pixels", "", "pixels"),
    Arm("mae (fine-tuned)", "mae", "finetune"),
]


def judge(gain: float) -> tuple[dict, pd.DataFrame]:
    """Verdict and results where pretraining lowers every error by a gain, and pixels are worst."""
    rng, names = np.random.default_rng(0), [f"s{k}" for k in range(80)]
    value = rng.normal(100, 30, 80)
    error = rng.normal(20, 4, 80)
    tables = {}
    for arm in ARMS:
        own = error - gain * bool(arm.method) + 5 * (arm.adaptation == "pixels")
        tables[arm.name, "5"] = [
            pd.DataFrame(
                {"subject": names, "value": value, "predicted": value + own + rng.normal(0, 1, 80)}
            )
            for _ in range(3)
        ]
    protocol = Protocol(resamples=300)
    scores = score_all(tables, NUMBERS, protocol, 0)
    findings = compare(scores, ARMS, "mae", protocol)
    verdict = conclude(findings, "mae", "subjects", 80, "mm")
    return verdict, tabulate(scores, ARMS, findings, "mae", 0.95)


class TestDirection:
    @pytest.mark.parametrize(
        ("gain", "word"), [(5, "helps"), (-5, "hurts"), (0, "no evidence")], ids=str
    )
    def test_less_error_helps(self, gain: float, word: str):
        verdict, results = judge(gain)
        (budget,) = verdict["budgets"]
        assert budget["verdict"] == word
        assert budget["reference"] == "scratch"
        assert budget["difference"]["value"] == pytest.approx(-gain, abs=0.5)
        assert ("do not pretrain" in verdict["sentence"]) == (word != "helps")
        assert set(results.metric) == set(NUMBERS)

    def test_the_sentence_tells_unit_and_direction(self):
        sentence = judge(5)[0]["sentence"]
        assert sentence.startswith("Pretraining helps with 5 subjects")
        assert " mm MAE [-5." in sentence
        assert "(lower is better)" in sentence

    def test_intervals_keep_to_what_is_possible(self):
        _, results = judge(0)
        for name, rows in results.groupby("metric"):
            least, most = METRICS[str(name)].bounds
            assert rows.low.ge(least).all()
            assert rows.high.le(most).all()
        assert results.query("metric == 'mae'").high.gt(1).all()

    def test_large_differences_are_not_cut(self):
        assert judge(15)[0]["budgets"][0]["difference"]["value"] < -10


class TestBudgets:
    table = pd.DataFrame(
        {
            "subject": [f"s{k % 53:02d}" for k in range(70)],
            "value": np.random.default_rng(0).gamma(1, 50, 70),
            "label": -1,
        }
    )

    def draw(self, budgets: tuple[int, ...]) -> list:
        rows = np.arange(len(self.table))
        return draw_subsets(self.table, rows, budgets, 3, 0, stratified=False, even=True)

    def test_every_budget_spans_the_values(self):
        fifths = number_quantiles(self.table)
        for subset in self.draw((5, 10, 25)):
            own = pd.DataFrame({"s": self.table.subject[subset.rows], "fifth": fifths[subset.rows]})
            counts = own.drop_duplicates().fifth.value_counts()
            assert len(counts) == 5
            assert counts.max() - counts.min() <= 1

    def test_budgets_count_subjects_and_are_nested(self):
        drawn = {(s.budget, s.draw): set(self.table.subject[s.rows]) for s in self.draw((5, 12))}
        for draw in range(3):
            assert len(drawn["5", draw]) == 5
            assert len(drawn["12", draw]) == 12
            assert drawn["5", draw] < drawn["12", draw] < drawn["all", draw]
        assert drawn["5", 0] != drawn["5", 1]

    def test_a_fifth_is_of_the_subjects_mean(self):
        fifths = number_quantiles(self.table)
        means = self.table.groupby("subject").value.mean()
        low = self.table.subject.map(means) <= means.quantile(0.19)
        assert (fifths[low] == 0).all()

    def test_unknown_values_have_a_stratum_of_their_own(self):
        table = self.table.assign(value=self.table.value.where(self.table.index > 40))
        fifths = number_quantiles(table)
        assert set(fifths) == {-1, 0, 1, 2, 3, 4}


class TestRidge:
    def test_learns_in_the_unit_of_the_values(self):
        rng = np.random.default_rng(0)
        features = rng.normal(0, 1, (60, 5)).astype(np.float32)
        values = 4000 + 300 * features[:, 0]
        model = fit_ridge(features, values, np.arange(60).astype(str))
        assert np.abs(model.predict(features) - values).mean() < 60

    def test_penalty_is_chosen_by_subject(self):
        """Images that give away their subject, and values that are noise: penalty must be high."""
        rng = np.random.default_rng(0)
        names = np.repeat([f"s{k}" for k in range(30)], 6)
        values = np.repeat(rng.normal(0, 1, 30), 6)
        features = np.repeat(rng.normal(0, 1, (30, 40)), 6, axis=0)
        features += rng.normal(0, 0.01, features.shape)
        chosen = fit_ridge(features, values, names)[-1].alpha
        leaky = fit_ridge(features, values, np.arange(len(names)).astype(str))[-1].alpha
        assert chosen > leaky

    def test_a_feature_that_was_constant_does_not_explode(self):
        rng = np.random.default_rng(0)
        features = np.column_stack([rng.normal(0, 1, 30), 1 + 1e-9 * rng.normal(0, 1, 30)])
        model = fit_ridge(features, features[:, 0] * 10, np.arange(30).astype(str))
        assert abs(model.predict(np.array([[0.0, 2.0]]))[0]) < 60

    def test_one_subject(self):
        model = fit_ridge(np.ones((2, 3)), np.array([4.0, 6.0]), np.array(["a", "a"]))
        assert model.predict(np.ones((1, 3))) == pytest.approx(5)


class TestRegressor:
    @pytest.fixture
    def head(self):
        torch.manual_seed(0)
        return HEADS["regression"].load()(NETWORKS["cnn"].load().sized(2, 1, (16, 16)), None, 1)

    def test_starts_at_the_mean_of_the_labels_it_is_fitted_to(self, head):
        head.prime(torch.tensor([3000.0, 3100, 3200]))
        guess = head.predict(torch.randn(2, 1, 16, 16))
        assert torch.allclose(guess, torch.tensor(3100.0), rtol=0.05)

    def test_loss_does_not_hang_on_the_unit(self, head):
        images, mm = torch.randn(4, 1, 16, 16), torch.tensor([10.0, 20, 25, 40])
        losses = []
        for target in (mm, mm / 1000):
            head.prime(target)
            losses.append(head.loss(images, target).item())
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)

    def test_images_that_share_most_are_told_apart(self, head):
        shared = torch.randn(1, 1, 16, 16)
        images = shared + 0.1 * torch.randn(16, 1, 16, 16)
        with torch.no_grad():
            given = head.head[0](head.encoder(images))
        assert torch.allclose(given.mean(0), torch.zeros(()), atol=1e-2)
        assert given.var(0, correction=0).median() > 0.5

    def test_one_image_is_predicted_as_in_a_batch(self, head):
        head.loss(torch.randn(8, 1, 16, 16), torch.randn(8))
        images = torch.randn(3, 1, 16, 16)
        head.eval()
        alone = torch.cat([head.predict(image[None]) for image in images])
        assert torch.allclose(alone, head.predict(images), atol=1e-5)

    def test_one_label(self, head):
        head.prime(torch.tensor([12.0]))
        assert torch.isfinite(head.loss(torch.randn(1, 1, 16, 16), torch.tensor([12.0])))


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright discs on noise; the value is their diameter."""
    rng = np.random.default_rng(0)
    sizes, places = rng.uniform(5, 18, 80), rng.uniform(9, 15, (80, 2, 1, 1))
    away = np.linalg.norm(np.indices((24, 24)) - places, axis=1)
    images = 100 * (away < sizes[:, None, None] / 2) + rng.normal(60, 15, away.shape)
    file = tmp_path_factory.mktemp("discs") / "discs.npz"
    np.savez(file, images=images.clip(0, 255).astype(np.uint8), values=sizes)
    return file


@pytest.fixture(scope="module")
def finished(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "sizes"
    choices = {"methods": ("mae",), "epochs": 1, "steps": 25, "budgets": (5,), "draws": 1}
    tassl.run(discs, out=out, **choices, **CHOICES)
    return out


def test_a_planted_size_is_learnt(discs: Path, tmp_path: Path):
    scores = tassl.adapt(discs, out=tmp_path / "run", steps=40, **CHOICES).scores
    assert scores["mae"] < 2  # 3.3 is what the middle of the range scores
    assert scores["r2"] > 0.6


@pytest.mark.slow
class TestWholeJob:
    def test_the_nearest_images_tell_the_size_too(self, finished: Path):
        found = pd.read_csv(finished / "checks" / "neighbours.csv").set_index(["arm", "budget"])
        assert found.loc[("raw pixels", "all"), "score"] < 2  # 3.3 by the middle of the range
        assert "agreement-0" in (finished / "report.html").read_text(encoding="utf-8")

    def test_the_pixels_tell_the_size(self, finished: Path):
        results = pd.read_csv(finished / "results.csv").set_index(["arm", "budget", "metric"])
        assert results.loc[("raw pixels", "all", "mae"), "mean"] < 1

    def test_the_rate_with_the_least_error_is_chosen(self, finished: Path):
        told = [json.loads(file.read_text()) for file in (finished / "tuning").glob("*.json")]
        trained = [facts for facts in told if "validation" in facts]
        assert trained
        for facts in trained:
            assert facts["validation"][facts["chosen"]] == min(facts["validation"].values())

    def test_the_report_says_which_way_is_better(self, finished: Path):
        page = (finished / "report.html").read_text()
        assert "Lower is better; coloured" in page
        assert "Left of the line at zero the pretrained arm is better" in page
        assert "Largest errors" in page
        assert "MAE" in page

    def test_labels_of_the_test_side_do_not_reach_the_fit(self, finished: Path):
        used = {i for s in json.loads((finished / "subsets.json").read_text()) for i in s["images"]}
        tested = pd.read_parquet(next((finished / "predictions").glob("*.parquet"))).id
        assert used.isdisjoint(tested)


class TestData:
    def test_a_table_brings_the_unit(self, discs: Path, tmp_path: Path):
        from PIL import Image

        data = np.load(discs)
        (tmp_path / "images/all").mkdir(parents=True)
        (tmp_path / "images/none").mkdir()
        for k, pixels in enumerate(data["images"][:40]):
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
                tmp_path / f"images/all/p{k}.png"
            )
        rows = pd.DataFrame({"file": [f"p{k}.png" for k in range(40)],
                             "size (mm)": data["values"][:40]})  # fmt: skip
        rows.to_csv(tmp_path / "sizes.csv", index=False)
        found = tassl.adapt(
            tmp_path / "images", csv=str(tmp_path / "sizes.csv"), out=tmp_path / "run", steps=2,
            labels=5, **CHOICES,
        )  # fmt: skip
        assert set(found.scores) == set(NUMBERS)
        assert json.loads((tmp_path / "run/audit.json").read_text())["unit"] == "mm"

    @pytest.mark.parametrize("values", [[1.0] * 24, [np.nan] * 24], ids=["one value", "none"])
    def test_values_that_cannot_be_learnt(self, values: list[float], tmp_path: Path):
        images = np.random.default_rng(0).integers(0, 255, (24, 16, 16)).astype(np.uint8)
        np.savez(tmp_path / "d.npz", images=images, values=np.array(values))
        with pytest.raises(InputError, match=r"same|needs values"):
            tassl.run(tmp_path / "d.npz", out=tmp_path / "run", **CHOICES)


@pytest.mark.slow
def test_shuffled_values_give_no_evidence(discs: Path, tmp_path: Path):
    outcome = tassl.run(
        discs, out=tmp_path / "run", shuffle_labels=True, methods=("mae",), epochs=2, steps=20,
        budgets=(5, 25), draws=2, **CHOICES,
    )  # fmt: skip
    assert {entry["verdict"] for entry in outcome.verdict["budgets"]} == {"no evidence"}
