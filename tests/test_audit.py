"""The audit: every fault that is planted is named, and sound data raise no alarm."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

import tassl
from tassl.cli import app
from tassl.data.audit import Audit, Finding, run_audit
from tassl.data.audit.balance import check_balance
from tassl.data.audit.duplicates import check_duplicates
from tassl.data.audit.intensity import check_intensity, list_ranges, robust_z
from tassl.data.audit.leaks import check_leaks
from tassl.data.audit.markers import check_markers
from tassl.data.audit.near import LIKE, find_candidates, find_near_duplicates
from tassl.data.audit.shortcuts import associate, check_shortcuts, predict, take_frame
from tassl.data.audit.sketches import area_matrix, shrink, sketch_images
from tassl.data.layouts import index
from tassl.data.phantom import PhantomSpec, draw_cohort, save_npz
from tassl.data.store import Store, build_store
from tassl.errors import RunFolderError
from tassl.evaluation.splits import draw_splits
from tassl.modality import MODALITIES

BUDGETS = (5, 10, 25, 100)


def textures(*shape: int, seed: int = 0) -> np.ndarray:
    """Smooth random images that share nothing, uint8."""
    rng = np.random.default_rng(seed)
    images = gaussian_filter(rng.normal(size=shape), (0, *[1.5] * (len(shape) - 1)))
    return (40 * images / images.std() + 128).clip(0, 255).astype(np.uint8)


def make_store(folder: Path, images: np.ndarray, **parts: Any) -> Store:
    np.savez(folder / "d.npz", images=images, **parts)
    return build_store(index(folder / "d.npz"), lambda pixels: pixels / 255, folder / "store")


def halves(count: int, seed: int = 0) -> np.ndarray:
    """Sides of a split, in random order."""
    sides = np.where(np.arange(count) % 4 == 0, "test", "train").astype(object)
    sides[1::8] = "val"
    return np.random.default_rng(seed).permutation(sides)


def alarms(findings: tuple[Finding, ...] | list[Finding]) -> list[str]:
    return [finding.line() for finding in findings if finding.severity != "info"]


def audit_cohort(folder: Path, **choices: Any) -> Audit:
    spec = PhantomSpec(**({"size": 32, "site_strength": 0.0} | choices))
    file = save_npz(draw_cohort(spec), folder / "cohort.npz")
    prepare = MODALITIES[spec.modality].load().prepare
    store = build_store(index(file), prepare, folder / f"store-{spec.seed}")
    return run_audit(store, draw_splits(store.table, 0.1, 0.25, spec.seed), budgets=BUDGETS)


class TestCohorts:
    @pytest.mark.parametrize("modality", ["ultrasound", "mri"])
    def test_a_clean_one_raises_no_alarm(self, tmp_path: Path, modality: str):
        for seed in range(4):
            audit = audit_cohort(tmp_path, seed=seed, modality=modality)
            assert alarms(audit.findings) == []

    def test_clean_volumes_raise_no_alarm(self, tmp_path: Path):
        audit = audit_cohort(tmp_path, dims=3, size=20, subjects=100, modality="mri")
        assert alarms(audit.findings) == []

    def test_site_signatures_are_found(self, tmp_path: Path):
        audit = audit_cohort(tmp_path, site_strength=1.0, site_label_correlation=0.9, modality="ct")
        told = " ".join(alarms(audit.findings))
        for part in (
            "images of site site-A",
            "images of class 0",
            "site can be told",
            "outer frame",
        ):
            assert part in told
        assert "Cramér's V 0.8" in told
        assert [line["site"] for line in audit.ranges] == ["all", "site-A", "site-B"]


class TestDuplicates:
    def test_within_a_side_and_with_another_label(self):
        table = pd.DataFrame(
            {"id": list("abcdef"), "digest": list("xxyyzz"), "subject": list("aacdef"),
             "label": [0, 0, 1, 0, 1, 1], "findings": [()] * 6}
        )  # fmt: skip
        split = np.array(["train", "train", "train", "test", "val", "val"])
        findings = {f.severity: f for f in check_duplicates(table, split, ("benign", "malignant"))}
        assert findings["error"].items == ("c is malignant but d is benign",)
        assert findings["error"].pictures == (("c", "d"),)
        assert "c has the same pixels as d in test" in findings["warning"].items[0]
        assert findings["info"].items == ("a = b", "e = f")
        assert "1 of them under different subjects" in findings["info"].what

    def test_an_unlabelled_copy_has_no_part_in_it(self):
        table = pd.DataFrame(
            {"id": list("abc"), "digest": list("xxx"), "subject": list("abc"),
             "label": [-1, 0, 1], "findings": [()] * 3}
        )  # fmt: skip
        found = check_duplicates(table, np.array(["train"] * 3), ("benign", "malignant"))
        (error,) = [f for f in found if f.severity == "error"]
        assert error.items == ("b is benign but c is malignant",)

    def test_nothing_to_tell(self):
        table = pd.DataFrame({"id": list("ab"), "digest": list("xy"), "label": [0, 1]})
        assert check_duplicates(table, np.array(["train", "test"])) == []

    def test_findings_that_copies_disagree_in_are_named(self):
        answers = [(1, 0, -1), (0, 0, 1), (1, -1, -1), (1, 1, 0), (1, -1, 0)]
        table = pd.DataFrame(
            {"id": list("abcde"), "digest": list("xxxyy"), "subject": list("abcde"),
             "label": -1, "findings": answers}
        )  # fmt: skip
        found = check_duplicates(table, np.array(["train"] * 5), ("nodule", "edema", "mass"))
        (error,) = [f for f in found if f.severity == "error"]
        assert error.items == ("nodule: in a and c, not in b",)
        assert error.pictures == (("a", "b"),)


def jpeg(image: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=20)
    return np.array(Image.open(file))


def halved(image: np.ndarray) -> np.ndarray:
    side = image.shape[0]
    small = Image.fromarray(image).resize((side // 2, side // 2), Image.Resampling.BILINEAR)
    return np.array(small.resize((side, side), Image.Resampling.BILINEAR))


COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "jpeg": jpeg,
    "noise": lambda image: np.clip(
        image + np.random.default_rng(0).normal(0, 8, image.shape), 0, 255
    ).astype(np.uint8),
    "brightness": lambda image: np.clip(0.85 * image + 30, 0, 255).astype(np.uint8),
    "half resolution": halved,
    "shift": lambda image: np.pad(image, ((2, 0), (0, 0)), "edge")[:-2],
}


def sketch(images: np.ndarray) -> np.ndarray:
    return shrink(images.astype(np.float32), [area_matrix(n, 24) for n in images.shape[1:]])


def make_table(count: int) -> pd.DataFrame:
    names = [f"i{k}" for k in range(count)]
    return pd.DataFrame({"id": names, "subject": names, "digest": names, "label": -1})


class TestNearDuplicates:
    @pytest.mark.parametrize("kind", COPIES)
    @pytest.mark.parametrize("name", ["breastmnist", "pneumoniamnist"])
    def test_planted_copies(self, real: Callable[[str], Path], name: str, kind: str):
        """Of 60 copies nine in ten are found; three in four at half of 28 pixels."""
        with np.load(real(name) / f"{name}.npz") as archive:
            images = archive["train_images"][:540]
        images = np.concatenate([images, np.stack([COPIES[kind](k) for k in images[:60]])])
        table, split = make_table(600), np.repeat(["train", "test"], [540, 60])
        wanted = 45 if kind == "half resolution" else 54
        found = find_near_duplicates(table, split, sketch(images))
        pairs = {(pair.id, pair.other) for pair in found if pair.crosses}
        assert sum((f"i{540 + k}", f"i{k}") in pairs for k in range(60)) >= wanted

    def test_images_of_other_subjects_are_no_copies(self, real: Callable[[str], Path]):
        """hc18 holds several images of some subjects, and many fetal heads that look alike."""
        files = sorted((real("hc18") / "training_set").glob("*HC.png"))
        images = np.stack([np.array(Image.open(f).convert("L").resize((96, 64))) for f in files])
        table = make_table(len(files)).assign(subject=[f.name.split("_")[0] for f in files])
        assert table.subject.nunique() < len(files)
        assert find_near_duplicates(table, halves(len(files)), sketch(images)) == []

    def test_volumes(self, tmp_path: Path):
        volumes = textures(60, 16, 18, 20)
        volumes[50] = np.clip(
            volumes[3] + np.random.default_rng(1).normal(0, 8, (16, 18, 20)), 0, 255
        )
        store, split = make_store(tmp_path, volumes), np.repeat(["train", "val"], 30)
        (pair,) = find_near_duplicates(store.table, split, sketch_images(store).thumbs)
        assert (pair.id, pair.other) == ("image-00050", "image-00003")

    def test_one_subject_and_identical_pixels_are_left_out(self):
        images = textures(40, 28, 28)
        images[30:33] = images[:3] // 2 + 60
        table, split = make_table(40), np.repeat(["train", "test"], 20)
        table.loc[30, "subject"], table.loc[31, "digest"] = "i0", "i1"
        (pair,) = find_near_duplicates(table, split, sketch(images))
        assert (pair.id, pair.split, pair.other) == ("i32", "test", "i2")

    def test_candidates_are_those_of_a_loop(self):
        """Blocks, halves and shifts leave out no pair whose fingerprints are alike."""
        from scipy.fft import dctn

        thumbs = sketch(textures(50, 28, 28))
        thumbs[40:] = thumbs[:10] + np.random.default_rng(0).normal(0, 20, (10, 24, 24))
        standard = [(t - t.mean()) / t.std() for t in thumbs]
        waves = np.stack([dctn(t, norm="ortho")[:8, :8].ravel()[1:] for t in standard])
        marks = (waves - waves.mean(0)) / np.sqrt(waves.std(0))
        cosine = [
            (i, j)
            for i in range(50)
            for j in range(i + 1, 50)
            if marks[i] @ marks[j] > LIKE * np.linalg.norm(marks[i]) * np.linalg.norm(marks[j])
        ]
        assert len(cosine) >= 10
        assert set(cosine) <= set(
            map(tuple, find_candidates(thumbs, np.arange(50)[:, None]).tolist())
        )

    @pytest.mark.parametrize("count", [1, 2, 5])
    def test_few_images(self, count: int):
        images, table = textures(count, 28, 28), make_table(count)
        assert find_near_duplicates(table, np.array(["train"] * count), sketch(images)) == []

    def test_the_less_guarded_leaves_on_request(self, tmp_path: Path):
        images = textures(40, 28, 28)
        images[30] = images[3] // 2 + 60
        store = make_store(tmp_path, images, labels=np.arange(40) // 20)
        split = np.repeat(["train", "test"], 20).astype(object)
        audit, dropped = (
            run_audit(store, split, drop_near_duplicates=drop) for drop in (False, True)
        )
        (told,) = [f for f in audit.findings if f.check == "near-duplicates"]
        assert told.severity == "warning"
        assert "1 pair, 1 of them with different labels" in told.what
        assert audit.split[3] == "train"
        assert dropped.split[3] == "removed"
        assert dropped.split[30] == "test"
        assert (dropped.split != split).sum() == 1


class TestBalance:
    def check(self, **counts: tuple[int, int, int]) -> dict[str, Finding]:
        """Findings for classes of so many subjects in train, val and test."""
        rows = [
            (side, place)
            for place, name in enumerate(counts)
            for side, count in zip(("train", "val", "test"), counts[name], strict=True)
            for _ in range(count)
        ]
        table = pd.DataFrame(
            {"subject": [str(k) for k in range(len(rows))], "label": [row[1] for row in rows]}
        )
        split = np.array([row[0] for row in rows])
        return {f.what.split()[0]: f for f in check_balance(table, split, list(counts), BUDGETS)}

    def test_even_classes(self):
        assert self.check(a=(200, 20, 50), b=(200, 20, 50)) == {}

    def test_absent(self):
        found = self.check(a=(200, 20, 50), b=(200, 0, 50))["A"]
        assert (found.severity, found.items) == ("error", ("b in val",))

    def test_one_class(self):
        found = self.check(a=(200, 20, 50))["All"]
        assert found.severity == "error"
        assert "of one class (a)" in found.what

    def test_rare_in_the_test(self):
        found = self.check(a=(200, 20, 50), b=(200, 20, 4))["Fewer"]
        assert (found.severity, found.items) == ("warning", ("b: 4 subjects",))

    def test_uneven(self):
        assert (
            "a has 10 times the subjects of b"
            in self.check(a=(900, 20, 80), b=(70, 10, 20))["a"].line()
        )

    def test_budgets_beyond_a_class(self):
        found = self.check(a=(200, 20, 50), b=(17, 20, 50))["Only"]
        assert "Only 17 subjects of b" in found.what
        assert "budget of 25 and 100" in found.what

    def test_subjects_of_two_classes(self):
        table = pd.DataFrame({"subject": ["p", "p", "q"], "label": [0, 1, 1]})
        told = check_balance(table, np.array(["train"] * 3), ["a", "b"])
        assert any(f.items == ("p",) for f in told)

    def test_no_labels(self):
        table = pd.DataFrame({"subject": ["p", "q"], "label": [-1, -1], "findings": [(), ()]})
        assert check_balance(table, np.array(["train", "test"]), []) == []


class TestIntensity:
    def test_blank_inverted_and_noisy_images_are_named(self, tmp_path: Path):
        images = textures(60, 24, 24) // 2
        images[7] = 90
        images[11] = 255 - images[11]
        images[13] = np.random.default_rng(0).integers(0, 120, (24, 24))
        store = make_store(tmp_path, images)
        blank, far = check_intensity(store.table, sketch_images(store))
        assert (blank.severity, blank.items) == ("warning", ("image-00007",))
        assert set(far.items) == {"image-00011 (brighter)", "image-00013 (noisier)"}
        assert far.pictures[0] in {("image-00011",), ("image-00013",)}

    def test_clipped(self, tmp_path: Path):
        images = textures(60, 24, 24).clip(0, 200)
        images[9] = images[9].clip(0, 120)
        store = make_store(tmp_path, images)
        told = check_intensity(store.table, sketch_images(store))
        assert ("image-00009",) in [finding.items for finding in told]

    def test_files_of_another_size(self, tmp_path: Path):
        store = make_store(tmp_path, textures(30, 24, 24))
        shapes, spacings = [[24, 24]] * 29 + [[24, 100]], [[0.5, 0.5]] * 29 + [None]
        spacings[4] = [5.0, 5.0]
        table = store.table.assign(shape=shapes, spacing=spacings)
        size, spacing = check_intensity(table, sketch_images(store))
        assert size.items == ("image-00029 (24 x 100)",)
        assert spacing.items == ("image-00004 (5 x 5)",)

    def test_ranges_are_of_the_files_where_known(self, tmp_path: Path):
        store = make_store(tmp_path, textures(30, 24, 24), sites=np.repeat(["a", "b"], 15))
        levels = np.repeat([100.0, 900.0], 15)
        table = store.table.assign(p1=levels - 10, p50=levels, p99=levels + 10)
        whole, first, second = list_ranges(table, sketch_images(store))
        assert (first["p1"], first["p50"], second["p99"]) == (90, 100, 910)
        assert whole["of"] == "files"
        bare = store.table.drop(columns=["p1", "p50", "p99"])
        assert list_ranges(bare, sketch_images(store))[0]["of"] == "prepared images"

    def test_robust_z_of_a_normal_sample(self):
        sample = np.random.default_rng(0).normal(3, 2, 20_000)
        assert robust_z(sample) == pytest.approx((sample - 3) / 2, abs=0.1)


class TestMarkers:
    def test_a_bright_mark_of_one_class(self, tmp_path: Path):
        images, labels = textures(120, 28, 28).clip(0, 230), np.arange(120) % 2
        images[:90:2, 2:4, 20:26] = 255  # 45 of the 60 images of class 0
        store = make_store(tmp_path, images, labels=labels)
        (found,) = check_markers(store, halves(120))
        assert "12 pixels around (11%, 82%)" in found.what
        assert re.search(r"full brightness in 7\d% of the images of class 0 and in 0%", found.what)
        assert [labels[int(name[-3:])] for name in found.pictures[0]] == [0, 1]

    def test_a_black_frame_of_one_site(self, tmp_path: Path):
        images, sites = textures(120, 28, 28).clip(20, 255), np.repeat(["a", "b"], 60)
        images[60:, :, :3] = 0
        (found,) = check_markers(make_store(tmp_path, images, sites=sites), halves(120))
        assert "84 pixels" in found.what
        assert "black in 100% of the images of site b and in 0%" in found.what

    def test_coloured_text_in_a_volume_of_one_side(self, tmp_path: Path):
        images, split = textures(80, 28, 28), halves(80)
        colours = np.repeat(images[..., None], 3, axis=3).clip(0, 220)
        colours[split == "test", 1:3, 1:8, :2] = 255  # yellow
        (found,) = check_markers(make_store(tmp_path, colours), split)
        assert "images of side test" in found.what

    def test_a_mark_in_every_image_gives_nothing_away(self, tmp_path: Path):
        images = textures(120, 28, 28).clip(0, 230)
        images[:, 2:4, 20:26] = 255
        store = make_store(tmp_path, images, labels=np.arange(120) % 2)
        assert check_markers(store, halves(120)) == []


class TestShortcuts:
    def test_label_from_the_frame(self, tmp_path: Path):
        labels = np.arange(100) % 2
        images = textures(100, 24, 24) // 2
        images[labels == 1, :2] += 60
        store = make_store(tmp_path, images, labels=labels)
        (found,) = check_shortcuts(store, halves(100), sketch_images(store))
        assert "label can be told from the outer frame" in found.what

    def test_shift_between_sides(self, tmp_path: Path):
        split, images = halves(160), textures(160, 24, 24) // 2
        images[split == "test"] += 50
        store = make_store(tmp_path, images)
        (found,) = check_shortcuts(store, split, sketch_images(store))
        assert "side of the split can be told" in found.what

    def test_several_images_of_a_subject_count_once(self, tmp_path: Path):
        """Ten subjects with a label each cannot support a claim, however many images they have."""
        subjects, images = np.repeat(np.arange(10), 20), textures(10, 24, 24)[np.arange(200) // 20]
        store = make_store(tmp_path, images, labels=subjects % 2, subjects=subjects)
        (found,) = check_shortcuts(store, np.array(["train"] * 200), sketch_images(store))
        assert (found.severity, "Too few subjects per class" in found.what) == ("info", True)

    def test_chance_is_seldom_called_a_shortcut(self):
        rng, clear = np.random.default_rng(0), 0
        for seed in range(20):
            found = predict(rng.normal(size=(60, 40)), rng.permutation(np.arange(60) % 3), seed)
            clear += found.clear
            assert found.chance == pytest.approx(1 / 3)
        assert clear == 0

    def test_certainty(self):
        number = np.arange(60) % 2
        found = predict(
            number[:, None] + np.zeros((60, 3)), np.where(np.arange(60) < 6, -1, number)
        )
        assert (found.accuracy, found.p, found.subjects) == (pytest.approx(1), 1 / 2000, 54)

    def test_association_of_two_by_two_is_phi(self):
        first, second = np.repeat([0, 1, -1], [50, 50, 7]), np.tile([0, 0, 1], 36)[:107]
        second[:30] = 0
        kept = first >= 0
        phi = abs(np.corrcoef(first[kept], second[kept])[0, 1])
        assert associate(first, second) == pytest.approx(phi)

    def test_frame_is_the_outer_twelfth(self):
        thumbs = np.arange(24 * 24, dtype=float).reshape(1, 24, 24)
        inside = set(thumbs[0, 2:-2, 2:-2].ravel())
        outer = np.array(sorted(set(thumbs.ravel()) - inside))
        expected = (outer - outer.mean()) / (outer.std() + 1e-3)
        np.testing.assert_allclose(take_frame(thumbs)[0], expected, rtol=1e-4)
        np.testing.assert_allclose(take_frame(3 * thumbs + 7), take_frame(thumbs), atol=1e-4)
        assert take_frame(np.zeros((1, 12, 12, 12))).shape == (1, 12**3 - 10**3)


class TestLeaks:
    def check(self, ids: list[str], split: list[str]) -> list[Finding]:
        return check_leaks(pd.DataFrame({"id": ids, "subject": ids}), np.array(split))

    def test_a_subject_on_two_sides(self):
        table = pd.DataFrame({"id": list("abc"), "subject": ["p", "p", "q"]})
        (found,) = check_leaks(table, np.array(["train", "test", "test"]))
        assert (found.severity, found.items) == ("error", ("p",))
        assert "--own-splits" in found.advice

    @pytest.mark.parametrize(
        "ids",
        [["train/012_1", "test/012_2", "train/013_1"], ["Image_01L", "Image_01R", "Image_02L"]],
    )
    def test_names_that_share_a_number(self, ids: list[str]):
        (found,) = self.check(ids, ["train", "test", "train"])
        assert "2 images of 1 name, 1 of these on two sides" in found.what
        assert "--subject" in found.advice

    @pytest.mark.parametrize(
        "ids",
        [
            ["image-00001", "image-00002", "image-00003"],
            ["benign/benign (1)", "malignant/malignant (1)", "benign/benign (2)"],
            ["0d2bf91", "0a7d30b", "0c2550a"],
        ],
    )
    def test_names_that_do_not(self, ids: list[str]):
        assert self.check(ids, ["train", "test", "train"]) == []


class TestSketches:
    def test_area_average_is_that_of_blocks(self):
        images = np.random.default_rng(0).normal(size=(3, 12, 8)).astype(np.float32)
        blocks = images.reshape(3, 4, 3, 4, 2).mean((2, 4))
        assert shrink(images, [area_matrix(12, 4), area_matrix(8, 4)]) == pytest.approx(
            blocks, abs=1e-6
        )

    @pytest.mark.parametrize(("size", "side"), [(5, 24), (24, 24), (31, 24), (128, 24)])
    def test_a_ramp_stays_a_ramp(self, size: int, side: int):
        matrix = area_matrix(size, side)
        assert matrix.sum(1) == pytest.approx(np.ones(side), abs=1e-5)
        if size >= side:
            centres = (np.arange(side) + 0.5) * size / side - 0.5
            assert matrix @ np.arange(size) == pytest.approx(centres, abs=0.5)


class TestCommand:
    def test_pneumoniamnist(self, real: Callable[[str], Path], tmp_path: Path):
        """The eight pictures that stand in train and val, and nothing removed but their copies."""
        data = real("pneumoniamnist") / "pneumoniamnist.npz"
        audit = tassl.audit(data, modality="xray", out=tmp_path / "a", quiet=True)
        assert len({pair.kept for pair in audit.duplicates}) == 8
        assert (audit.split == "removed").sum() == len(audit.duplicates)
        kept = json.loads((tmp_path / "a/audit.json").read_text())
        (told,) = [f for f in kept["findings"] if "two sides" in f["what"] and f["check"][0] == "i"]
        assert len(told["items"]) == len(kept["duplicates"]) == len(audit.duplicates)

    def test_breastmnist(
        self, real: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        """One picture stands in train and test, with two labels; many are nearly identical."""
        data = str(real("breastmnist") / "breastmnist.npz")
        out = ["--modality", "ultrasound", "--out", str(tmp_path / "a")]
        app(["audit", data, *out], standalone_mode=False)
        said = capsys.readouterr().out
        assert "train-00115 has the same pixels as test-00076" in said
        assert "train-00115 is 0 but test-00076 is 1" in said
        page = (tmp_path / "a/audit.html").read_text()
        assert page.count("data:image/png") >= 12
        assert "http" not in page.replace("http-equiv", "")
        with pytest.raises(RunFolderError):
            app(["audit", data, "--modality", "ultrasound", "--out", str(tmp_path)],
                standalone_mode=False)  # fmt: skip

    def test_a_study_may_drop_near_duplicates(self, tmp_path: Path):
        images, labels = textures(80, 28, 28), np.arange(80) % 2
        images[70] = images[3] // 2 + 60
        np.savez(tmp_path / "d.npz", train_images=images[:50], train_labels=labels[:50],
                 test_images=images[50:], test_labels=labels[50:])  # fmt: skip
        choices = {"modality": "ultrasound", "quiet": True, "drop_near_duplicates": True}
        audit = tassl.audit(tmp_path / "d.npz", out=tmp_path / "a", **choices)
        assert audit.split[3] == "removed"
        facts = json.loads((tmp_path / "a/audit.json").read_text())
        assert sum(side["images"] for side in facts["splits"].values()) == 79

    def test_names_are_escaped(self, tmp_path: Path):
        folder = tmp_path / "d"
        for k, image in enumerate(textures(24, 28, 28)):
            place = folder / ("a<b>" if k % 2 else "c")
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image if k else image * 0).save(place / f"<i>{k}.png")
        tassl.audit(folder, modality="ultrasound", out=tmp_path / "a", quiet=True)
        page = (tmp_path / "a/audit.html").read_text()
        assert "&lt;i&gt;0" in page
        assert "<i>" not in page


@pytest.mark.slow
def test_twenty_thousand_images(tmp_path: Path):
    images = np.concatenate([textures(5000, 28, 28, seed=seed) for seed in range(4)])
    store = make_store(tmp_path, images, labels=np.arange(20_000) % 2)
    start = time.monotonic()
    audit = run_audit(store, halves(20_000), budgets=BUDGETS)
    assert time.monotonic() - start < 20
    assert alarms(audit.findings) == []
