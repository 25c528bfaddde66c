"""Scores of restored images against references, and the task from end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from monai.metrics.regression import SSIMMetric
from tests.small_store import make_tensors

import tassl
from tassl.adaptation import Tuning, fit_head
from tassl.data.layouts import index
from tassl.data.phantom import PhantomSpec, draw_cohort, save_npz
from tassl.data.store import build_store, open_store
from tassl.data.tensors import Tensors, measure_normalisation
from tassl.errors import OptionError
from tassl.evaluation.finding import Arm
from tassl.evaluation.metrics import METRICS
from tassl.evaluation.reconstruction import measure_image, psnr, ssim
from tassl.heads.restorer import Restorer
from tassl.modality.base import Augmentation
from tassl.modality.preparing import clip_percentiles
from tassl.networks.residual import ResidualUNet
from tassl.report.loading import load_run
from tassl.report.restored import floors_table
from tassl.transforms.acquired import Acquired
from tassl.transforms.augment import Augment
from tassl.transforms.degradations import Degradation
from tassl.trials.bench import list_arms
from tassl.trials.serving import CLEAN, read_restored
from tassl.trials.targets.images import BlindExamples, DegradedExamples, HeldExamples

# (shape, (PSNR, SSIM, NRMSE)) of `draw_pair`, by scikit-image 0.26.0 with data_range=3:
# structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False),
# peak_signal_noise_ratio, normalized_root_mse(normalization="min-max").
SCIKIT_IMAGE = [
    ((28, 31), (23.013912934187893, 0.9559958249614161, 0.07086448213642704)),
    ((14, 15, 13), (23.011123755080284, 0.9654601065467486, 0.07073866755573167)),
]
SMALL = {"epochs": 1, "steps": 3, "budgets": (5,), "draws": 2, "methods": ("denoise",)}


def draw_pair(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays that any machine can rebuild without a generator."""
    steps = np.arange(np.prod(shape)).reshape(shape)
    clean = np.sin(steps * 0.37) + 0.5 * np.cos(steps * 0.011)
    return clean + 0.3 * np.sin(steps * 1.7), clean


class TestScores:
    @pytest.mark.parametrize(("shape", "wanted"), SCIKIT_IMAGE)
    def test_equal_to_scikit_image(self, shape: tuple[int, ...], wanted: tuple[float, ...]):
        restored, clean = draw_pair(shape)
        found = measure_image(restored[None], clean[None], 3.0)
        assert tuple(found.values()) == pytest.approx(wanted, rel=1e-6)

    @pytest.mark.parametrize("shape", [(24, 17), (13, 14, 15)])
    def test_equal_to_monai(self, shape: tuple[int, ...]):
        rng = np.random.default_rng(0)
        one, other = rng.normal(size=(2, *shape))
        metric = SSIMMetric(spatial_dims=len(shape), data_range=5.0)
        pair = (torch.from_numpy(image)[None, None] for image in (one, other))
        assert ssim(one, other, 5.0) == pytest.approx(metric(*pair).item(), abs=1e-5)

    def test_perfect(self):
        image = np.random.default_rng(0).normal(size=(2, 12, 12))
        found = measure_image(image, image, 4.0)
        assert found == {"psnr": 100.0, "ssim": pytest.approx(1.0), "nrmse": 0.0}

    def test_constant_image(self):
        flat = np.zeros((1, 12, 12))
        found = measure_image(flat + 0.1, flat, 1.0)
        assert found["psnr"] == pytest.approx(20.0)
        assert np.isnan(found["nrmse"])

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_what_is_not_finite_is_wrong_and_not_left_out(self, bad: float):
        clean = np.random.default_rng(0).random((1, 12, 12))
        found = measure_image(np.full_like(clean, bad), clean, 1.0)
        assert found["psnr"] == pytest.approx(0.0)
        assert np.isfinite(list(found.values())).all()
        half = np.where(np.arange(12) < 6, clean, bad)
        assert measure_image(half, clean, 1.0)["psnr"] == pytest.approx(10 * np.log10(2))

    def test_the_range_is_that_of_the_study(self):
        assert psnr(0.01, 2.0) == pytest.approx(psnr(0.01, 1.0) + 20 * np.log10(2))

    @pytest.mark.parametrize("side", [1, 4, 9])
    def test_images_smaller_than_the_window(self, side: int):
        image = np.random.default_rng(0).normal(size=(side, 20))
        assert ssim(image, image, 1.0) == pytest.approx(1.0)
        assert -1 <= ssim(image, -image, 1.0) < 1

    def test_metrics_are_means_over_images(self):
        table = pd.DataFrame({"psnr": [20.0, 30.0], "ssim": [0.5, 0.7], "nrmse": [0.1, np.nan]})
        scored = {n: METRICS[n].score(table, np.array([[1.0, 3.0]]))[0] for n in table}
        assert scored == pytest.approx({"psnr": 27.5, "ssim": 0.65, "nrmse": 0.1})
        assert METRICS["psnr"].name("dB") == "PSNR (dB)"
        assert [METRICS[n].sign for n in table] == [1, 1, -1]


