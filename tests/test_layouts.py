"""Every layout is understood, and what is wrong with the data is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from tassl.data.layouts import index
from tassl.errors import InputError, LeakError, OptionError, UnknownName

rng = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return rng.integers(0, 255, shape, dtype=np.uint8)


def save_npz(file: Path, **arrays: np.ndarray) -> Path:
    np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
    return file


def save_png(file: Path, shape: tuple[int, ...] = (8, 8)) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(*shape)).save(file)
    return file


def save_nifti(file: Path, shape: tuple[int, ...] = (6, 5, 4)) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(noise(*shape), np.eye(4)), file)  # type: ignore[attr-defined]
    return file


def counts(manifest, column: str) -> dict:
    return manifest.table[column].value_counts().to_dict()


class TestArrays:
    def test_medmnist_form_keeps_its_splits(self, tmp_path: Path):
        parts = {"train": 6, "val": 2, "test": 4}
        arrays = {f"{side}_images": noise(n, 8, 8) for side, n in parts.items()}
        arrays |= {f"{side}_labels": np.arange(n)[:, None] % 2 for side, n in parts.items()}
        manifest = index(save_npz(tmp_path / "a.npz", **arrays))
        assert counts(manifest, "split") == parts
        assert manifest.layout == "arrays"
        assert manifest.classes == ("0", "1")
        assert manifest.table.id.iloc[0] == "train-00000"
        assert manifest.table.subject.is_unique
        assert "no subject ids" in manifest.notes[0]

    def test_flat_form_with_subjects_sites_and_masks(self, tmp_path: Path):
        file = save_npz(
            tmp_path / "a.npz",
            images=noise(4, 8, 8),
            labels=np.array([7, 3, 3, 7]),
            subjects=np.array(["p1", "p1", "p2", "p3"]),
            sites=np.array(["x", "x", "y", "y"]),
            masks=noise(4, 8, 8) // 128,
        )
        manifest = index(file)
        assert manifest.table.label.tolist() == [1, 0, 0, 1]
        assert manifest.classes == ("3", "7")
        assert manifest.table.subject.tolist() == ["p1", "p1", "p2", "p3"]
        assert manifest.table.site.tolist() == ["x", "x", "y", "y"]
        assert set(manifest.table.masks) == {("masks",)}
        assert set(manifest.table.split) == {""}
        assert manifest.notes == ()

    @pytest.mark.parametrize("shape", [(3, 8, 8, 3), (3, 6, 8, 7)], ids=["rgb", "3d"])
    def test_more_axes(self, tmp_path: Path, shape: tuple[int, ...]):
        manifest = index(save_npz(tmp_path / "a.npz", images=noise(*shape)))
        assert len(manifest.table) == 3
        assert set(manifest.table.label) == {-1}
        assert manifest.classes == ()

    def test_negative_labels_are_unknown(self, tmp_path: Path):
        labels = np.array([-1, 0, 1])
        manifest = index(save_npz(tmp_path / "a.npz", images=noise(3, 8, 8), labels=labels))
        assert manifest.table.label.tolist() == [-1, 0, 1]
        assert manifest.classes == ("0", "1")

    @pytest.mark.parametrize(
        ("arrays", "words"),
        [
            ({"images": noise(3, 8, 8), "labels": np.zeros(2, int)}, "labels has 2 entries"),
            ({"images": noise(3, 8, 8), "labels": np.zeros((3, 4), int)}, "one class per image"),
            ({"images": noise(3, 8, 8), "labels": np.zeros(3)}, "whole class numbers"),
            ({"images": noise(0, 8, 8), "labels": np.zeros(0, int)}, "No usable image"),
            ({"pictures": noise(3, 8, 8)}, "holds ['pictures']; wanted 'images'"),
            ({"images": np.array([None, "a"])}, "cannot be read as npz"),
        ],
    )
    def test_bad_arrays(self, tmp_path: Path, arrays: dict, words: str):
        with pytest.raises(InputError) as caught:
            index(save_npz(tmp_path / "a.npz", **arrays))
        assert words in str(caught.value)

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
    def test_truncated_file(self, tmp_path: Path, share: float):
        file = tmp_path / "a.npz"
        np.savez_compressed(file, images=noise(20, 8, 8))
        file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
        with pytest.raises(InputError, match="truncated"):
            index(file)

    def test_damaged_bytes(self, tmp_path: Path):
        file = tmp_path / "a.npz"
        np.savez_compressed(file, images=noise(20, 8, 8))
        content = bytearray(file.read_bytes())
        content[300:400] = bytes(100)
        file.write_bytes(content)
        with pytest.raises(InputError, match="cannot be read as npz"):
            index(file)

    def test_single_array_named_npz(self, tmp_path: Path):
        with (tmp_path / "a.npz").open("wb") as file:
            np.save(file, noise(3, 8, 8))
        with pytest.raises(InputError, match="cannot be read as npz"):
            index(tmp_path / "a.npz")


class TestNiftiPairs:
    def test_decathlon_form(self, tmp_path: Path):
        for name in ("a", "b"):
            save_nifti(tmp_path / "imagesTr" / f"{name}.nii.gz")
            save_nifti(tmp_path / "labelsTr" / f"{name}.nii.gz")
        save_nifti(tmp_path / "imagesTr" / "c.nii.gz")
        (tmp_path / "imagesTr" / "._a.nii.gz").write_bytes(b"junk of another file system")
        facts = {"labels": {"0": "background", "2": "tail", "1": "head"}}
        (tmp_path / "dataset.json").write_text(json.dumps(facts))
        manifest = index(tmp_path)
        assert manifest.layout == "nifti-pairs"
        assert manifest.table.subject.tolist() == ["a", "b", "c"]
        assert manifest.table.masks.map(bool).tolist() == [True, True, False]
        assert manifest.classes == ("background", "head", "tail")
        assert set(manifest.table.label) == {-1}

    def test_nnunet_form(self, tmp_path: Path):
        save_nifti(tmp_path / "images" / "case_001_0000.nii")
        save_nifti(tmp_path / "labels" / "case_001.nii")
        (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "lesion": 1}}')
        manifest = index(tmp_path)
        assert manifest.table.id.tolist() == ["case_001"]
        assert manifest.table.masks.tolist() == [("labels/case_001.nii",)]
        assert manifest.classes == ("background", "lesion")

    def test_channels_in_a_fourth_axis(self, tmp_path: Path):
        save_nifti(tmp_path / "imagesTr" / "a.nii.gz", (6, 5, 4, 2))
        save_nifti(tmp_path / "labelsTr" / "a.nii.gz", (6, 5, 4))
        assert len(index(tmp_path).table) == 1

    def test_further_channel_file_is_refused(self, tmp_path: Path):
        save_nifti(tmp_path / "images" / "a_0001.nii")
        with pytest.raises(InputError, match="further channel"):
            index(tmp_path)

    @pytest.mark.parametrize("facts", ["[]", "{", '{"labels": ["a"]}', '{"labels": {"a": [1]}}'])
    def test_odd_dataset_json_is_passed_over(self, tmp_path: Path, facts: str):
        save_nifti(tmp_path / "images" / "a.nii")
        (tmp_path / "dataset.json").write_text(facts)
        assert index(tmp_path).classes == ()

    def test_unreadable_header_is_set_aside(self, tmp_path: Path):
        save_nifti(tmp_path / "images" / "a.nii")
        (tmp_path / "images" / "b.nii").write_bytes(b"not a header")
        manifest = index(tmp_path)
        assert manifest.table.id.tolist() == ["a"]
        (item,) = manifest.set_aside
        assert item.file == "images/b.nii"
        assert "cannot be read" in item.reason
        assert "set aside  images/b.nii" in manifest.account()

    def test_shape_mismatch_names_file_and_shapes(self, tmp_path: Path):
        save_nifti(tmp_path / "images" / "a.nii", (6, 5, 4))
        save_nifti(tmp_path / "labels" / "a.nii", (6, 5, 3))
        with pytest.raises(InputError) as caught:
            index(tmp_path)
        assert "a.nii (6, 5, 4) with a mask of (6, 5, 3)" in str(caught.value)


class TestClassFolders:
    def test_folder_per_class(self, tmp_path: Path):
        for name in ("b/1.png", "a/1.png", "a/2.JPG"):
            save_png(tmp_path / name)
        manifest = index(tmp_path)
        assert manifest.layout == "class-folders"
        assert manifest.classes == ("a", "b")
        assert manifest.table.id.tolist() == ["a/1", "a/2", "b/1"]
        assert manifest.table.label.tolist() == [0, 0, 1]
        assert set(manifest.table.split) == {""}

    def test_split_folders(self, tmp_path: Path):
        for name in ("train/a/1.png", "train/b/2.png", "test/a/3.png", "val/b/4.png"):
            save_png(tmp_path / name)
        manifest = index(tmp_path)
        assert counts(manifest, "split") == {"train": 2, "val": 1, "test": 1}
        assert manifest.classes == ("a", "b")
        assert set(index(tmp_path, own_splits=True).table.split) == {""}

    def test_masks_are_paired(self, tmp_path: Path):
        for name in ("a/1.png", "a/1_mask.png", "a/2.jpg", "a/2_mask.png", "a/lone_mask.png"):
            save_png(tmp_path / name)
        table = index(tmp_path).table
        assert table.id.tolist() == ["a/1", "a/2", "a/lone_mask"]
        assert table.masks.tolist() == [("a/1_mask.png",), ("a/2_mask.png",), ()]

    def test_further_mask_is_no_image(self, tmp_path: Path):
        for name in ("a/1.png", "a/1_mask.png", "a/1_mask_1.png"):
            save_png(tmp_path / name)
        manifest = index(tmp_path)
        assert manifest.table.id.tolist() == ["a/1"]
        assert [item.file for item in manifest.set_aside] == ["a/1_mask_1.png"]

    def test_two_files_of_one_name_are_not_merged(self, tmp_path: Path):
        save_png(tmp_path / "a/1.png")
        save_png(tmp_path / "a/1.jpg")
        with pytest.raises(InputError, match="'a/1' stands twice"):
            index(tmp_path)

    def test_other_files_and_folders_are_passed_over(self, tmp_path: Path):
        save_png(tmp_path / "a/1.png")
        (tmp_path / "a" / "notes.txt").write_text("x")
        (tmp_path / "empty").mkdir()
        assert index(tmp_path).classes == ("a",)


class TestSubjects:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in ("train/a/p1_1.png", "train/b/p2_1.png", "test/a/p3_1.png", "test/b/p3_2.png"):
            save_png(tmp_path / name)
        return tmp_path

    def test_pattern_finds_subjects(self, folder: Path):
        manifest = index(folder, subject=r"/(p\d+)_")
        assert sorted(manifest.table.subject) == ["p1", "p2", "p3", "p3"]
        assert "4 of 3 subjects" in manifest.account()

    @pytest.mark.parametrize(
        ("pattern", "words"),
        [
            (r"(p\d+", "not a regular expression"),
            (r"p\d+", "has 0 groups"),
            (r"(p)(\d+)", "has 2 groups"),
            (r"(q\d+)", "finds nothing in 'train/a/p1_1.png'"),
            (r"(p2)?_", "finds nothing in 'train/a/p1_1.png'"),
            (r"p1()", "finds nothing in 'train/a/p1_1.png'"),
        ],
    )
    def test_bad_pattern(self, folder: Path, pattern: str, words: str):
        with pytest.raises(OptionError) as caught:
            index(folder, subject=pattern)
        assert words in str(caught.value)

    def test_subject_on_both_sides_is_named(self, folder: Path):
        save_png(folder / "test/a/p2_9.png")
        with pytest.raises(LeakError) as caught:
            index(folder, subject=r"/(p\d+)_")
        assert "Subjects on both sides of the given split: p2." in str(caught.value)
        manifest = index(folder, subject=r"/(p\d+)_", own_splits=True)
        assert set(manifest.table.split) == {""}


class TestPaths:
    def test_missing(self, tmp_path: Path):
        with pytest.raises(InputError, match="does not exist"):
            index(tmp_path / "nowhere")

    def test_empty(self, tmp_path: Path):
        with pytest.raises(InputError, match="is empty"):
            index(tmp_path)

    def test_not_understood(self, tmp_path: Path):
        (tmp_path / "notes.txt").write_text("x")
        for path in (tmp_path, tmp_path / "notes.txt"):
            with pytest.raises(InputError, match="is not understood"):
                index(path)

    def test_unknown_layout(self, tmp_path: Path):
        with pytest.raises(UnknownName, match="Did you mean 'nifti-pairs'"):
            index(tmp_path, layout="nifti-pair")

    @pytest.mark.parametrize("layout", ["arrays", "nifti-pairs", "class-folders"])
    def test_layout_that_does_not_fit(self, tmp_path: Path, layout: str):
        (tmp_path / "notes.txt").write_text("x")
        for path in (tmp_path, tmp_path / "notes.txt"):
            with pytest.raises(InputError, match=f"does not lie as layout '{layout}' wants"):
                index(path, layout=layout)


class TestRealSets:
    def test_breastmnist(self, real: Callable[[str], Path]):
        manifest = index(real("breastmnist") / "breastmnist.npz")
        assert counts(manifest, "split") == {"train": 546, "val": 78, "test": 156}
        assert counts(manifest, "label") == {1: 570, 0: 210}

    def test_pneumoniamnist(self, real: Callable[[str], Path]):
        manifest = index(real("pneumoniamnist") / "pneumoniamnist.npz")
        assert counts(manifest, "split") == {"train": 4708, "val": 524, "test": 624}

    def test_hippocampus(self, real: Callable[[str], Path]):
        manifest = index(real("hippocampus"))
        assert len(manifest.table) == 260
        assert manifest.table.masks.map(bool).all()
        assert manifest.set_aside == ()

    def test_busi(self, real: Callable[[str], Path]):
        manifest = index(real("busi_seg"))
        assert len(manifest.table) == 104
        assert manifest.table.masks.map(bool).all()
        assert counts(manifest, "label") == {1: 45, 0: 44, 2: 15}
        assert manifest.classes == ("benign", "malignant", "normal")
