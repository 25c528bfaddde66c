"""Every layout is understood, and what is wrong with the data is named."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from shutil import copyfile

import nibabel
import numpy as np
import pandas as pd
import pytest
import SimpleITK
from PIL import Image
from pydicom.data import get_testdata_file
from rich.console import Console

from tassl.data.layouts import LAYOUTS, index
from tassl.data.layouts.subjects import note_subjects
from tassl.data.manifest import Manifest, make_table, write_manifest
from tassl.data.progress import show_files
from tassl.data.store import build_store
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


def save_mha(file: Path, shape: tuple[int, ...] = (6, 5, 4)) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(noise(*shape).T), str(file))


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

    def test_several_findings_per_image(self, tmp_path: Path):
        file = save_npz(
            tmp_path / "a.npz", images=noise(3, 8, 8), labels=np.array([[0, 1], [1, 1], [0, 0]])
        )
        manifest = index(file)
        assert manifest.table.findings.tolist() == [(0, 1), (1, 1), (0, 0)]
        assert set(manifest.table.label) == {-1}
        assert manifest.classes == ("0", "1")
        assert "findings 3 images: 0 (1), 1 (2)" in manifest.account()

    @pytest.mark.parametrize("shape", [(3, 8, 8, 3), (3, 6, 8, 7)], ids=["rgb", "3d"])
    def test_more_axes(self, tmp_path: Path, shape: tuple[int, ...]):
        manifest = index(save_npz(tmp_path / "a.npz", images=noise(*shape)))
        assert len(manifest.table) == 3
        assert set(manifest.table.label) == {-1}
        assert manifest.classes == ()

    def test_values(self, tmp_path: Path):
        values = np.array([1.5, np.nan, 3])
        manifest = index(save_npz(tmp_path / "a.npz", images=noise(3, 8, 8), values=values))
        assert np.array_equal(manifest.table.value, values, equal_nan=True)

    def test_large_arrays_are_not_read(self, tmp_path: Path):
        header = np.lib.format.header_data_from_array_1_0(noise(1, 224, 224))
        file = tmp_path / "a.npz"
        with zipfile.ZipFile(file, "w") as archive:
            for name, shape in (("images", (9000, 2**20, 2**20)), ("labels", (9000,))):
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array_header_1_0(member, header | {"shape": shape})
                    if name == "labels":
                        member.write(np.zeros(shape, np.uint8).tobytes())
        assert len(index(file).table) == 9000

    def test_negative_labels_are_unknown(self, tmp_path: Path):
        labels = np.array([-1, 0, 1])
        manifest = index(save_npz(tmp_path / "a.npz", images=noise(3, 8, 8), labels=labels))
        assert manifest.table.label.tolist() == [-1, 0, 1]
        assert manifest.classes == ("0", "1")

    @pytest.mark.parametrize(
        ("arrays", "words"),
        [
            ({"images": noise(3, 8, 8), "labels": np.zeros(2, int)}, "labels has 2 entries"),
            ({"images": noise(3, 8, 8), "labels": np.full((3, 4), 2)}, "one class per image"),
            ({"images": noise(3, 8, 8), "labels": np.zeros(3)}, "whole class numbers"),
            ({"images": noise(3, 8)}, "images has shape (3, 8); wanted (image, row, column)"),
            ({"images": np.array(3)}, "images has shape (); wanted"),
            ({"images": noise(3, 8, 8), "labels": np.array(3)}, "labels has 1 entries"),
            ({"images": noise(3, 8, 8), "subjects": noise(3, 2)}, "subjects have shape (3, 2)"),
            ({"images": noise(3, 8, 8), "values": np.array(["a"] * 3)}, "wanted numbers"),
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


class TestVolumePairs:
    def test_decathlon_form(self, tmp_path: Path):
        for name in ("a", "b"):
            save_nifti(tmp_path / "imagesTr" / f"{name}.nii.gz")
            save_nifti(tmp_path / "labelsTr" / f"{name}.nii.gz")
        save_nifti(tmp_path / "imagesTr" / "c.nii.gz")
        (tmp_path / "imagesTr" / "._a.nii.gz").write_bytes(b"junk of another file system")
        facts = {"labels": {"0": "background", "2": "tail", "1": "head"}}
        (tmp_path / "dataset.json").write_text(json.dumps(facts))
        manifest = index(tmp_path)
        assert manifest.layout == "volume-pairs"
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

    def test_channel_files_make_up_one_image(self, tmp_path: Path):
        for name in ("a_0000", "a_0001", "b_0000", "b_0001"):
            save_nifti(tmp_path / "imagesTr" / f"{name}.nii")
        save_nifti(tmp_path / "labelsTr" / "a.nii")
        save_nifti(tmp_path / "imagesTs" / "c_0000.nii")
        save_nifti(tmp_path / "imagesTs" / "c_0001.nii")
        (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "T1", "1": "FLAIR"}}')
        manifest = index(tmp_path)
        assert manifest.table.id.tolist() == ["a", "b", "c"]
        assert manifest.table.parts[0] == ("imagesTr/a_0000.nii", "imagesTr/a_0001.nii")
        assert manifest.table.masks.map(len).tolist() == [1, 0, 0]
        assert "2 files in imagesTs have no labels" in manifest.notes
        assert "channels: T1, FLAIR" in manifest.notes

    def test_missing_channel_file_is_refused(self, tmp_path: Path):
        for name in ("a_0000", "a_0001", "b_0001"):
            save_nifti(tmp_path / "images" / f"{name}.nii")
        with pytest.raises(InputError, match="b has 1 channel files, others 2"):
            index(tmp_path)

    def test_images_and_labels_side_by_side(self, tmp_path: Path):
        for name in ("a_image.nii", "a_label.nii", "b.nii.gz", "b-seg.nii.gz", "c_0001.nii"):
            save_nifti(tmp_path / name)
        table = index(tmp_path).table.set_index("id")
        assert table.file.to_dict() == {"a": "a_image.nii", "b": "b.nii.gz", "c_0001": "c_0001.nii"}
        assert table.masks.to_dict() == {
            "a": ("a_label.nii",),
            "b": ("b-seg.nii.gz",),
            "c_0001": (),
        }

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

    def test_volumes(self, tmp_path: Path):
        for name in ("sick/1.nii.gz", "well/2.nii", "well/3.mha"):
            save_nifti(tmp_path / name) if "nii" in name else save_mha(tmp_path / name)
        manifest = index(tmp_path)
        assert manifest.table.id.tolist() == ["sick/1", "well/2", "well/3"]
        store = build_store(manifest, lambda pixels: pixels, tmp_path / "store")
        assert store.images.shape == (3, 1, 6, 5, 4)

    def test_split_folders(self, tmp_path: Path):
        for name in ("train/a/1.png", "train/b/2.png", "test/a/3.png", "val/b/4.png"):
            save_png(tmp_path / name)
        manifest = index(tmp_path)
        assert counts(manifest, "split") == {"train": 2, "val": 1, "test": 1}
        assert manifest.classes == ("a", "b")
        assert set(index(tmp_path, own_splits=True).table.split) == {""}

    def test_masks_are_paired(self, tmp_path: Path):
        names = ("a/1.png", "a/1_mask.png", "a/2.jpg", "a/2_mask.png", "a/lone_mask.png", "b/3.png")
        for name in names:
            save_png(tmp_path / name)
        table = index(tmp_path).table
        assert table.id.tolist() == ["a/1", "a/2", "a/lone_mask", "b/3"]
        assert table.masks.tolist() == [("a/1_mask.png",), ("a/2_mask.png",), (), ()]

    def test_further_masks_are_united(self, tmp_path: Path):
        for name in ("a/1.png", "b/2.png"):
            save_png(tmp_path / name)
        for name, corner in (("a/1_mask.png", 0), ("a/1_mask_1.png", 5)):
            mask = np.zeros((8, 8), np.uint8)
            mask[corner, corner] = 255
            Image.fromarray(mask).save(tmp_path / name)
        manifest = index(tmp_path)
        assert manifest.table.masks[0] == ("a/1_mask.png", "a/1_mask_1.png")
        store = build_store(manifest, lambda pixels: pixels, tmp_path / "store")
        assert store.masks is not None
        assert np.argwhere(store.masks[0]).tolist() == [[0, 0], [5, 5]]

    def test_two_files_of_one_name_are_not_merged(self, tmp_path: Path):
        save_png(tmp_path / "a/1.png")
        save_png(tmp_path / "a/1.jpg")
        with pytest.raises(InputError, match="'a/1' stands twice"):
            index(tmp_path)

    def test_other_files_and_folders_are_passed_over(self, tmp_path: Path):
        save_png(tmp_path / "a/1.png")
        (tmp_path / "a" / "notes.txt").write_text("x")
        (tmp_path / "a" / "._1.png").write_bytes(b"junk of another file system")
        (tmp_path / "empty").mkdir()
        manifest = index(tmp_path)
        assert manifest.classes == ("a",)
        assert manifest.table.id.tolist() == ["a/1"]


class TestPictures:
    @pytest.mark.parametrize("names", [("1.png", "2.jpg"), ("p1/s1/1.png", "p2/s1/x/2.jpg")])
    def test_alone_and_with_a_table(self, tmp_path: Path, names: tuple[str, ...]):
        for name in (*names, ".hidden/3.png"):
            save_png(tmp_path / "x" / name)
        manifest = index(tmp_path / "x")
        assert manifest.layout == "pictures"
        assert manifest.table.file.tolist() == list(names)
        assert "labels   none: a table of them is added with --csv TABLE" in manifest.account()
        (tmp_path / "t.csv").write_text("file,label\n1.png,sick\n2.jpg,well\n")
        manifest = index(tmp_path / "x", csv=tmp_path / "t.csv")
        assert "labels   2 images: sick (1), well (1)" in manifest.account()
        assert "none: a table" not in manifest.account()

    @pytest.mark.parametrize(("top", "split"), [("test", "test"), ("other", "")])
    def test_splits_where_every_folder_is_one(self, tmp_path: Path, top: str, split: str):
        for name in (f"{top}/p1/s1/1.png", "train/p2/s1/2.png"):
            save_png(tmp_path / name)
        table = index(tmp_path).table.set_index("file")
        assert table.split[f"{top}/p1/s1/1.png"] == split


class TestMaskedPictures:
    def test_side_by_side(self, tmp_path: Path):
        for name in ("1_HC.png", "1_HC_Annotation.png", "1_2HC.png", "2_HC.png", "lone_mask.png"):
            save_png(tmp_path / "set" / name)
        manifest = index(tmp_path)
        assert manifest.layout == "masked-pictures"
        table = manifest.table.set_index("subject")
        assert table.masks.to_dict() == {
            "1_HC": ("set/1_HC_Annotation.png",), "1_2HC": (), "2_HC": (),
        }  # fmt: skip
        assert [item.file for item in manifest.set_aside] == ["set/lone_mask.png"]
        assert "2 pictures have no mask" in manifest.notes
        assert r"--subject '(\d+)' (2 subjects)" in manifest.notes[-1]
        assert index(tmp_path, subject=r"(\d+)_").table.subject.tolist() == ["1", "1", "2"]

    def test_second_observer_is_left_out(self, tmp_path: Path):
        for name in ("a.jpg", "a_1stHO.png", "a_2ndHO.png"):
            save_png(tmp_path / name)
        manifest = index(tmp_path)
        assert manifest.table.masks.tolist() == [("a_1stHO.png",)]
        assert "1 masks of a second observer are left out" in manifest.notes

    @pytest.mark.parametrize("folder", ["masks", "labels"])
    def test_two_folders(self, tmp_path: Path, folder: str):
        for name in ("a", "b"):
            save_png(tmp_path / "images" / f"{name}.png")
        save_png(tmp_path / folder / "a.png")
        save_png(tmp_path / folder / "b_mask.png")
        manifest = index(tmp_path)
        assert manifest.table.masks.tolist() == [(f"{folder}/a.png",), (f"{folder}/b_mask.png",)]
        assert not manifest.instances

    def test_numbered_objects(self, tmp_path: Path):
        save_png(tmp_path / "images" / "a.png", (20, 20))
        (tmp_path / "labels").mkdir()
        numbers = (np.arange(400).reshape(20, 20) // 10).astype(np.uint16)
        Image.fromarray(numbers).save(tmp_path / "labels" / "a.png")
        manifest = index(tmp_path)
        assert manifest.instances
        store = build_store(manifest, lambda pixels: pixels, tmp_path / "store")
        assert store.masks is not None
        assert np.array_equal(store.masks[0], numbers > 0)


def save_voc(root: Path, boxes: str = "") -> None:
    save_png(root / "JPEGImages" / "a.png", (40, 60))
    save_png(root / "JPEGImages" / "b.png", (40, 60))
    (root / "Annotations").mkdir()
    (root / "Annotations" / "a.xml").write_text(
        f"<annotation>{boxes}<object><name>cell</name><bndbox><xmin>5</xmin><ymin>6</ymin>"
        "<xmax>15</xmax><ymax>26</ymax></bndbox></object></annotation>"
    )


class TestProposals:
    @pytest.mark.parametrize(
        ("files", "subjects"),
        [
            (["set2/000_HC.png", "set2/000_2HC.png", "set2/001_HC.png"], 2),
            (["Image_01L.jpg", "Image_01R.jpg", "Image_02L.jpg"], 2),
            (["7/p1_1.png", "7/p1_2.png", "8/q1_1.png"], 2),
            (["benign/benign (1).png", "malignant/malignant (1).png"], 0),
            (["scan_01.png", "scan_02.png"], 0),
            (["2021_1.png", "2021_2.png"], 0),
            (["a3f9.png", "b3f9.png"], 0),
        ],
    )
    def test_the_option_proposed_does_what_is_said(self, files: list[str], subjects: int):
        note = note_subjects(files)
        proposed = re.search(r"--subject '(.*)' \((\d+) subjects\)", note)
        assert bool(proposed) == bool(subjects)
        if proposed:
            found = {re.search(proposed[1], file)[1] for file in files}  # type: ignore[index]
            assert len(found) == int(proposed[2]) == subjects


class TestBoxes:
    def test_voc(self, tmp_path: Path):
        flat = (
            "<object><name>dot</name><bndbox><xmin>5</xmin><ymin>6</ymin><xmax>5</xmax>"
            "<ymax>26</ymax></bndbox></object>"
        )
        save_voc(tmp_path, flat)
        (tmp_path / "ImageSets/Main").mkdir(parents=True)
        (tmp_path / "ImageSets/Main/test.txt").write_text("b\n")
        manifest = index(tmp_path)
        assert manifest.layout == "voc"
        assert manifest.classes == ("cell",)
        assert manifest.table.boxes.tolist() == [(0, 6, 5, 26, 15), None]
        assert manifest.table.split.tolist() == ["", "test"]
        assert "1 boxes without an area were dropped" in manifest.notes
        assert "1 images, 1 boxes" in manifest.account()

    @pytest.mark.parametrize("text", ["<annotation>", "<a><object><name>x</name></object></a>"])
    def test_damaged_annotation_is_set_aside(self, tmp_path: Path, text: str):
        save_voc(tmp_path)
        (tmp_path / "Annotations" / "b.xml").write_text(text)
        (item,) = index(tmp_path).set_aside
        assert item.file == "Annotations/b.xml"

    def save_coco(self, root: Path, **changes: object) -> Path:
        save_png(root / "images" / "a.png", (40, 60))
        facts = {
            "images": [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "gone.png"}],
            "categories": [{"id": 3, "name": "cell"}, {"id": 9, "name": "dot"}],
            "annotations": [
                {"image_id": 7, "category_id": 9, "bbox": [5, 6, 10, 20]},
                {"image_id": 7, "category_id": 3, "bbox": [1, 2, 0, 4]},
            ],
        }
        (root / "train.json").write_text(json.dumps(facts | changes))
        return root

    def test_coco(self, tmp_path: Path):
        manifest = index(self.save_coco(tmp_path))
        assert manifest.layout == "coco"
        assert manifest.classes == ("cell", "dot")
        assert manifest.table.boxes.tolist() == [(1, 6, 5, 26, 15)]
        assert manifest.table.split.tolist() == ["train"]
        assert [item.file for item in manifest.set_aside] == ["gone.png"]

    def test_outlines_are_not_passed_over_in_silence(self, tmp_path: Path):
        note = {"image_id": 7, "category_id": 9, "bbox": [5, 6, 9, 9]}
        outlined = note | {"segmentation": [[5, 6, 14, 6, 14, 15]]}
        manifest = index(self.save_coco(tmp_path, annotations=[note, outlined]))
        assert any("1 outlines are not read" in told for told in manifest.notes)

    @pytest.mark.parametrize(
        "change", [{"bbox": ["x"]}, {"bbox": [1, 2]}, {"category_id": 4}, {"bbox": None}]
    )
    def test_damaged_coco(self, tmp_path: Path, change: dict):
        bad = [{"image_id": 7, "category_id": 9, "bbox": [1, 1, 2, 2]} | change]
        with pytest.raises(InputError, match=r"train\.json is damaged"):
            index(self.save_coco(tmp_path, annotations=bad))

    def test_a_picture_outside_the_data_is_not_read(self, tmp_path: Path):
        save_png(tmp_path / "secret.png")
        root = self.save_coco(tmp_path / "set", images=[{"id": 7, "file_name": "../../secret.png"}])
        with pytest.raises(InputError, match="No usable image"):
            index(root)


class TestTables:
    def save(self, root: Path, text: str, name: str = "t.csv") -> Path:
        for picture in ("a", "b", "c"):
            save_png(root / "pictures" / f"{picture}.png")
        (root / name).write_text(text)
        return root / name

    def test_alone(self, tmp_path: Path):
        file = self.save(
            tmp_path,
            "Image,Patient_ID,Diagnosis,Fold,Age (years),mask\n"
            "pictures/a.png,p1,benign,training,40,\n"
            "pictures/b.png,p2,malign,test,55.5,pictures/c.png\n",
        )
        manifest = index(file)
        table = manifest.table
        assert table.subject.tolist() == ["p1", "p2"]
        assert table.label.tolist() == [0, 1]
        assert manifest.classes == ("benign", "malign")
        assert table.split.tolist() == ["train", "test"]
        assert table.value.tolist() == [40, 55.5]
        assert manifest.unit == "years"
        assert table.masks.tolist() == [(), ("pictures/c.png",)]
        assert "2 images, 40 to 55.5 years" in manifest.account()

    def test_sex_and_age_are_kept_but_no_free_text(self, tmp_path: Path):
        rows = "pictures/a.png,Female,103,1\npictures/b.png,m,,0\npictures/c.png,Jane Doe,x,1\n"
        file = self.save(tmp_path, f"file,Gender,age,label\n{rows}")
        for manifest in (index(file), index(tmp_path, csv=file, layout="class-folders")):
            table = manifest.table
            assert table.sex.tolist() == ["F", "M", ""]
            assert table.age[0] == 90, "a rare age could name a person"
            assert table.age[1:].isna().all()
            assert "sexes    F 1, M 1" in manifest.account()
            assert "Jane" not in table.to_csv()
        write_manifest(index(file), tmp_path / "m.parquet")
        old = pd.read_parquet(tmp_path / "m.parquet").drop(columns=["sex", "age"])
        old.to_parquet(tmp_path / "old.parquet")
        assert index(tmp_path / "old.parquet").table.sex.tolist() == [""] * 3

    def test_the_folder_tells_files_of_one_name_apart(self, tmp_path: Path):
        for name in ("x/1.png", "x/2.png", "y/1.png", "y/2.png"):
            save_png(tmp_path / name)
        rows = "x/1.png,A,p1\nx/2.png,B,p2\ny/1.png,B,p3\ny/2.png,A,p4\n"
        (tmp_path / "t.csv").write_text(f"path,label,patient\n{rows}")
        for manifest in (
            index(tmp_path / "t.csv"),
            index(tmp_path, layout="class-folders", csv=tmp_path / "t.csv"),
        ):
            assert manifest.table.label.tolist() == [0, 1, 1, 0]
            assert manifest.table.subject.tolist() == ["p1", "p2", "p3", "p4"]
            assert not any("own subject" in note for note in manifest.notes)

    @pytest.mark.parametrize(
        ("rows", "words"),
        [("1.png,a\n", "several images end so"), ("x/1.png,a\nx/1,b\n", "two rows for x/1.png")],
    )
    def test_unclear_rows_are_refused(self, tmp_path: Path, rows: str, words: str):
        for name in ("x/1.png", "y/1.png"):
            save_png(tmp_path / name)
        (tmp_path / "t.csv").write_text(f"file,label\n{rows}")
        with pytest.raises(InputError, match=words):
            index(tmp_path, layout="class-folders", csv=tmp_path / "t.csv")

    def test_what_the_table_leaves_out_stays(self, tmp_path: Path):
        for name in ("a.png", "a_mask.png", "b.png", "b_mask.png"):
            save_png(tmp_path / name)
        (tmp_path / "t.csv").write_text("file,subject,mask\na.png,p1,\n")
        table = index(tmp_path, csv=tmp_path / "t.csv").table
        assert table.subject.tolist() == ["p1", "b"]
        assert table.masks.tolist() == [("a_mask.png",), ("b_mask.png",)]

    def test_numbers_stay_in_order_and_ids_keep_their_zeros(self, tmp_path: Path):
        file = self.save(tmp_path, "file,grade,id\na,10,01\nb,2,1\nc,,001\n")
        folder = {"csv": file, "layout": "class-folders"}
        manifest = index(tmp_path, **folder, label="grade")
        assert manifest.classes == ("2", "10")
        assert manifest.table.label.tolist() == [1, 0, -1]
        file.write_text(file.read_text().replace("id", "patient"))
        assert index(tmp_path, **folder).table.subject.tolist() == ["01", "1", "001"]

    def test_findings(self, tmp_path: Path):
        file = self.save(tmp_path, "file,effusion,nodule\na,0,1\nb,1,1\nc,,0\n")
        manifest = index(tmp_path, csv=file, layout="class-folders")
        assert manifest.table.findings.tolist() == [(0, 1), (1, 1), (-1, 0)]
        assert manifest.classes == ("effusion", "nodule")
        assert set(manifest.table.label) == {-1}

    def test_names_of_classes_beside_their_numbers(self, tmp_path: Path):
        file = self.save(tmp_path, "file,label,diagnosis\na,1,melanoma\nb,0,naevus\n")
        assert index(tmp_path, csv=file, layout="class-folders").classes == ("melanoma", "naevus")
        file.write_text("file,label,diagnosis\na,1,x\nb,1,y\n")
        with pytest.raises(OptionError, match=r"label, diagnosis.*--label COLUMN"):
            index(tmp_path, csv=file, layout="class-folders")

    def test_options_of_a_table_alone(self, tmp_path: Path):
        file = self.save(
            tmp_path, "file,length (mm),mass (g)\npictures/a.png,1,2\npictures/gone.png,1,2\n"
        )
        manifest = index(file, value="mass (g)")
        assert (manifest.table.value.tolist(), manifest.unit) == ([2], "g")
        assert [item.file for item in manifest.set_aside] == ["pictures/gone.png"]

    def test_what_is_no_split_is_said(self, tmp_path: Path):
        file = self.save(tmp_path, "file,fold,label\na,1,x\nb,2,y\n")
        manifest = index(tmp_path, csv=file, layout="class-folders")
        assert "column 'fold' is not understood as split" in manifest.notes

    def test_beside_a_folder(self, tmp_path: Path):
        file = self.save(tmp_path, "filename,pixel size(mm),length (mm)\nA.png,0.5,12\nb,0.25,9\n")
        manifest = index(tmp_path, csv=file, layout="class-folders")
        assert manifest.table.spacing.tolist() == [(0.5, 0.5), (0.25, 0.25), ()]
        assert manifest.table.value.tolist()[:2] == [12, 9]
        assert manifest.unit == "mm"
        assert "1 images are not in t.csv" in manifest.notes
        store = build_store(manifest, lambda pixels: pixels, tmp_path / "store")
        assert store.table.value.tolist()[:2] == [12, 9]
        assert [None if s is None else s[0] for s in store.table.spacing] == [0.5, 0.25, None]

    def test_which_value_must_be_clear(self, tmp_path: Path):
        file = self.save(tmp_path, "file,length (mm),mass (g)\na.png,1,2\n")
        folder = {"csv": file, "layout": "class-folders"}
        with pytest.raises(OptionError, match=r"length \(mm\), mass \(g\).*--value COLUMN"):
            index(tmp_path, **folder)
        assert index(tmp_path, **folder, value="mass (g)").table.value[0] == 2
        assert index(tmp_path, **folder, value="mass (g)", label="length (mm)").classes == ("1",)
        with pytest.raises(OptionError, match="no column 'x'"):
            index(tmp_path, **folder, value="x")

    def test_options_without_a_table(self, tmp_path: Path):
        self.save(tmp_path, "x\n1\n")
        with pytest.raises(OptionError, match="give it with --csv"):
            index(tmp_path, label="x", layout="class-folders")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "cannot be read as a table"),
            ("file\n", "holds no rows"),
            ("x,y\n1,2\n", "has the columns x, y; wanted one of file"),
            ("file\nnowhere.png\n", "names none of the images"),
        ],
    )
    def test_bad_tables(self, tmp_path: Path, text: str, words: str):
        file = self.save(tmp_path, text)
        with pytest.raises(InputError, match=words):
            index(tmp_path, csv=file, layout="class-folders")

    def test_a_manifest_comes_back(self, tmp_path: Path):
        save_voc(tmp_path / "voc")
        (tmp_path / "voc" / "Annotations" / "b.xml").write_text("<a>")
        first = index(tmp_path / "voc")
        assert first.set_aside
        write_manifest(first, tmp_path / "m.parquet")
        again = index(tmp_path / "m.parquet")
        pd.testing.assert_frame_equal(again.table, first.table)
        assert (again.root, again.layout) == (first.root.resolve(), "voc")
        assert (again.classes, again.notes) == (first.classes, first.notes)
        assert again.set_aside == first.set_aside
        store = build_store(again, lambda pixels: pixels, tmp_path / "store")
        assert store.table.id.tolist() == ["a", "b"]
        with pytest.raises(OptionError, match="leave out --label and --value"):
            index(tmp_path / "m.parquet", label="site")


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
        assert "given split: p2 (train/b/p2_1 in train, test/a/p2_9 in test)." in str(caught.value)
        assert "give the same command with --own-splits" in str(caught.value)
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
        with pytest.raises(UnknownName, match="Did you mean 'volume-pairs'"):
            index(tmp_path, layout="volume-pair")

    @pytest.mark.parametrize("layout", list(LAYOUTS))
    def test_layout_that_does_not_fit(self, tmp_path: Path, layout: str):
        (tmp_path / "notes.txt").write_text("x")
        for path in (tmp_path, tmp_path / "notes.txt"):
            with pytest.raises(InputError, match=f"does not lie as layout '{layout}' wants"):
                index(path, layout=layout)


class TestProgress:
    def test_every_file_that_is_looked_at_is_shown(self, tmp_path: Path):
        save_voc(tmp_path / "voc")
        (tmp_path / "dicom").mkdir()
        for name in "ab":
            save_nifti(tmp_path / "volumes/images" / f"{name}.nii")
            copyfile(str(get_testdata_file("CT_small.dcm")), tmp_path / f"dicom/{name}.dcm")
        seen: list[str] = []

        def track(files: list[Path]) -> Iterator[Path]:
            for file in files:
                seen.append(file.name)
                yield file

        for folder, files in (
            ("voc", ["a.xml"]),
            ("volumes", ["a.nii", "b.nii"]),
            ("dicom", ["a.dcm", "b.dcm"]),
        ):
            index(tmp_path / folder, track=track)
            assert seen == files
            seen.clear()

    def test_the_bar_hands_the_files_on(self):
        screen = StringIO()
        files = [Path("a"), Path("b")]
        assert list(show_files(files, Console(file=screen, force_terminal=True))) == files
        assert "Looking at files" in screen.getvalue()
        assert list(show_files(files, Console(file=(quiet := StringIO())))) == files
        assert quiet.getvalue() == ""


class TestAccount:
    def test_tells_of_every_kind(self, tmp_path: Path):
        rows = [
            {"subject": "p", "label": 0, "value": 1.5, "masks": ("m",), "split": "train"},
            {"subject": "p", "label": 1, "value": 2.25, "boxes": (0, 1, 1, 2, 2), "site": "x"},
            {"subject": "q", "label": 1, "parts": ("a", "b"), "spacing": (0.5, 2.0)},
        ]
        table = make_table([{"id": str(k), "file": str(k)} | row for k, row in enumerate(rows)])
        note = "a note"
        manifest = Manifest(tmp_path, "table", table, ("cat", "dog"), (note,), unit="mm")
        assert manifest.account().splitlines() == [
            "layout   table",
            "images   3 of 2 subjects, 1 of them with several",
            "labels   3 images: cat (1), dog (2)",
            "values   2 images, 1.5 to 2.25 mm",
            "masks    1 images",
            "boxes    1 images, 1 boxes: cat (1), dog (0)",
            "files    2 an image",
            "spacing  0.5 to 2 mm",
            "sites    1, 1 images",
            "splits   train 1",
            "note     a note",
        ]


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

    def test_hc18(self, real: Callable[[str], Path]):
        root = real("hc18")
        table = root / "training_set_pixel_size_and_HC.csv"
        manifest = index(root, csv=table, subject=r"(\d+)_\d?HC")
        assert len(manifest.table) == 332
        assert manifest.table.subject.nunique() == 260
        assert manifest.table.masks.map(len).eq(1).all()
        assert manifest.unit == "mm"
        assert manifest.table.value.between(40, 350).all()
        assert manifest.table.spacing.map(len).eq(2).all()

    def test_hippocampus_volumes(self, real: Callable[[str], Path]):
        root = real("hippocampus")
        with pytest.raises(OptionError, match="--value COLUMN"):
            index(root, csv=root / "volumes.csv")
        manifest = index(root, csv=root / "volumes.csv", value="hippocampus_mm3")
        assert manifest.unit == "mm3"
        assert manifest.table.value.notna().sum() == 260
        assert manifest.table.subject.nunique() == 260

    def test_bccd(self, real: Callable[[str], Path]):
        manifest = index(real("bccd"))
        assert counts(manifest, "split") == {"train": 205, "val": 87, "test": 72}
        classes = [int(c) for boxes in manifest.table.boxes for c in boxes[::5]]
        assert dict(zip(manifest.classes, np.bincount(classes).tolist(), strict=True)) == {
            "Platelets": 361, "RBC": 4153, "WBC": 372,
        }  # fmt: skip
        assert "2 boxes without an area were dropped" in manifest.notes

    @pytest.mark.parametrize(
        ("name", "layout", "images"),
        [
            ("busi_seg", "class-folders", 104),
            ("hc18", "masked-pictures", 332),
            ("chase_db1", "masked-pictures", 28),
            ("dsb2018_nuclei", "masked-pictures", 120),
            ("bccd", "voc", 364),
            ("pyradiomics", "volume-pairs", 4),
            ("hippocampus", "volume-pairs", 260),
            ("ct_head_dicom", "dicom-tree", 1),
        ],
    )
    def test_every_set_is_understood_unaided(self, real, name, layout, images):
        manifest = index(real(name))
        assert manifest.layout == layout
        assert len(manifest.table) == images
        assert manifest.set_aside == ()
        assert manifest.instances == (name == "dsb2018_nuclei")

    def test_busi(self, real: Callable[[str], Path]):
        manifest = index(real("busi_seg"))
        assert len(manifest.table) == 104
        assert manifest.table.masks.map(bool).all()
        assert counts(manifest, "label") == {1: 45, 0: 44, 2: 15}
        assert manifest.classes == ("benign", "malignant", "normal")
