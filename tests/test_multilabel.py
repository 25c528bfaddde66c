"""Several findings per image: how they are read, split, learnt, scored and told."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score
from typer.testing import CliRunner

import tassl
from tassl.advisor import advise
from tassl.advisor.evidence.own_runs import read_run
from tassl.cli import app
from tassl.data.audit.balance import check_balance
from tassl.data.layouts import index
from tassl.data.layouts.table import join
from tassl.data.phantom import PhantomSpec, draw_cohort, save_npz
from tassl.data.phantom.findings import NAMES, list_findings
from tassl.errors import InputError, OptionError
from tassl.evaluation.classification import BINS
from tassl.evaluation.finding_splits import draw_finding_subsets, number_rarest
from tassl.evaluation.metrics import METRICS
from tassl.evaluation.multilabel import split_findings
from tassl.evaluation.per_finding import score_findings
from tassl.evaluation.splits import Subset, draw_splits
from tassl.evaluation.statistics import score_draws, subject_weights
from tassl.heads import HEADS
from tassl.heads.findings_probe import fit_findings
from tassl.heads.multilabel import MultilabelClassifier
from tassl.heads.probe import fit_logistic, fit_probe
from tassl.networks import NETWORKS
from tassl.scouting.yardstick import probe_vectors
from tassl.study.choices import make_study
from tassl.study.narrator import Narrator
from tassl.study.preparation import prepare
from tassl.study.scouting import lay_ground
from tassl.study.trying import label_subsets

METRIC_NAMES = HEADS["multilabel"].metrics
KIND = {"modality": "ultrasound", "task": "multilabel"}
SMALL = KIND | {"steps": 3, "seed": 1, "quiet": True}
UNKNOWN = np.nan


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 images of 60 subjects; of every ninth image one answer is unknown."""
    spec = PhantomSpec(subjects=60, images_per_subject=2, size=20, seed=2)
    file = tmp_path_factory.mktemp("cohort") / "cohort.npz"
    arrays = dict(np.load(save_npz(draw_cohort(spec), file, findings=True)))
    arrays["labels"][::9, 1] = -1
    np.savez(file, **arrays)
    return file


# --- how they are read --------------------------------------------------------------------------


def write_table(folder: Path, text: str) -> Path:
    """A table beside the pictures a.png to d.png."""
    for name in "abcd":
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / f"{name}.png")
    file = folder / "table.csv"
    file.write_text(text)
    return file


