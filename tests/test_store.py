"""The store: one grid, nothing lost in silence, whole or not at all."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tassl.data.audit import Duplicate, find_duplicates
from tassl.data.grid import Grid, choose_grid, fit_to_grid
from tassl.data.layouts import index
from tassl.data.manifest import Manifest, make_table
from tassl.data.readers import Picture
from tassl.data.store import Store, build_store, building, open_store
from tassl.data.store.survey import HOLES
from tassl.errors import InputError
from tassl.modality.preparing import fill_missing

rng = np.random.default_rng(0)


def keep(pixels: np.ndarray) -> np.ndarray:
    return pixels


def noise(*shape: int) -> np.ndarray:
    return rng.integers(0, 255, shape, dtype=np.uint8)


def save_folder(root: Path, sizes: dict[str, tuple[int, ...]]) -> Path:
    for name, size in sizes.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(*size)).save(root / name)
    return root


def save_volume(file: Path, pixels: np.ndarray, spacing: tuple[float, ...] = (1, 1, 1)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([*spacing, 1])
    nibabel.save(nibabel.Nifti1Image(pixels, affine), file)  # type: ignore[attr-defined]


def build(data: Path, place: Path, **options: int) -> Store:
    return build_store(index(data), keep, place, **options)


class TestGrid:
    def test_without_spacing_keeps_the_aspect_of_each(self):
        assert choose_grid([(50, 100), (80, 40)], [None, None], 128) == Grid((100, 100), None)
        assert choose_grid([(300, 600)], [None], 128) == Grid((64, 128), None)

    def test_small_images_are_not_enlarged(self):
        assert choose_grid([(28, 28)] * 3, [None] * 3, 128).shape == (28, 28)

    def test_with_spacing_holds_every_extent(self):
        spacings = [(1.0, 1.0, 1.0), (1.0, 1.0, 2.0), (1.0, 1.0, 1.0)]
        grid = choose_grid([(30, 30, 20), (30, 30, 20), (20, 20, 20)], spacings, 64)
        assert grid == Grid((30, 30, 40), (1.0, 1.0, 1.0))

    def test_coarsened_only_as_far_as_asked(self):
        grid = choose_grid([(100, 50, 20)], [(0.5, 0.5, 2.0)], 50)
        assert grid == Grid((50, 25, 10), (1.0, 1.0, 4.0))

    def test_one_unknown_spacing_means_none(self):
        assert choose_grid([(8, 8), (8, 8)], [(1.0, 1.0), None], 64).spacing is None

    def test_anisotropic_voxels_cover_equal_extent(self):
        """A cube of 12 mm in voxels of 1 x 2 x 3 mm."""
        cube = np.zeros((1, 24, 12, 8), np.float32)
        cube[:, 6:18, 3:9, 2:6] = 1
        fitted = fit_to_grid(Picture(cube, (1.0, 2.0, 3.0)), Grid((24, 24, 24), (1.0,) * 3))
        sides = [np.ptp(axis) + 1 for axis in np.nonzero(fitted[0] > 0.5)]
        assert sides == pytest.approx([12, 12, 12], abs=1)

    def test_masks_keep_their_values(self):
        values = np.array([0, 1, 5], np.uint8)
        mask = rng.choice(values, (1, 13, 9))
        for shape in ((20, 20), (7, 7)):
            fitted = fit_to_grid(Picture(mask), Grid(shape, None), is_mask=True)
            assert set(np.unique(fitted)) <= set(values)
            assert fitted.dtype == np.uint8

    def test_padding_is_even_and_of_the_images_minimum(self):
        image = np.full((1, 4, 8), 3, np.float32)
        image[0, 0, 0] = -2
        fitted = fit_to_grid(Picture(image), Grid((8, 8), None))[0]
        assert (fitted[:2] == -2).all()
        assert (fitted[6:] == -2).all()
        assert np.array_equal(fitted[2:6], image[0])
        mask = fit_to_grid(Picture(np.ones((1, 4, 8))), Grid((8, 8), None), is_mask=True)[0]
        assert mask.sum() == 32

    def test_larger_extent_is_cut_around_its_centre(self):
        image = np.arange(10, dtype=np.float32)[None, :, None] * np.ones((1, 10, 6))
        fitted = fit_to_grid(Picture(image, (1.0, 1.0)), Grid((6, 6), (1.0, 1.0)))
        assert fitted[0, :, 0].tolist() == [2, 3, 4, 5, 6, 7]


def test_pictures_of_different_fields_of_view_are_scaled_each_on_its_own():
    shapes, sizes = [(540, 800)] * 5, [0.1, 0.11, 0.12, 0.1, 0.4]
    spacings = [(size, size) for size in sizes]
    assert choose_grid(shapes, spacings, 128) == Grid((86, 128), None)
    assert choose_grid(shapes[:4], spacings[:4], 128).spacing is not None
    assert choose_grid(shapes, spacings, 128, to_scale=True).spacing is not None
    volumes = [(*spacing, 1.0) for spacing in spacings]
    assert choose_grid([(50, 50, 20)] * 5, volumes, 64).spacing is not None


class TestBuilding:
    def test_folder_of_pictures(self, tmp_path: Path):
        data = save_folder(tmp_path / "d", {"a/1.png": (20, 10), "b/2.png": (10, 20, 3)})
        seen = []
        store = build_store(
            index(data), keep, tmp_path / "s", longest=16, on_image=lambda: seen.append(1)
        )
        assert store.images.shape == (2, 3, 16, 16)
        assert store.images.dtype == np.float16
        assert store.masks is None
        assert (store.dims, store.channels, store.classes) == (2, 3, ("a", "b"))
        assert len(seen) == 4
        assert "resampled to 16 x 16" in store.notes[-1]

    def test_same_size_is_kept_bit_for_bit(self, tmp_path: Path):
        images = noise(3, 12, 12)
        np.savez(tmp_path / "d.npz", images=images, masks=images // 100)
        store = build(tmp_path / "d.npz", tmp_path / "s")
        assert np.array_equal(store.images[:, 0], images)
        assert store.masks is not None
        assert np.array_equal(store.masks, images // 100)
        assert store.mask_values == (0, 1, 2)
        assert not any("resampled" in note for note in store.notes)

    def test_pixels_without_a_number_are_told(self, tmp_path: Path):
        images = noise(3, 12, 12).astype(np.float32)
        images[0, 0, 0] = np.nan
        np.savez(tmp_path / "d.npz", images=images)
        store = build_store(index(tmp_path / "d.npz"), fill_missing, tmp_path / "s")
        assert [note for note in store.notes if "no finite number" in note] == [HOLES]
        assert store.images[0, 0, 0, 0] == np.nanmin(images[0])

    def test_mask_values_are_numbered(self, tmp_path: Path):
        masks = np.zeros((2, 8, 8), np.uint8)
        masks[0, :4], masks[1, 4:] = 255, 7
        np.savez(tmp_path / "d.npz", images=noise(2, 8, 8), masks=masks)
        store = build(tmp_path / "d.npz", tmp_path / "s")
        assert store.mask_values == (0, 7, 255)
        assert store.masks is not None
        assert np.unique(store.masks[0]).tolist() == [0, 2]
        assert np.unique(store.masks[1]).tolist() == [0, 1]

    def test_volumes_of_other_spacing(self, tmp_path: Path):
        save_volume(tmp_path / "d/images/a.nii", noise(8, 8, 8), (1, 1, 1))
        save_volume(tmp_path / "d/images/b.nii", noise(8, 8, 4), (1, 1, 2))
        store = build(tmp_path / "d", tmp_path / "s")
        assert store.images.shape == (2, 1, 8, 8, 6)  # the median voxel is 1 x 1 x 1.5 mm
        assert store.grid.spacing == (1.0, 1.0, 1.5)

    def test_channels_are_unlike(self, tmp_path: Path):
        """A grey image among colour ones fills every channel."""
        data = save_folder(tmp_path / "d", {"a/1.png": (8, 8), "a/2.png": (8, 8, 3)})
        store = build(data, tmp_path / "s")
        assert np.array_equal(store.images[0, 0], store.images[0, 2])

    def test_corrupt_files_are_set_aside(self, tmp_path: Path):
        data = save_folder(tmp_path / "d", {f"a/{k}.png": (8, 8) for k in range(3)})
        (data / "a/1.png").write_bytes((data / "a/1.png").read_bytes()[:50])
        (data / "a/2.png").write_bytes(b"")
        store = build(data, tmp_path / "s")
        assert store.table.id.tolist() == ["a/0"]
        assert [item.file for item in store.set_aside] == ["a/1.png", "a/2.png"]
        assert all(item.reason.startswith("cannot be read") for item in store.set_aside)

    def test_truncated_volume_is_set_aside(self, tmp_path: Path):
        for name in "ab":
            save_volume(tmp_path / f"d/images/{name}.nii", noise(8, 8, 8))
            save_volume(tmp_path / f"d/labels/{name}.nii", noise(8, 8, 8) // 128)
        file = tmp_path / "d/images/b.nii"
        file.write_bytes(file.read_bytes()[:500])
        store = build(tmp_path / "d", tmp_path / "s")
        assert store.table.id.tolist() == ["a"]
        assert store.set_aside[0].file == "images/b.nii"

    def test_all_corrupt(self, tmp_path: Path):
        data = save_folder(tmp_path / "d", {"a/1.png": (8, 8)})
        (data / "a/1.png").write_bytes(b"x")
        with pytest.raises(InputError, match=r"No image of .* can be read. a/1.png: cannot"):
            build(data, tmp_path / "s")

    def test_mixed_dimensions(self, tmp_path: Path):
        save_volume(tmp_path / "d/images/a.nii", noise(8, 8, 8))
        save_volume(tmp_path / "d/images/b.nii", noise(8, 8))
        with pytest.raises(InputError, match=r"mixes images of \[2, 3\] dimensions"):
            build(tmp_path / "d", tmp_path / "s")

    def test_masks_with_many_values(self, tmp_path: Path):
        np.savez(tmp_path / "d.npz", images=noise(2, 16, 16), masks=noise(2, 16, 16))
        with pytest.raises(InputError, match="saved as JPEG"):
            build(tmp_path / "d.npz", tmp_path / "s")

    def test_mask_of_another_shape(self, tmp_path: Path):
        data = save_folder(tmp_path / "d", {"a/1.png": (8, 8), "a/1_mask.png": (8, 9)})
        with pytest.raises(InputError) as caught:
            build(data, tmp_path / "s")
        assert "a/1_mask.png has shape (8, 9), its image a/1.png (8, 8)" in str(caught.value)


class TestStore:
    @pytest.fixture
    def data(self, tmp_path: Path) -> Path:
        np.savez(
            tmp_path / "d.npz",
            images=noise(30, 16, 16),
            labels=np.arange(30) % 2,
            masks=noise(30, 16, 16) // 128,
        )
        return tmp_path / "d.npz"

    def test_opens_as_built(self, data: Path, tmp_path: Path):
        store, again = build(data, tmp_path / "s"), open_store(tmp_path / "s")
        assert np.array_equal(store.images, again.images)
        pd.testing.assert_frame_equal(store.table, again.table)
        assert (store.grid, store.digest, store.notes) == (again.grid, again.digest, again.notes)

    def test_appears_whole_or_not_at_all(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(building, "_hash_table", stop)
            with pytest.raises(KeyboardInterrupt):
                build(data, tmp_path / "s")
        assert not (tmp_path / "s").exists()
        assert build(data, tmp_path / "s").images.shape == (30, 1, 16, 16)
        assert not list(tmp_path.glob("s.*.part"))

    def test_travels_as_its_path(self, data: Path, tmp_path: Path):
        store = build(data, tmp_path / "s")
        parcel = pickle.dumps(store)
        assert len(parcel) < 500
        assert np.array_equal(pickle.loads(parcel).images, store.images)

    @pytest.mark.parametrize("part", ["images", "labels", "masks"])
    def test_digest_follows_every_value(self, data: Path, tmp_path: Path, part: str):
        before = build(data, tmp_path / "s").digest
        assert build(data, tmp_path / "again").digest == before
        arrays = dict(np.load(data))
        arrays[part].flat[3] ^= 1
        np.savez(data, **arrays)
        assert build(data, tmp_path / "t").digest != before


class TestDuplicates:
    def test_the_more_guarded_copy_stays(self):
        table = pd.DataFrame({"id": list("abcdef"), "digest": list("xxxyyz")})
        split = np.array(["train", "val", "test", "train", "train", "test"])
        assert find_duplicates(table, split) == [
            Duplicate("c", "test", "b", "val"),
            Duplicate("c", "test", "a", "train"),
        ]

    def test_nothing_between_unlike_images(self):
        table = pd.DataFrame({"id": list("ab"), "digest": list("xy")})
        assert find_duplicates(table, np.array(["train", "test"])) == []

    def test_breastmnist(self, real: Callable[[str], Path], tmp_path: Path):
        store = build(real("breastmnist") / "breastmnist.npz", tmp_path / "s")
        found = find_duplicates(store.table, store.table.split.to_numpy())
        assert found == [Duplicate("test-00076", "test", "train-00115", "train")]

    def test_pneumoniamnist(self, real: Callable[[str], Path], tmp_path: Path):
        store = build(real("pneumoniamnist") / "pneumoniamnist.npz", tmp_path / "s")
        found = find_duplicates(store.table, store.table.split.to_numpy())
        assert {(pair.kept_split, pair.removed_split) for pair in found} == {("val", "train")}
        digest = store.table.set_index("id").digest
        assert len({digest[pair.kept] for pair in found}) == 8


def test_manifest_table_fills_what_is_unknown(tmp_path: Path):
    table = make_table([{"id": "a", "file": "a.png", "subject": "p"}])
    assert table.loc[0, ["array", "split", "study", "site"]].tolist() == [""] * 4
    assert table.loc[0, ["parts", "masks", "findings"]].tolist() == [()] * 3
    assert table.loc[0, ["item", "label"]].tolist() == [-1, -1]
    assert "none given" in Manifest(tmp_path, "x", table).account()
