"""Planted marks are followed by what follows marks alone, corruption is the modality's own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from small_store import make_tensors
from tassl.data.phantom import PhantomSpec, draw_cohort, save_npz
from tassl.data.planting import BRIGHTEST, DARKEST, Mark, draw_mark
from tassl.data.shuffling import draw_shuffle
from tassl.data.tensors import Normalisation, Tensors
from tassl.errors import OptionError, UnknownName
from tassl.evaluation.finding import Arm
from tassl.evaluation.robustness import MEAN, measure_drops
from tassl.evaluation.splits import draw_splits, hold_out_site
from tassl.modality import MODALITIES
from tassl.study import controls
from tassl.study.checks import check_changes
from tassl.study.choices import make_study
from tassl.study.narrator import Narrator
from tassl.study.preparation import prepare
from tassl.study.trying import label_subsets, make_bench
from tassl.transforms.corruption import coarsen
from tassl.transforms.severities import RESOLUTION, SEVERITIES, list_corruptions
from tassl.trials import read_predictions, run_trials
from tassl.trials.varying import pick_subjects

SPACES = {2: (24, 20), 3: (12, 10, 9)}
PIXELS = Arm("raw pixels", "", "pixels")


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.manual_seed(0))


class TestMark:
    @pytest.mark.parametrize("dims", [2, 3])
    def test_its_brightness_tells_the_group_and_nothing_else_changes(self, dims: int):
        images, rows = draw(4, 2, *SPACES[dims]), np.arange(3, 7)
        mark = draw_mark(np.arange(12) % 3, np.arange(12), 0, following=1.0)
        marked = mark(images, rows)
        changed = marked != images
        window = (..., *[slice(size // 8, 2 * (size // 8)) for size in SPACES[dims]])
        assert changed[window].all()
        assert changed.sum() == changed[window].sum()
        middle = (DARKEST + BRIGHTEST) / 2
        levels = [DARKEST, middle, BRIGHTEST, DARKEST]  # groups 0, 1, 2, 0
        assert marked[window].flatten(1).unique(dim=1).flatten().tolist() == levels
        assert mark.reversed()(images, rows)[window][0].unique() == BRIGHTEST

    def test_subjects_share_it_and_nine_of_ten_follow(self):
        subjects, groups = np.repeat(np.arange(1000), 2), np.repeat(np.arange(1000) % 2, 2)
        groups[::2] = -1  # one image of each is not labelled
        levels = draw_mark(groups, subjects, 0).levels
        assert (levels[::2] == levels[1::2]).all()
        follows = (levels[1::2] == BRIGHTEST) == (groups[1::2] == 1)
        assert follows.mean() == pytest.approx(0.95, abs=0.02)  # half of the rest by chance

    def test_rows_outside_stay_as_they_are(self):
        images, mark = draw(3, 1, 16, 16), Mark(np.array([2.0, 2.0, 2.0]))
        inside = mark.within(np.array([True, False, True]))(images, np.arange(3))
        assert torch.equal(inside[1], images[1])
        assert not torch.equal(inside[0], images[0])


class TestShuffle:
    def test_grey_levels_stay_and_all_images_get_one_order(self):
        images = torch.arange(2 * 3 * 20.0).view(2, 3, 4, 5)
        mixed = draw_shuffle((4, 5), 0)(images, np.arange(2))
        assert not torch.equal(mixed, images)
        assert torch.equal(mixed.flatten(2).sort().values, images.flatten(2))
        assert torch.equal(mixed[0] + 60, mixed[1])


@pytest.mark.parametrize("dims", [2, 3])
def test_windows_are_cut_from_changed_images(tmp_path: Path, dims: int):
    tensors = make_tensors(tmp_path, dims)
    space = tensors.store.grid.shape
    changed = tensors.changed(draw_shuffle(space, 0), Mark(np.full(24, 2.0)))
    rows, size = np.array([5, 2]), [side // 2 for side in space]
    starts = np.array([[0] * dims, [2] * dims])
    windows, whole = changed.crops(rows, starts, size), changed.images(rows)
    for window, image, start in zip(windows, whole, starts, strict=True):
        cut = tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))
        assert torch.equal(window, image[(..., *cut)])
    assert torch.equal(
        tensors.images(rows), Tensors(tensors.store, tensors.normalisation).images(rows)
    )


class TestCorruption:
    @pytest.mark.parametrize("modality", MODALITIES)
    def test_is_the_modality_s_own(self, modality: str):
        ranges = MODALITIES[modality].load().augmentations["global"]
        channels = 3 if ranges.stain or ranges.illuminant else 1
        scale = Normalisation((0.5,) * channels, (0.2,) * channels)
        images, rows = draw(6, channels, 24, 20), np.arange(6)
        found = list(list_corruptions(ranges, scale, 0))
        kinds = {corruption.kind for corruption in found}
        assert len(found) == len(SEVERITIES) * len(kinds)
        assert kinds >= {RESOLUTION}
        assert ("motion" in kinds) == bool(ranges.ghosting)
        assert ("colours" in kinds) == bool(ranges.stain or ranges.illuminant)
        banned = MODALITIES[modality].load().banned
        for corruption in found:
            changed = corruption(images, rows)
            assert torch.equal(changed, corruption(images, rows)), "not the same twice"
            assert changed.shape == images.shape
            assert changed.isfinite().all()
            assert not torch.equal(changed, images)
            assert not set(corruption.ranges.active()) & set(banned)
        reach = [(c(images, rows) - images).abs().mean() for c in found]
        assert all(mild < strong for mild, strong in zip(reach[::2], reach[1::2], strict=True))

    def test_nothing_but_its_kind_is_changed(self):
        ranges = MODALITIES["ct"].load().augmentations["global"]
        images = draw(2, 1, 20, 20)
        for corruption in list_corruptions(ranges, Normalisation((0.0,), (1.0,)), 0):
            assert corruption.ranges.crop == 1
            still = dataclasses.replace(
                corruption, ranges=type(ranges)(), kind="nothing"
            )(images, np.arange(2))  # fmt: skip
            assert torch.allclose(still, images, atol=1e-4), "geometry moves pixels"

    @pytest.mark.parametrize("dims", [2, 3])
    def test_coarse_images_keep_their_mean_and_place(self, dims: int):
        image = torch.zeros(1, 1, *[16] * dims)
        image[(..., *[slice(4, 12)] * dims)] = 1
        coarse = coarsen(image, 4)
        assert coarse.shape == image.shape
        assert coarse.mean() == pytest.approx(image.mean().item(), abs=0.02)
        for axis in range(2, dims + 2):
            assert torch.allclose(coarse, coarse.flip(axis), atol=1e-6)
        assert coarsen(torch.ones(1, 1, 3, 2), 4).shape == (1, 1, 3, 2)


def invent(fall: float, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    value = rng.normal(50, 10, 80)
    noise = rng.normal(size=80)
    return pd.DataFrame(
        {"id": range(80), "subject": range(80), "value": value,
         "predicted": value + (1 + fall) * noise}
    )  # fmt: skip


def test_drops_are_paired_and_compared_with_the_reference():
    plain = {"scratch": invent(0), "arm": invent(0)}
    changed = {
        "scratch": {("blur", 1): invent(0), ("noise", 1): invent(1)},
        "arm": {("blur", 1): invent(0), ("noise", 1): invent(3)},
    }
    drops = measure_drops(plain, changed, "mae", 0.95, reference="scratch", means=True)
    found = {(drop.arm, drop.kind): drop for drop in drops}
    assert set(found) == {(arm, kind) for arm in plain for kind in ("blur", "noise", MEAN)}
    still = found["arm", "blur"]
    assert (still.difference.value, still.difference.p, still.p_adjusted) == (0, 1, 1)
    worse = found["arm", "noise"]
    assert worse.difference.value == pytest.approx(worse.changed - worse.plain)
    assert worse.difference.value == pytest.approx(3 * worse.plain)
    assert worse.difference.low > 0
    assert worse.against is not None
    assert worse.against.value == pytest.approx(2 * worse.plain)
    assert found["scratch", "noise"].against is None
    assert found["arm", MEAN].difference.value == pytest.approx(worse.difference.value / 2)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = PhantomSpec(subjects=160, images_per_subject=1, size=24, seed=3)
    return save_npz(draw_cohort(spec), tmp_path_factory.mktemp("cohort") / "cohort.npz")


def try_mark(cohort: Path, folder: Path) -> dict[str, float]:
    """Adjusted p of the fall of a linear model of raw pixels, by what the test images show."""
    study = make_study(
        cohort, modality="ultrasound", task="classification", budgets=(), draws=1,
        plant_confounder=True,
    )  # fmt: skip
    prepared = prepare(study, folder, Narrator(quiet=True))
    bench = make_bench(study, prepared, {})
    subsets = label_subsets(study, prepared)
    run_trials(bench, [PIXELS], subsets, folder)
    plain = {
        arm: tables for (arm, _), tables in read_predictions(folder, [PIXELS], subsets).items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tassl.study.checks.REFERENCE", PIXELS.name)
        found = check_changes(bench, [PIXELS], folder, plain)
    assert isinstance(found, dict)
    return {
        row["kind"]: row["p_adjusted"] if row["difference"].value < 0 else 1.0
        for row in found["confounder"]
    }


def test_a_planted_confounder_is_found(cohort: Path, tmp_path: Path):
    found = try_mark(cohort, tmp_path)
    assert set(found) == {controls.ABSENT, controls.REVERSED}
    assert max(found.values()) < 0.001


def test_a_mark_that_tells_nothing_gives_no_finding(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(controls, "draw_mark", lambda *args: draw_mark(*args, following=0.0))
    assert min(try_mark(cohort, tmp_path).values()) > 0.05


def test_the_mark_is_kept_from_test_images(cohort: Path, tmp_path: Path):
    study = make_study(cohort, modality="ultrasound", task="classification", plant_confounder=True)
    prepared = prepare(study, tmp_path, Narrator(quiet=True))
    plain = Tensors(prepared.store, prepared.tensors.normalisation)
    for side in ("train", "val", "test"):
        rows = prepared.rows(side)
        same = (prepared.tensors.images(rows) == plain.images(rows)).flatten(1).all(1)
        assert same.all() == (side == "test")
        assert same.any() == (side == "test")
    bench = make_bench(study, prepared, {})
    assert set(pick_subjects(bench)) == set(bench.test)


def test_controls_that_make_no_sense_are_refused():
    choices = {"modality": "mri", "task": "segmentation"}
    with pytest.raises(OptionError, match="--plant-confounder is for classes"):
        make_study("x", plant_confounder=True, **choices).check()
    with pytest.raises(OptionError, match="--shuffle-pixels is for classes"):
        make_study("x", shuffle_pixels=True, **choices).check()
    choices["task"] = "classification"
    with pytest.raises(OptionError, match="one at a time"):
        make_study("x", shuffle_pixels=True, shuffle_labels=True, **choices).check()


class TestExternalSite:
    table = pd.DataFrame(
        {"subject": [f"s{k:02d}" for k in range(40)], "site": ["A", "B", "C", ""] * 10}
    ).assign(split="", label=0, masked=False)

    def test_is_tested_and_nothing_else(self):
        given = self.table.assign(split=["test", "train", "", "val"] * 10)
        for table in (self.table, given):
            split = draw_splits(hold_out_site(table, "B"), 0.1, 0.25, 0)
            assert set(table.site[split == "test"]) == {"B"}
            assert set(split[table.site == "B"]) == {"test"}
            assert {"train", "val"} <= set(split)

    def test_takes_its_subjects_whole(self):
        table = self.table.assign(subject=self.table.subject.replace("s00", "s01"))
        split = draw_splits(hold_out_site(table, "B"), 0.1, 0.25, 0)
        assert split[0] == split[1] == "test"

    def test_that_is_unknown_is_refused(self):
        with pytest.raises(UnknownName, match="No site is named 'D'"):
            hold_out_site(self.table, "D")
        with pytest.raises(OptionError, match="name no sites"):
            hold_out_site(self.table.assign(site=""), "A")