class TestReading:
    def test_one_column_per_finding(self, tmp_path: Path):
        file = write_table(tmp_path, "file,nodule,edema\na.png,1,\nb.png,-1,0.0\nc.png,,-1\n")
        manifest = index(file)
        assert manifest.table.findings.tolist() == [(1, -1), (-1, 0), ()]
        assert manifest.classes == ("nodule", "edema")
        assert "findings 2 images: nodule (1), edema (0); 2 answers unknown" in manifest.account()

    def test_one_column_for_all(self, tmp_path: Path):
        """As ChestX-ray14 has them."""
        file = write_table(
            tmp_path,
            "Image Index,Finding Labels,Patient ID\na.png,Edema|Effusion,1\nb.png,No Finding,1\n"
            "c.png,Effusion,2\nd.png,,3\n",
        )
        manifest = index(file)
        assert manifest.classes == ("Edema", "Effusion")
        assert manifest.table.findings.tolist() == [(1, 1), (0, 0), (0, 1), ()]
        assert manifest.table.subject.tolist() == ["1", "1", "2", "3"]
        assert set(manifest.table.label) == {-1}

    def test_columns_that_are_named(self, tmp_path: Path):
        text = "file,label,nodule,edema,old\na.png,x,1,0,1\nb.png,y,0,1,0\n"
        file = write_table(tmp_path, text)
        assert index(file).classes == ("x", "y")
        manifest = index(file, label="old, nodule")
        assert manifest.classes == ("old", "nodule")
        assert manifest.table.findings.tolist() == [(1, 1), (0, 0)]
        with pytest.raises(OptionError, match="no column 'gone'"):
            index(file, label="nodule,gone")
        with pytest.raises(OptionError, match=r"'label'.* holds 'x'; wanted 1 and 0, and -1"):
            index(file, label="nodule,label")

    def test_findings_and_classes_never_stand_beside_each_other(self, tmp_path: Path, cohort: Path):
        manifest, file = index(cohort), tmp_path / "table.csv"
        assert manifest.classes == NAMES
        names = manifest.table.id[:2]
        file.write_text(f"file,label\n{names[0]},x\n{names[1]},y\n")
        manifest = manifest.__class__(
            **vars(manifest) | {"table": manifest.table.assign(file=manifest.table.id)}
        )
        joined = join(manifest, file)
        assert joined.classes == ("x", "y")
        assert not joined.table.findings.map(len).any()

    def test_arrays(self, tmp_path: Path):
        labels = np.array([[1, np.nan], [0, -1], [np.nan, -1]])
        file, images = tmp_path / "a.npz", np.zeros((3, 8, 8), np.uint8)
        np.savez(file, images=images, labels=labels, classes=np.array(["nodule", "edema"]))
        manifest = index(file)
        assert manifest.table.findings.tolist() == [(1, -1), (0, -1), ()]
        assert manifest.classes == ("nodule", "edema")
        np.savez(file, images=images, labels=labels, classes=np.array(["nodule"]))
        with pytest.raises(InputError, match="classes name 1 classes, labels go to 1"):
            index(file)

    def test_splits_of_different_findings(self, tmp_path: Path):
        images, file = np.zeros((2, 8, 8), np.uint8), tmp_path / "a.npz"
        both = {f"{side}_images": images for side in ("train", "test")}
        np.savez(file, **both, train_labels=np.eye(2, dtype=int), test_labels=np.ones((2, 3), int))
        with pytest.raises(InputError, match="2 and 3 findings per image"):
            index(file)

    def test_phantom(self):
        cohort = draw_cohort(PhantomSpec(subjects=40, size=20, seed=3))
        found = list_findings(cohort)
        assert found.shape == (len(cohort), len(NAMES))
        assert (found[:, 0] == (cohort.labels > 0)).all()
        assert not (found[:, 1] & found[:, 2]).any()
        largest = cohort.diameters_px.argmax()
        assert found[largest, 1:3].tolist() == [1, 0]