def acquire(
    folder: Path, kind: str = "noise", dims: int = 2, *, paired: bool = True, strength: float = 0
) -> Acquired:
    clean: Tensors = make_tensors(folder, dims, 8)
    degradation = Degradation(kind, strength or (4.0 if kind == "undersample" else 0.5))
    return Acquired(clean.store, clean.normalisation, degradation, 0, 1.0, paired=paired)


def make_restorer(tensors: Acquired) -> Restorer:
    torch.manual_seed(0)
    dims = tensors.store.dims
    return Restorer(ResidualUNet(dims, 1, widths=(8, 16), stem=1), None, 1)


class TestRestorer:
    def test_starts_near_the_degraded_image(self, tmp_path: Path):
        tensors = acquire(tmp_path)
        found = tensors.measure(np.arange(3))
        with torch.no_grad():
            gap = make_restorer(tensors).restore(found) - found.images
        assert 0 < gap.abs().max() < 0.3

    @pytest.mark.parametrize("dims", [2, 3])
    def test_measured_lines_stay(self, tmp_path: Path, dims: int):
        tensors = acquire(tmp_path, "undersample", dims)
        found = tensors.measure(np.arange(3))
        with torch.no_grad():
            restored = make_restorer(tensors).restore(found)
        assert (restored - found.images).abs().max() > 1e-4
        back = found.degrader.blunt(restored, found.drawn)
        assert torch.allclose(back, found.images, atol=1e-4)

    def test_pixels_without_a_target_do_not_count(self, tmp_path: Path):
        tensors = acquire(tmp_path)
        found, head = tensors.measure(np.arange(3)), make_restorer(tensors)
        target = tensors.clean(np.arange(3))
        wanted = (head.restore(found) - target)[0].abs().mean()
        target[1:] = torch.nan
        loss = head.loss(found, target)
        assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
        loss.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in head.parameters())

    @pytest.mark.parametrize("kind", [DegradedExamples, BlindExamples])
    def test_learns_to_denoise(self, tmp_path: Path, kind: type, monkeypatch: pytest.MonkeyPatch):
        """Smooth images, so that neighbours tell of a pixel; without clean ones too."""
        tensors, rows = acquire(tmp_path), np.arange(8)
        place = torch.arange(16)[:, None] + torch.arange(20) + torch.arange(8).view(-1, 1, 1, 1)
        waves = torch.sin(place * 0.4) * 2**0.5
        monkeypatch.setattr(tensors, "clean", lambda rows: waves[rows])
        monkeypatch.setattr(tensors, "images", lambda rows: tensors.measure(rows).images)
        examples = kind(tensors, rows, torch.arange(8), Augment(Augmentation()))
        tuning = Tuning(fewest_steps=100, most_steps=100, passes=1, batch=8, learning_rate=3e-3)
        head = fit_head(make_restorer(tensors), examples, tuning=tuning, seed=0)
        found, clean = tensors.measure(rows), tensors.clean(rows)
        with torch.no_grad():
            after = (head.restore(found) - clean).square().mean()
        assert after < 0.8 * (found.images - clean).square().mean()

    def test_learns_from_undersampled_images_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """Bars at eight places: what was measured tells of lines that never were."""
        tensors, rows = acquire(tmp_path, "undersample", paired=False, strength=2.0), np.arange(8)
        place = torch.arange(16)[:, None] + torch.zeros(20) + 2 * torch.arange(8).view(-1, 1, 1, 1)
        bars = 2.0 * (place % 16 < 5)
        monkeypatch.setattr(tensors, "clean", lambda rows: bars[rows])
        examples = HeldExamples(tensors, rows, torch.arange(8), Augment(Augmentation()))
        tuning = Tuning(fewest_steps=80, most_steps=80, passes=1, batch=8, learning_rate=3e-3)
        head = fit_head(make_restorer(tensors), examples, tuning=tuning, seed=0)
        found = tensors.measure(rows)
        with torch.no_grad():
            after = (head.restore(found) - bars).square().mean()
        assert after < 0.8 * (found.images - bars).square().mean()

    def test_clean_images_are_never_asked_for_where_there_are_none(self, tmp_path: Path):
        tensors = acquire(tmp_path, "undersample", paired=False)
        examples = HeldExamples(tensors, np.arange(8), torch.arange(8), Augment(Augmentation()))
        seen, held = examples.batch(np.array([2, 5]), torch.Generator().manual_seed(0))
        acquired = tensors.images(np.array([2, 5]))
        assert torch.allclose(seen.images + held.images, acquired, atol=1e-5)

    def test_training_draws_fresh_noise_of_clean_views(self, tmp_path: Path):
        tensors = acquire(tmp_path)
        examples = DegradedExamples(tensors, np.arange(8), torch.arange(8), Augment(Augmentation()))
        chosen = np.array([2, 2])
        one, clean = examples.batch(chosen, torch.Generator().manual_seed(0))
        again, _ = examples.batch(chosen, torch.Generator().manual_seed(0))
        other, _ = examples.batch(chosen, torch.Generator().manual_seed(1))
        assert torch.allclose(clean, tensors.clean(chosen), atol=1e-5)
        assert torch.equal(one.images, again.images)
        assert not torch.allclose(one.images, other.images)
        assert not torch.allclose(one.images[0], one.images[1])


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Larger than a window along two axes."""
    file = tmp_path_factory.mktemp("volumes") / "volumes.npz"
    rng = np.random.default_rng(0)
    np.savez(file, images=rng.integers(0, 255, (2, 72, 10, 70), dtype=np.uint8))
    return file


class TestLargeVolumes:
    def acquire(self, file: Path, folder: Path, kind: str) -> Acquired:
        store = build_store(index(file), clip_percentiles, folder / "store", longest=72)
        normalisation = measure_normalisation(store, np.arange(2))
        return Acquired(store, normalisation, Degradation(kind, 2.0), 0, 1.0)

    @pytest.mark.parametrize(
        ("kind", "window"), [("noise", (64, 10, 64)), ("undersample", (72, 10, 64))]
    )
    def test_windows_keep_the_axis_of_the_lines(
        self, volumes: Path, tmp_path: Path, kind: str, window: tuple[int, ...]
    ):
        tensors = self.acquire(volumes, tmp_path, kind)
        assert tensors.window == window
        examples = DegradedExamples(tensors, np.arange(2), torch.arange(2), Augment(Augmentation()))
        seen, clean = examples.batch(np.array([1]), torch.Generator().manual_seed(0))
        assert seen.images.shape == clean.shape == (1, 1, *window)
        if kind == "undersample":
            assert torch.allclose(seen.agree(clean), clean, atol=1e-4)
            wanted = seen.degrader.blunt(clean, seen.drawn)
            assert torch.allclose(seen.images, wanted, atol=1e-4)

    def test_restored_by_windows_agrees_with_what_was_measured(self, volumes: Path, tmp_path: Path):
        tensors = self.acquire(volumes, tmp_path, "undersample")
        found, head = tensors.measure(np.arange(1)), make_restorer(tensors)
        with torch.no_grad():
            restored = head.restore(found, tensors.window)
        assert restored.shape == found.images.shape
        back = found.degrader.blunt(restored, found.drawn)
        assert torch.allclose(back, found.images, atol=1e-4)


def test_floors_stand_among_the_baselines():
    arms = list_arms("reconstruction", ["denoise"])
    assert [arm.name for arm in arms] == [
        "scratch",
        "random (frozen)",
        "degraded input",
        "total variation",
        "denoise (fine-tuned)",
    ]
    assert Arm("raw pixels", "", "pixels") not in arms


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = PhantomSpec(subjects=40, images_per_subject=1, size=16, seed=3)
    return save_npz(draw_cohort(spec), tmp_path_factory.mktemp("cohort") / "cohort.npz")


@pytest.fixture(scope="module")
def finished(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "first"
    choices = {"modality": "ultrasound", "task": "reconstruction", "degrade": "noise:0.3"}
    tassl.run(cohort, out=out, quiet=True, **choices, **SMALL)
    return out


class TestRun:
    def test_every_arm_and_metric(self, finished: Path):
        results = pd.read_csv(finished / "results.csv")
        assert set(results.arm) == {arm.name for arm in list_arms("reconstruction", ["denoise"])}
        assert set(results.metric) == {"psnr", "ssim", "nrmse"}
        mean = results[results.metric == "psnr"].groupby("arm")["mean"].mean()
        assert mean["total variation"] > mean["degraded input"]
        assert "dB PSNR" in json.loads((finished / "verdict.json").read_text())["sentence"]

    def test_arms_are_held_against_no_learning_at_all(self, finished: Path):
        table = pd.read_csv(finished / "checks" / "floors.csv")
        references = {"degraded input", "total variation"}
        assert set(table.reference.dropna()) == references
        assert set(table.arm[table.reference.isna()]) == references
        trained = {"scratch", "random (frozen)", "denoise (fine-tuned)"}
        assert set(table.arm[table.reference.notna()]) == trained
        results = pd.read_csv(finished / "results.csv").set_index(["metric", "budget", "arm"])
        row = table[(table.arm == "scratch") & (table.reference == "degraded input")].iloc[0]
        means = results.loc["psnr"].loc[row.group]["mean"]
        assert row.difference == pytest.approx(means["scratch"] - means["degraded input"], abs=2e-6)
        assert row.difference_low <= row.difference <= row.difference_high

    def test_the_task_is_scored_on_restored_images(self, finished: Path):
        table = pd.read_csv(finished / "checks" / "service.csv")
        arms = {arm.name for arm in list_arms("reconstruction", ["denoise"])}
        for task in ("segmentation", "classification"):
            rows = table[table.group == task].set_index("arm")
            assert set(rows.index) == arms | {CLEAN}
            degraded = rows.loc["degraded input"]
            assert np.isnan(degraded.difference)
            gaps = (rows.score - degraded.score - rows.difference).dropna()
            assert len(gaps) == len(arms)
            assert gaps.abs().max() < 2e-6
            assert rows.score.between(0, 1).all()
            assert rows.psnr.notna().sum() == len(arms)

    def test_the_report_shows_both(self, finished: Path):
        page = (finished / "report.html").read_text()
        for words in ("PSNR went up, and the task?", "Against no learning at all", CLEAN):
            assert words in page

    def test_a_damaged_table_leaves_the_report(self, finished: Path):
        run = load_run(finished)
        assert len(floors_table(run).rows) == 4, "two budgets, the verdict's arm and scratch"
        for bad in (None, pd.DataFrame({"reference": ["degraded input"]})):
            assert floors_table(replace(run, checks={"floors": bad})).rows == ()

    def test_images_restored_without_a_flaw_serve_as_clean_ones_do(
        self, finished: Path, tmp_path: Path
    ):
        store = open_store(finished / "store")
        tensors = Tensors(store, measure_normalisation(store, np.arange(len(store.table))))
        rows = np.array([3, 1, 7])
        file = tmp_path / "clean.npz"
        images = store.images[rows].astype(np.float32) * store.scale
        np.savez(file, ids=store.table.id.to_numpy(str)[rows], images=images)
        restored = read_restored(tensors, file)
        assert torch.allclose(
            restored.images(rows[[2, 0]]), tensors.images(rows[[2, 0]]), atol=1e-5
        )

    def test_what_was_degraded_and_the_range_stand_in_the_record(self, finished: Path):
        audit = json.loads((finished / "audit.json").read_text())
        assert audit["degradation"].startswith("Speckle noise (0.3 ")
        assert 0 < audit["data_range"] <= 1
        assert audit["unit"] == "dB"

    def test_floors_say_the_same_for_every_draw(self, finished: Path):
        tables = [
            pd.read_parquet(file).drop(columns=["budget", "draw"])
            for file in (finished / "predictions").glob("total-variation_*.parquet")
        ]
        assert len(tables) == 4
        assert all(table.equals(tables[0]) for table in tables)

    def test_noisy_images_alone(self, cohort: Path, tmp_path: Path):
        kind = {"modality": "ultrasound", "task": "reconstruction", "clean": "none"}
        found = tassl.adapt(cohort, out=tmp_path / "out", quiet=True, steps=3, **kind)
        assert 0 < found.scores["psnr"] < 100

    @pytest.mark.parametrize(
        ("choices", "words"),
        [
            ({"task": "classification", "degrade": "noise"}, "are for reconstruction"),
            ({"shuffle_labels": True}, "have none but themselves"),
            ({"clean": "none", "degrade": "blur"}, "blur has neither"),
            ({"degrade": "undersample"}, "is for mri"),
            ({"clean": "some"}, "No state of training images"),
        ],
    )
    def test_refused_in_one_line(self, cohort: Path, tmp_path: Path, choices: dict, words: str):
        kind = {"modality": "ultrasound", "task": "reconstruction"} | choices
        with pytest.raises(OptionError, match=words):
            tassl.run(cohort, out=tmp_path / "out", quiet=True, **kind)
        assert not (tmp_path / "out").exists()