# --- how they are split -------------------------------------------------------------------------


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Images of three findings, of one to three per subject; some answers are unknown."""
    rows = []
    for subject in range(draw(st.integers(4, 25))):
        for _ in range(draw(st.integers(1, 3))):
            found = tuple(draw(st.lists(st.sampled_from([0, 0, 1, -1]), min_size=3, max_size=3)))
            rows.append({"subject": f"s{subject}", "findings": found if max(found) >= 0 else ()})
    return pd.DataFrame(rows)


def count_subjects(table: pd.DataFrame) -> np.ndarray:
    """Subjects with each finding, then without, one by one."""
    shown, lacking = np.zeros((2, 3), dtype=int)
    for _, own in table.groupby("subject"):
        for k in range(3):
            answers = {row[k] for row in own.findings if len(row)}
            shown[k] += 1 in answers
            lacking[k] += 0 in answers and 1 not in answers
    return np.concatenate([shown, lacking])


class TestSubsets:
    BUDGETS = (1, 2, 5)

    @settings(max_examples=60, deadline=None)
    @given(tables(), st.integers(0, 100))
    def test_properties(self, table: pd.DataFrame, seed: int):
        usable = np.flatnonzero(table.findings.map(len))
        if not len(usable):
            return
        subsets = draw_finding_subsets(table, usable, self.BUDGETS, 2, seed)
        total = count_subjects(table.iloc[usable])
        for subset in subsets:
            own, known = table.iloc[subset.rows], table.iloc[usable]
            assert len(own) == known.subject.isin(own.subject).sum()
            if subset.budget != "all":
                assert (count_subjects(own) >= np.minimum(int(subset.budget), total)).all()
        assert [s.rows.tolist() for s in subsets if s.budget == "all"] == [usable.tolist()] * 2
        for draw in range(2):
            rows = [set(s.rows) for s in subsets if s.draw == draw]
            assert all(small <= large for small, large in itertools.pairwise(rows))
        names = list(dict.fromkeys(subset.budget for subset in subsets))
        sizes = [sum(len(s.rows) for s in subsets if s.budget == name) for name in names]
        assert sizes == sorted(set(sizes))
        again = draw_finding_subsets(table, usable, self.BUDGETS, 2, seed)
        assert [s.rows.tolist() for s in again] == [s.rows.tolist() for s in subsets]

    @staticmethod
    def chest(subjects: int = 400, seed: int = 0) -> pd.DataFrame:
        """Findings as uneven as in chest radiographs."""
        rng = np.random.default_rng(seed)
        found = (rng.random((subjects, 4)) < (0.02, 0.05, 0.2, 0.4)).astype(int)
        rows = {"subject": [f"s{k}" for k in range(subjects)], "findings": list(map(tuple, found))}
        return pd.DataFrame(rows).assign(split="", masked=False)

    def draw(self, seed: int = 0, budgets: tuple[float, ...] = (5, 10)) -> list[Subset]:
        table = self.chest()
        return draw_finding_subsets(table, np.arange(len(table)), budgets, 3, seed)

    def test_few_subjects_serve_several_findings(self):
        sizes = {subset.budget: len(subset.rows) for subset in self.draw()}
        assert sizes["5"] <= 2 * 4 * 5 / 1.5
        assert sizes["5"] < sizes["10"] < sizes["all"] == 400

    def test_draws_and_seeds_differ(self):
        first, other = self.draw(), self.draw(seed=1)
        rows = {tuple(s.rows) for s in (*first, *other) if s.budget == "5"}
        assert len(rows) == 6

    def test_shares(self):
        names = {subset.budget for subset in self.draw(budgets=(0.01, 0.1, 0.5))}
        assert names == {"1%", "10%", "50%", "all"}

    def test_every_side_of_a_split_has_the_rarest(self):
        table = self.chest()
        table["label"] = number_rarest(table)
        split = draw_splits(table, 0.1, 0.25, 0)
        found = np.array(table.findings.tolist())
        shown = {side: found[split == side].sum(0) for side in ("train", "val", "test")}
        rarest = found[:, 0].sum()
        assert shown["test"][0] == round(0.25 * rarest)
        assert shown["val"][0] == round(0.1 * (rarest - shown["test"][0]))
        assert np.min(list(shown.values())) > 0

    def test_rarest_finding(self):
        rows = [
            ("a", (1, 1)),
            ("a", (0, 0)),
            ("b", (0, 1)),
            ("c", (0, -1)),
            ("d", ()),
            ("e", (1, 0)),
        ]
        table = pd.DataFrame([*rows, ("f", (0, 1))], columns=["subject", "findings"])
        assert number_rarest(table).tolist() == [1, 1, 2, 0, -1, 1, 2]


# --- how they are learnt ------------------------------------------------------------------------


@pytest.fixture
def head() -> MultilabelClassifier:
    torch.manual_seed(0)
    return MultilabelClassifier(NETWORKS["cnn"].load().sized(2, 1, (16, 16)), None, 3)


IMAGES = torch.randn(5, 1, 16, 16, generator=torch.Generator().manual_seed(0))
ANSWERS = torch.tensor(
    [[1, 0, UNKNOWN], [0, 0, 1], [UNKNOWN] * 3, [1, UNKNOWN, UNKNOWN], [1, 0, 0]]
)


class TestHead:
    def test_loss_against_a_slow_loop(self, head: MultilabelClassifier):
        scores, losses = head(IMAGES).double(), []
        for i, k in itertools.product(range(5), range(3)):
            chance = 1 / (1 + torch.exp(-scores[i, k]))
            if ANSWERS[i, k] == 1:
                losses.append(-torch.log(chance))
            elif ANSWERS[i, k] == 0:
                losses.append(-torch.log(1 - chance))
        assert len(losses) == 9
        wanted = torch.stack(losses).mean()
        assert head.loss(IMAGES, ANSWERS).item() == pytest.approx(wanted.item(), rel=1e-5)

    def test_unknown_answers_teach_nothing(self, head: MultilabelClassifier):
        loss = head.loss(IMAGES, torch.full((5, 3), UNKNOWN))
        loss.backward()
        assert loss.item() == 0
        assert all(not w.grad.any() for w in head.parameters() if w.grad is not None)

    def test_starts_at_the_prevalence(self, head: MultilabelClassifier):
        head.prime(ANSWERS)
        assert head.head[-1].bias.sigmoid().tolist() == pytest.approx([4 / 6, 1 / 5, 2 / 4])

    def test_findings_are_independent(self, head: MultilabelClassifier):
        with torch.no_grad():
            head.head[-1].bias.fill_(9.0)
            assert (head.predict(IMAGES) > 0.9).all()


class TestProbe:
    @pytest.fixture
    def data(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        features = rng.normal(0, 1, (60, 5))
        findings = (features[:, :3] + rng.normal(0, 0.3, (60, 3)) > 0).astype(float)
        findings[::4, 1], findings[:, 2] = UNKNOWN, 1
        return features, findings, np.array([f"s{k // 2}" for k in range(60)])

    def test_each_finding_has_a_model_of_its_known_rows(self, data):
        """The first, which has most contrast, chooses the strength of both."""
        features, findings, subjects = data
        found = fit_findings(features, findings, subjects, 0).predict_proba(features)
        first = fit_probe(features, findings[:, 0].astype(int), subjects, 0)
        assert found[:, 0] == pytest.approx(first.predict_proba(features)[:, 1])
        known = np.isfinite(findings[:, 1])
        own = fit_logistic(features[known], findings[known, 1].astype(int), first[-1].C)
        assert found[:, 1] == pytest.approx(own.predict_proba(features)[:, 1])

    def test_a_finding_without_contrast_is_constant(self, data):
        features, findings, subjects = data
        for answer, wanted in ((1, 1), (0, 0), (UNKNOWN, 0)):
            findings[:, 2] = answer
            found = fit_findings(features, findings, subjects, 0).predict_proba(features)
            assert set(found[:, 2]) == {wanted}


# --- how they are scored ------------------------------------------------------------------------


def make_table(seed: int = 0, rows: int = 60, findings: int = 4) -> pd.DataFrame:
    """Predictions with ties and unknown answers; the last finding is never shown."""
    rng = np.random.default_rng(seed)
    answers = (rng.random((rows, findings)) < 0.3).astype(float)
    scores = np.round(np.clip(0.3 * answers + rng.random((rows, findings)) * 0.7, 0, 1), 2)
    answers[:, -1] = 0
    answers[rng.random(answers.shape) < 0.1] = UNKNOWN
    named = {f"score_{k}": scores[:, k] for k in range(findings)}
    named |= {f"finding_{k}": answers[:, k] for k in range(findings)}
    return pd.DataFrame({"subject": [f"s{k // 2}" for k in range(rows)]} | named)


def score(metric: str, table: pd.DataFrame, weights: np.ndarray | None = None) -> np.ndarray:
    return METRICS[metric].score(table, np.ones((1, len(table))) if weights is None else weights)


def average(table: pd.DataFrame, single, findings: int = 3) -> float:
    """Mean of a score of known answers, over the findings that have both."""
    scores = []
    for k in range(findings):
        own = table[table[f"finding_{k}"].notna()]
        scores.append(single(own[f"finding_{k}"].to_numpy(), own[f"score_{k}"].to_numpy()))
    return float(np.mean(scores))


def calibration_error(shown: np.ndarray, scores: np.ndarray) -> float:
    total = 0.0
    for k in range(BINS):
        inside = (scores > k / BINS) & (scores <= (k + 1) / BINS) | (k == 0) & (scores == 0)
        if inside.any():
            total += inside.sum() * abs(scores[inside].mean() - shown[inside].mean())
    return total / len(scores)


@pytest.mark.parametrize("seed", range(3))
class TestScores:
    def test_against_references(self, seed: int):
        table = make_table(seed)
        for metric, single in {
            "mean_auroc": roc_auc_score,
            "mean_auprc": average_precision_score,
            "mean_ece": calibration_error,
        }.items():
            assert score(metric, table)[0] == pytest.approx(average(table, single))

    def test_brier_counts_known_answers_of_each_image(self, seed: int):
        table = make_table(seed)
        errors = []
        for _, row in table.iterrows():
            known = [k for k in range(4) if row[f"finding_{k}"] in (0, 1)]
            gaps = [(row[f"finding_{k}"] - row[f"score_{k}"]) ** 2 for k in known]
            errors += [sum(gaps) / len(gaps)] if gaps else []
        assert score("mean_brier", table)[0] == pytest.approx(np.mean(errors))

    @pytest.mark.parametrize("metric", METRIC_NAMES)
    def test_a_weight_is_a_repetition(self, seed: int, metric: str):
        """Also where a resample leaves a finding without contrast."""
        table = make_table(seed, rows=14)
        weights = subject_weights(table.subject, 30, seed)
        repeated = [table.loc[table.index.repeat(own.astype(int))] for own in weights]
        expected = [score(metric, part)[0] for part in repeated]
        assert score(metric, table, weights) == pytest.approx(expected, nan_ok=True)

    def test_single_findings_make_up_the_mean(self, seed: int):
        tables = [make_table(seed), make_table(seed).assign(score_1=0.5)]
        found = score_findings({"arm": tables}, "abcd", 0.95)
        assert [(row.arm, row.finding) for row in found] == [("arm", name) for name in "abcd"]
        assert found[-1].score is None
        assert found[-1].shown == 0
        weights = subject_weights(tables[0].subject, 9, 0)
        means = score_draws(tables, "mean_auroc", weights).observed
        values = [row.score.value for row in found[:3] if row.score]
        assert np.mean(values) == pytest.approx(means.mean())
        for row, (rows, own) in zip(found, split_findings(tables[0]), strict=True):
            assert (row.known, row.shown) == (len(rows), own.label.sum())


class TestDegenerate:
    @pytest.mark.parametrize("metric", METRIC_NAMES)
    def test_perfect_predictions_score_best(self, metric: str):
        table = make_table()
        told = {f"score_{k}": table[f"finding_{k}"].fillna(0.5) for k in range(4)}
        assert score(metric, table.assign(**told)) == pytest.approx(METRICS[metric].best)

    def test_without_any_contrast_there_is_no_ranking(self):
        table = make_table().assign(**{f"finding_{k}": 1.0 for k in range(4)})
        assert np.isnan([score(name, table)[0] for name in ("mean_auroc", "mean_auprc")]).all()

    def test_paired_differences_of_equal_arms_are_zero(self):
        table = make_table()
        weights = subject_weights(table.subject, 50, 0)
        first = score_draws([table, make_table(5)], "mean_auroc", weights)
        assert not first.minus(first).resampled.any()
        assert np.isfinite(first.resampled).all()


# --- the whole job ------------------------------------------------------------------------------


def test_shares_of_findings_are_checked_before_training():
    rows = [(f"s{k}", (1, int(k < 3), 0), "test" if k % 2 else "train") for k in range(20)]
    table = pd.DataFrame(rows, columns=["subject", "findings", "split"]).assign(label=-1)
    rare, absent = check_balance(table, table.split.to_numpy(), ("a", "b", "c"))
    assert rare.items == ("b: 1 subject",)
    assert absent.items == (
        "a in train: 10 subjects with, 0 without", "c in train: 0 subjects with, 10 without",
        "a in test: 10 subjects with, 0 without", "c in test: 0 subjects with, 10 without",
    )  # fmt: skip


class TestRefusals:
    @pytest.mark.parametrize("option", ["fixmatch", "ordinal"])
    def test_options_for_one_class_per_image(self, option: str):
        with pytest.raises(OptionError, match=f"--{option} is for classes, one per image"):
            make_study("x", **KIND, **{option: True}).check()

    @pytest.mark.parametrize("task", ["classification", "regression"])
    def test_other_tasks_name_this_one(self, cohort: Path, tmp_path: Path, task: str):
        with pytest.raises(InputError, match=r"Use --task multilabel"):
            tassl.adapt(cohort, **SMALL | {"task": task}, out=tmp_path / "out")

    def test_classes_are_no_findings(self, cohort: Path, tmp_path: Path):
        arrays = dict(np.load(cohort))
        del arrays["classes"]
        file = tmp_path / "classes.npz"
        np.savez(file, **arrays | {"labels": arrays["labels"][:, 0]})
        with pytest.raises(InputError, match="multilabel needs findings; these data hold class"):
            tassl.adapt(file, **SMALL, out=tmp_path / "out")

    def test_findings_that_all_images_show(self, cohort: Path, tmp_path: Path):
        arrays = dict(np.load(cohort))
        file = tmp_path / "all.npz"
        np.savez(file, **arrays | {"labels": np.ones_like(arrays["labels"])})
        with pytest.raises(InputError, match="No finding is shown by some train images and not"):
            tassl.adapt(file, **SMALL, out=tmp_path / "out")


def test_adapt(cohort: Path, tmp_path: Path):
    adapted = tassl.adapt(cohort, **SMALL, out=tmp_path / "out", labels=3)
    assert list(adapted.scores) == list(METRIC_NAMES)
    table = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    assert table.filter(like="finding_").isna().any().any()
    assert table.filter(like="score_").to_numpy().sum(1) != pytest.approx(1)


def test_the_scout_scores_features_that_tell_half_of_the_findings(cohort: Path, tmp_path: Path):
    study = make_study(cohort, **KIND, steps=2)
    prepared = prepare(study, tmp_path, Narrator(quiet=True))
    ground = lay_ground(study, prepared)
    truth = np.nan_to_num(ground.bench.target[ground.rows], nan=0.5)
    truth[:, 2:] = np.random.default_rng(0).normal(0, 1, truth[:, 2:].shape)
    scores = probe_vectors(ground, truth)["frozen"]
    assert len(scores) == len(ground.parts) >= 4
    assert np.mean(scores) == pytest.approx(0.75, abs=0.1)
    assert len(label_subsets(study, prepared)) >= 4


def test_evidence_of_classification_is_told():
    found, like = (advise("xray", task, labels=500) for task in ("multilabel", "classification"))
    assert found.ranking == like.ranking
    assert found.because[:-1] == like.because
    assert "classification" in found.because[-1]
    told = CliRunner().invoke(app, ["advise", "--modality", "xray", "--task", "multilabel"])
    assert told.exit_code == 0, told.output


@pytest.mark.slow
def test_run(cohort: Path, tmp_path: Path):
    out = tmp_path / "run"
    outcome = tassl.run(
        cohort, **SMALL, out=out, methods=("simclr",), epochs=1, budgets=(4,), draws=2
    )
    assert outcome.verdict["metric"] == "mean_auroc"
    assert "Mean AUROC" in outcome.verdict["sentence"]
    assert {"raw pixels", "simclr (frozen)", "simclr (fine-tuned)"} <= set(outcome.results.arm)
    table = pd.read_csv(out / "checks" / "per_finding.csv")
    assert list(table.finding.unique()) == list(NAMES)
    audit = json.loads((out / "audit.json").read_text())
    assert set(audit["splits"]["test"]["classes"]) == set(NAMES)
    page = outcome.report.read_text()
    assert "How well is each finding told?" in page
    assert "Largest errors" in page
    (case, *_) = read_run(out)["comparisons"]
    assert (case["task"], case["metric"]) == ("classification", "auroc")
