"""Every kind of file: the right pixels, the right axes, the right voxel size, or a clear reason."""

from __future__ import annotations

import gzip
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
import tifffile
from PIL import Image

from tassl.data.readers import (
    READERS,
    count_items,
    is_grey,
    read_mask,
    read_picture,
    read_shape,
)
from tassl.data.readers.base import MOST_BYTES, drop_alpha
from tassl.data.readers.orientation import to_canonical
from tassl.errors import UnreadableFile

rng = np.random.default_rng(0)


def noise(*shape: int, kind: str = "u1") -> np.ndarray:
    return rng.integers(0, 255, shape).astype(kind)


def save_nifti(file: Path, pixels: np.ndarray, affine: np.ndarray | None = None) -> Any:
    image = nibabel.Nifti1Image(pixels, np.eye(4) if affine is None else affine)  # type: ignore[attr-defined]
    nibabel.save(image, file)  # type: ignore[attr-defined]
    return image


def change_bytes(file: Path, at: int, new: bytes) -> None:
    held = bytearray(file.read_bytes())
    held[at : at + len(new)] = new
    file.write_bytes(held)


class TestPhoto:
    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
    @pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif"])
    def test_modes(self, tmp_path: Path, mode: str, ending: str):
        try:
            Image.fromarray(noise(5, 4)).convert(mode).save(tmp_path / f"a.{ending}")
        except OSError as error:
            pytest.skip(str(error))
        with Image.open(tmp_path / f"a.{ending}") as stored:
            grey = stored.mode in ("1", "L", "LA")
            wanted = np.asarray(stored.convert("L" if grey else "RGB")).reshape(5, 4, -1)
        pixels = read_picture(tmp_path / f"a.{ending}").pixels
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, wanted.transpose(2, 0, 1))

    @pytest.mark.parametrize("ending", ["gif", "pgm", "ppm", "webp"])
    def test_rarer_kinds(self, tmp_path: Path, ending: str):
        shape = (5, 4) if ending in ("gif", "pgm") else (5, 4, 3)
        Image.fromarray(noise(*shape)).save(tmp_path / f"a.{ending}", lossless=True)
        with Image.open(tmp_path / f"a.{ending}") as stored:
            colours = stored.convert("RGB" if stored.mode == "P" else stored.mode)
            wanted = np.asarray(colours).reshape(5, 4, -1).transpose(2, 0, 1)
        assert np.array_equal(read_picture(tmp_path / f"a.{ending}").pixels, wanted)

    @pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
    def test_sixteen_bits_grey(self, tmp_path: Path, ending: str):
        pixels = rng.integers(0, 65535, (5, 4), dtype=np.uint16)
        Image.fromarray(pixels).save(tmp_path / f"a.{ending}")
        assert np.array_equal(read_picture(tmp_path / f"a.{ending}").pixels[0], pixels)

    @pytest.mark.parametrize("channels", [3, 4])
    def test_sixteen_bits_with_channels(self, tmp_path: Path, channels: int):
        pixels = rng.integers(0, 65535, (5, 4, channels), dtype=np.uint16)
        pixels[..., 3:] = 65535
        image = SimpleITK.GetImageFromArray(pixels, isVector=True)
        SimpleITK.WriteImage(image, str(tmp_path / "a.png"))
        read = read_picture(tmp_path / "a.png").pixels
        assert np.array_equal(read, pixels.transpose(2, 0, 1)[:3])

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_turns_photos_but_not_masks(self, tmp_path: Path, orientation: int):
        pixels = noise(5, 4)
        photo, exif = Image.fromarray(pixels), Image.Exif()
        exif[0x0112] = orientation
        photo.save(tmp_path / "a.png", exif=exif)
        turned = {
            1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1], 5: pixels.T,
            6: np.rot90(pixels, -1), 7: pixels[::-1, ::-1].T, 8: np.rot90(pixels),
        }[orientation]  # fmt: skip
        assert np.array_equal(read_picture(tmp_path / "a.png").pixels[0], turned)
        assert np.array_equal(read_mask(tmp_path / "a.png").pixels[0], pixels)

    def test_damaged_exif_does_not_cost_the_photo(self, tmp_path: Path):
        Image.fromarray(noise(5, 4)).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
        assert read_picture(tmp_path / "a.jpg").pixels.shape == (1, 5, 4)

    @pytest.mark.parametrize("ending", ["png", "tif"])
    def test_transparency_is_laid_on_black(self, tmp_path: Path, ending: str):
        pixels = noise(5, 4, 4)
        pixels[0, 0, 3], pixels[0, 1, 3] = 0, 255
        Image.fromarray(pixels).save(tmp_path / f"a.{ending}")
        read = read_picture(tmp_path / f"a.{ending}").pixels
        assert np.array_equal(
            read, np.rint(pixels[..., :3] * (pixels[..., 3:] / 255)).transpose(2, 0, 1)
        )
        assert (read[:, 0, 0] == 0).all()
        assert np.array_equal(read[:, 0, 1], pixels[0, 1, :3])

    @pytest.mark.parametrize("opacity", [0, 90, 255])
    def test_an_even_alpha_is_dropped(self, opacity: int):
        pixels = noise(4, 5, 6)
        pixels[3] = opacity
        assert np.array_equal(drop_alpha(pixels), pixels[:3])

    def test_palette_with_transparency(self, tmp_path: Path):
        photo = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
        photo.putpalette([10, 20, 30, 40, 50, 60])
        photo.save(tmp_path / "a.png", transparency=0)
        assert read_picture(tmp_path / "a.png").pixels[:, 0].T.tolist() == [[0, 0, 0], [40, 50, 60]]
        assert read_mask(tmp_path / "a.png").pixels[0].tolist() == [[0, 1]]

    def test_palette_of_a_label_map_is_not_looked_up(self, tmp_path: Path):
        """Classes that share a colour stay apart."""
        classes = np.arange(20, dtype=np.uint8).reshape(5, 4) % 3
        picture = Image.fromarray(classes, mode="P")
        picture.putpalette([0, 0, 0, 255, 0, 0, 255, 0, 0])
        for name in ("a.png", "a.gif", "a.tif"):
            picture.save(tmp_path / name)
            assert np.array_equal(read_mask(tmp_path / name).pixels[0], classes)
            assert read_picture(tmp_path / name).pixels.shape == (3, 5, 4)

    def test_bilevel_label_map_is_numbered(self, tmp_path: Path):
        Image.fromarray(np.eye(9) > 0).save(tmp_path / "a.png")
        mask = read_mask(tmp_path / "a.png").pixels
        assert mask.dtype == np.uint8
        assert np.array_equal(mask[0], np.eye(9))

    @pytest.mark.parametrize("side", [12_000, 16_000, 2**31 - 1])
    def test_bomb_is_refused_undecoded(self, tmp_path: Path, side: int):
        """Pillow itself only warns of the first, and refuses the others."""
        Image.new("L", (8, 8)).save(tmp_path / "a.png")
        change_bytes(tmp_path / "a.png", 16, side.to_bytes(4) * 2)
        from zlib import crc32  # the header has a check sum

        head = (tmp_path / "a.png").read_bytes()[12:29]
        change_bytes(tmp_path / "a.png", 29, crc32(head).to_bytes(4))
        with pytest.raises(UnreadableFile, match=r"asks for 2\.3 GB|exceeds limit|too large"):
            read_picture(tmp_path / "a.png")

    def test_postscript_is_not_run(self, tmp_path: Path):
        (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
        with pytest.raises(UnreadableFile, match=r"cannot identify image file 'a\.png'"):
            read_picture(tmp_path / "a.png")

    def test_is_grey(self):
        pixels = noise(1, 5, 5).repeat(3, axis=0)
        assert is_grey(pixels)
        assert is_grey(pixels[:1])
        pixels[2, 3, 3] ^= 1
        assert not is_grey(pixels)


class TestTiff:
    @pytest.mark.parametrize("kind", ["u1", "u2", "u4", "i2", "i4", "f2", "f4", "f8", "?", "c8"])
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_types(self, tmp_path: Path, kind: str, order: str):
        pixels = noise(5, 4).astype(kind)
        tifffile.imwrite(tmp_path / "a.tif", pixels, byteorder=order, photometric="minisblack")
        read = read_picture(tmp_path / "a.tif").pixels
        assert read.dtype.isnative
        assert np.array_equal(read[0], pixels * np.uint8(255) if kind == "?" else np.abs(pixels))

    @pytest.mark.parametrize("packing", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
    @pytest.mark.parametrize("shape", [(9, 8), (9, 8, 3)])
    def test_packed(self, tmp_path: Path, packing: str, shape: tuple[int, ...]):
        pixels = noise(*shape)
        Image.fromarray(pixels).save(tmp_path / "a.tif", compression=packing)
        read = read_picture(tmp_path / "a.tif").pixels
        assert np.array_equal(read, pixels.reshape(9, 8, -1).transpose(2, 0, 1))

    def test_packed_by_jpeg(self, tmp_path: Path):
        pixels = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "a.tif", compression="jpeg", quality=95)
        assert np.abs(read_picture(tmp_path / "a.tif").pixels[0] - pixels.astype(int)).max() < 9

    def test_packed_bilevel(self, tmp_path: Path):
        Image.fromarray(np.eye(9) > 0).save(tmp_path / "a.tif", compression="group4")
        assert np.array_equal(read_mask(tmp_path / "a.tif").pixels[0], np.eye(9))

    @pytest.mark.parametrize("packing", [None, "zlib"])
    def test_pages(self, tmp_path: Path, packing: str | None):
        pages = noise(5, 9, 8, kind="u2")
        tifffile.imwrite(tmp_path / "a.tif", pages, compression=packing, metadata=None)
        assert count_items(tmp_path / "a.tif") == 5
        for k, page in enumerate(pages):
            assert np.array_equal(read_picture(tmp_path / "a.tif", item=k).pixels[0], page)
        assert np.array_equal(read_picture(tmp_path / "a.tif").pixels[0], pages[0])
        with pytest.raises(UnreadableFile, match="has no page 5: it holds 5"):
            read_picture(tmp_path / "a.tif", item=5)

    def test_pages_packed_by_lzw(self, tmp_path: Path):
        pages = [Image.fromarray(noise(9, 8)) for _ in range(3)]
        pages[0].save(
            tmp_path / "a.tif", save_all=True, append_images=pages[1:], compression="tiff_lzw"
        )
        for k, page in enumerate(pages):
            read = read_picture(tmp_path / "a.tif", item=k).pixels[0]
            assert np.array_equal(read, np.asarray(page))

    def test_frames_with_planes_and_channels(self, tmp_path: Path):
        pixels = noise(2, 3, 4, 9, 8, kind="u2")
        options: dict[str, Any] = {"imagej": True, "metadata": {"axes": "TZCYX"}}
        tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
        assert count_items(tmp_path / "a.tif") == 2
        read = read_picture(tmp_path / "a.tif", item=1).pixels
        assert np.array_equal(read, pixels[1].swapaxes(0, 1))
        assert read_shape(tmp_path / "a.tif") == (3, 9, 8)

    def test_stack_with_one_description(self, tmp_path: Path):
        pixels = noise(5, 9, 8)
        options: dict[str, Any] = {"imagej": True, "truncate": True, "metadata": {"axes": "TYX"}}
        tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
        assert np.array_equal(read_picture(tmp_path / "a.tif", item=3).pixels[0], pixels[3])

    @pytest.mark.parametrize("planar", ["contig", "separate"])
    def test_colours(self, tmp_path: Path, planar: Any):
        pixels = noise(3, 9, 8, kind="u2")
        stored = pixels if planar == "separate" else pixels.transpose(1, 2, 0)
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar)
        assert np.array_equal(read_picture(tmp_path / "a.tif").pixels, pixels)

    def test_white_is_zero(self, tmp_path: Path):
        pixels = noise(9, 8)
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
        assert np.array_equal(read_picture(tmp_path / "a.tif").pixels[0], 255 - pixels)
        assert np.array_equal(read_mask(tmp_path / "a.tif").pixels[0], pixels)

    @pytest.mark.parametrize(("unit", "mm"), [("um", 0.001), ("mm", 1.0), ("inch", 25.4)])
    def test_spacing_of_imagej(self, tmp_path: Path, unit: str, mm: float):
        facts = {"unit": unit, "spacing": 3.0, "axes": "ZYX"}
        options: dict[str, Any] = {"imagej": True, "resolution": (2, 4), "metadata": facts}
        tifffile.imwrite(tmp_path / "a.tif", noise(5, 9, 8), **options)
        assert read_picture(tmp_path / "a.tif").spacing == pytest.approx((3 * mm, mm / 4, mm / 2))

    def test_spacing_of_ome(self, tmp_path: Path):
        facts = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 2, "PhysicalSizeYUnit": "mm"}
        tifffile.imwrite(tmp_path / "a.ome.tif", noise(9, 8), metadata=facts)
        assert read_picture(tmp_path / "a.ome.tif").spacing == pytest.approx((2.0, 0.0005))

    def test_dots_per_inch_are_no_spacing(self, tmp_path: Path):
        Image.fromarray(noise(9, 8)).save(tmp_path / "a.tif", dpi=(300, 300))
        assert read_picture(tmp_path / "a.tif").spacing is None

    def test_lying_sides(self, tmp_path: Path):
        tifffile.imwrite(tmp_path / "a.tif", noise(9, 8), metadata=None)
        with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
            at = tiff.pages[0].tags["ImageWidth"].valueoffset
        change_bytes(tmp_path / "a.tif", at, (20_000).to_bytes(2, "little"))
        with pytest.raises(UnreadableFile, match="promises 180,000 bytes of pixels"):
            read_picture(tmp_path / "a.tif")


ODD = np.array([[0, -2.0, 0.1, 5], [0.1, 0, 3, 6], [-1, 0.1, 0, 7], [0, 0, 0, 1]])


class TestNifti:
    def test_is_reoriented(self, tmp_path: Path):
        pixels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
        save_nifti(tmp_path / "a.nii", pixels, np.diag([-2.0, 1, 3, 1]))
        picture = read_picture(tmp_path / "a.nii")
        assert np.array_equal(picture.pixels[0], pixels[::-1])
        assert picture.spacing == (2.0, 1.0, 3.0)

    @pytest.mark.parametrize("trial", range(12))
    def test_axes_as_nibabel_turns_them(self, tmp_path: Path, trial: int):
        affine = np.eye(4)
        turn = np.linalg.qr(np.random.default_rng(trial).normal(size=(3, 3)))[0]
        affine[:3, :3] = turn * [1.0, 2.0, 3.0]
        image = save_nifti(tmp_path / "a.nii.gz", noise(2, 3, 4, kind="i2"), affine)
        turned = nibabel.as_closest_canonical(image)  # type: ignore[attr-defined]
        picture = read_picture(tmp_path / "a.nii.gz")
        assert np.array_equal(picture.pixels[0], turned.dataobj)
        assert picture.spacing == pytest.approx(turned.header.get_zooms())
        assert read_shape(tmp_path / "a.nii.gz") == turned.shape

    @pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", "c8", ">i2"])
    def test_types(self, tmp_path: Path, kind: str):
        pixels = noise(2, 3, 4).astype(kind)
        save_nifti(tmp_path / "a.nii", pixels)
        read = read_picture(tmp_path / "a.nii").pixels
        assert read.dtype.isnative
        assert np.array_equal(read[0], np.abs(pixels) if kind == "c8" else pixels)

    def test_fourth_axis(self, tmp_path: Path):
        pixels = noise(2, 3, 4, 5)
        save_nifti(tmp_path / "a.nii.gz", pixels)
        assert count_items(tmp_path / "a.nii.gz") == 5
        assert np.array_equal(read_picture(tmp_path / "a.nii.gz").pixels, np.moveaxis(pixels, 3, 0))
        read = read_picture(tmp_path / "a.nii.gz", item=2).pixels
        assert np.array_equal(read[0], pixels[..., 2])
        assert read_shape(tmp_path / "a.nii.gz") == (2, 3, 4)
        with pytest.raises(UnreadableFile, match="has no time point 5: it holds 5"):
            read_picture(tmp_path / "a.nii.gz", item=5)

    def test_vectors(self, tmp_path: Path):
        pixels = noise(2, 3, 4, 1, 3)
        save_nifti(tmp_path / "a.nii", pixels)
        assert count_items(tmp_path / "a.nii") == 1
        read = read_picture(tmp_path / "a.nii").pixels
        assert np.array_equal(read, np.moveaxis(pixels[:, :, :, 0], 3, 0))

    @pytest.mark.parametrize("space", [(2, 3, 4), (2, 3)])
    def test_colours(self, tmp_path: Path, space: tuple[int, ...]):
        pixels = np.zeros(space, [("R", "u1"), ("G", "u1"), ("B", "u1")])
        for k, name in enumerate("RGB"):
            pixels[name] = 50 * k
        save_nifti(tmp_path / "a.nii", pixels)
        read = read_picture(tmp_path / "a.nii").pixels
        assert len(read) == 3
        assert all((read[k] == 50 * k).all() for k in range(3))

    @pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (5, 4, 1, 1)])
    def test_single_slice_is_a_picture(self, tmp_path: Path, shape: tuple[int, ...]):
        """Up is the front, left the patient's right, as a slice is looked at."""
        pixels = noise(*shape)
        save_nifti(tmp_path / "a.nii", pixels, np.diag([2.0, 3, 1, 1]))
        picture = read_picture(tmp_path / "a.nii")
        assert np.array_equal(picture.pixels[0], pixels.reshape(5, 4)[::-1, ::-1].T)
        assert picture.spacing == (3.0, 2.0)
        assert read_shape(tmp_path / "a.nii") == (4, 5)

    def test_scaling(self, tmp_path: Path):
        image = nibabel.Nifti1Image(np.full((2, 3, 4), 7, np.int16), np.eye(4))  # type: ignore[attr-defined]
        image.header.set_slope_inter(2, -1024)
        nibabel.save(image, tmp_path / "a.nii")  # type: ignore[attr-defined]
        change_bytes(tmp_path / "a.nii", 112, np.array([2, -1024], "<f4").tobytes())
        raw = np.frombuffer((tmp_path / "a.nii").read_bytes()[352:], "<i2")
        assert (read_picture(tmp_path / "a.nii").pixels == raw[0] * 2.0 - 1024).all()

    @pytest.mark.parametrize(("unit", "mm"), [("mm", 1), ("micron", 0.001), ("meter", 1000)])
    def test_units(self, tmp_path: Path, unit: str, mm: float):
        image = nibabel.Nifti1Image(noise(2, 3, 4), np.eye(4))  # type: ignore[attr-defined]
        image.header.set_xyzt_units(unit)
        nibabel.save(image, tmp_path / "a.nii")  # type: ignore[attr-defined]
        assert read_picture(tmp_path / "a.nii").spacing == pytest.approx((mm,) * 3)

    @pytest.mark.parametrize("size", [0.0, -1.0, np.nan, np.inf])
    def test_senseless_spacing_is_unknown(self, tmp_path: Path, size: float):
        save_nifti(tmp_path / "a.nii", noise(2, 3, 4))
        change_bytes(tmp_path / "a.nii", 80, np.array(size, "<f4").tobytes())
        picture = read_picture(tmp_path / "a.nii")
        assert picture.spacing is None
        assert "makes no sense" in picture.notes[-1]

    def test_no_orientation_is_said(self):
        picture = to_canonical(noise(2, 3, 4, 1), (1.0, 1.0, 1.0), np.zeros((4, 4)))
        assert picture.pixels.shape == (1, 2, 3, 4)
        assert "orientation is unknown" in picture.notes[0]

    @pytest.mark.parametrize("ending", ["nii", "nii.gz"])
    @pytest.mark.parametrize("sides", [(1000, 1000, 1), (30_000, 30_000, 30_000)])
    def test_header_that_asks_too_much(self, tmp_path: Path, ending: str, sides: tuple[int, ...]):
        save_nifti(tmp_path / "a.nii", noise(2, 3, 4))
        change_bytes(tmp_path / "a.nii", 42, np.array(sides, "<i2").tobytes())
        if ending == "nii.gz":
            (tmp_path / "a.nii.gz").write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
        for reads in (read_picture, read_shape):
            with pytest.raises(UnreadableFile, match=r"promises [\d,]+ bytes of pixels, more than"):
                reads(tmp_path / f"a.{ending}")

    def test_bomb(self, tmp_path: Path):
        """A gzip file whose zeros would fill more memory than one image may take."""
        save_nifti(tmp_path / "a.nii", np.zeros((2, 3, 4), np.uint8))
        sides = np.array([1300, 1300, 1300], "<i2").tobytes()
        change_bytes(tmp_path / "a.nii", 42, sides)
        zeros = gzip.compress(bytes(2**22))
        head = gzip.compress((tmp_path / "a.nii").read_bytes())
        (tmp_path / "a.nii.gz").write_bytes(head + zeros * (1300**3 // 2**22 + 1))
        with pytest.raises(UnreadableFile, match=r"asks for 2\.2 GB of memory; at most 2\.1 GB"):
            read_picture(tmp_path / "a.nii.gz")

    def test_labels_within_rounding(self, tmp_path: Path):
        labels = noise(2, 3, 4) % 3
        save_nifti(tmp_path / "a.nii", labels + rng.uniform(-1e-4, 1e-4, labels.shape))
        mask = read_mask(tmp_path / "a.nii").pixels
        assert mask.dtype == np.int32
        assert np.array_equal(mask[0], labels)

    def test_probabilities_stay(self, tmp_path: Path):
        save_nifti(tmp_path / "a.nii", np.full((2, 3, 4), 0.4))
        assert read_mask(tmp_path / "a.nii").pixels.dtype == np.float64


class TestItk:
    @pytest.mark.parametrize("ending", ["nrrd", "nhdr", "mha", "mhd"])
    @pytest.mark.parametrize("packed", [False, True])
    def test_equals_nifti(self, tmp_path: Path, ending: str, packed: bool):
        """An oblique volume with its axes permuted and reversed."""
        image = SimpleITK.GetImageFromArray(noise(4, 3, 2, kind="i2"))
        turn = ODD[:3, :3] / np.linalg.norm(ODD[:3, :3], axis=0)
        image.SetDirection(np.linalg.qr(turn)[0].ravel().tolist())
        image.SetSpacing((1.0, 2.0, 3.0))
        for name in ("a.nii", f"a.{ending}"):
            SimpleITK.WriteImage(image, str(tmp_path / name), useCompression=packed)
        one, other = read_picture(tmp_path / "a.nii"), read_picture(tmp_path / f"a.{ending}")
        assert np.array_equal(one.pixels, other.pixels)
        assert one.spacing == pytest.approx(other.spacing)
        assert other.spacing != (1.0, 2.0, 3.0)
        shape = read_shape(tmp_path / f"a.{ending}")
        assert shape == other.pixels.shape[1:] == read_shape(tmp_path / "a.nii")

    @pytest.mark.parametrize("ending", ["nrrd", "mha"])
    def test_picture_equals_nifti(self, tmp_path: Path, ending: str):
        pixels = noise(5, 4)
        for name in ("a.nii", f"a.{ending}"):
            SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pixels), str(tmp_path / name))
            assert np.array_equal(read_picture(tmp_path / name).pixels[0], pixels)

    @pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
    def test_types(self, tmp_path: Path, kind: str):
        pixels = noise(4, 3, 2).astype(kind)
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pixels), str(tmp_path / "a.nrrd"))
        read = read_picture(tmp_path / "a.nrrd").pixels[0]
        assert read.dtype == kind
        assert np.array_equal(read, pixels.T[::-1, ::-1])

    def test_vectors(self, tmp_path: Path):
        pixels = noise(4, 3, 2, 5)
        image = SimpleITK.GetImageFromArray(pixels, isVector=True)
        image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
        SimpleITK.WriteImage(image, str(tmp_path / "a.mha"))
        assert np.array_equal(read_picture(tmp_path / "a.mha").pixels, pixels.transpose(3, 2, 1, 0))

    def test_fourth_axis(self, tmp_path: Path):
        pixels = noise(5, 4, 3, 2)
        image = SimpleITK.GetImageFromArray(pixels, isVector=False)
        SimpleITK.WriteImage(image, str(tmp_path / "a.mha"))
        assert count_items(tmp_path / "a.mha") == 5
        whole = read_picture(tmp_path / "a.mha").pixels
        assert np.array_equal(whole, pixels.transpose(0, 3, 2, 1)[:, ::-1, ::-1])
        assert np.array_equal(read_picture(tmp_path / "a.mha", item=3).pixels, whole[3:4])
        with pytest.raises(UnreadableFile, match="has no time point 5: it holds 5"):
            read_picture(tmp_path / "a.mha", item=5)

    def test_no_spacing_is_not_one_mm(self, tmp_path: Path):
        head = "NRRD0004\ntype: uint8\ndimension: 2\nsizes: 4 5\nencoding: raw\n"
        (tmp_path / "a.nrrd").write_bytes(f"{head}\n".encode() + bytes(20))
        (tmp_path / "b.nrrd").write_bytes(f"{head}spacings: 1 1\n\n".encode() + bytes(20))
        assert read_picture(tmp_path / "a.nrrd").spacing is None
        assert read_picture(tmp_path / "b.nrrd").spacing == (1.0, 1.0)

    def test_reason_quotes_no_header(self, tmp_path: Path):
        head = "NRRD0004\nDOE^JANE: 1\ntype: DOE^JANE\n\n"
        (tmp_path / "a.nrrd").write_text(head)
        with pytest.raises(UnreadableFile, match="header or pixels are damaged") as caught:
            read_picture(tmp_path / "a.nrrd")
        assert "JANE" not in str(caught.value)

    def test_missing_data_file(self, tmp_path: Path):
        image = SimpleITK.GetImageFromArray(noise(4, 3, 2))
        SimpleITK.WriteImage(image, str(tmp_path / "a.mhd"))
        (tmp_path / "a.raw").unlink()
        with pytest.raises(UnreadableFile, match="the file of its pixels is missing"):
            read_picture(tmp_path / "a.mhd")


class TestArrays:
    def test_changed_npz_is_read_anew(self, tmp_path: Path):
        file = tmp_path / "a.npz"
        for value in (1, 2):
            np.savez(file, images=np.full((1, 4, 4), value, np.uint8))
            assert (read_picture(file, "images", 0).pixels == value).all()

    @pytest.mark.parametrize(
        ("stored", "read"),
        [
            ((9, 8), (1, 9, 8)),
            ((9, 8, 1), (1, 9, 8)),
            ((9, 8, 3), (3, 9, 8)),
            ((9, 8, 4), (3, 9, 8)),
            ((1, 9, 8), (1, 9, 8)),
            ((3, 9, 8), (3, 9, 8)),
            ((7, 9, 8), (1, 7, 9, 8)),
            ((7, 9, 8, 3), (3, 7, 9, 8)),
        ],
    )
    def test_channels(self, tmp_path: Path, stored: tuple[int, ...], read: tuple[int, ...]):
        np.save(tmp_path / "a.npy", noise(*stored))
        np.savez(tmp_path / "a.npz", images=noise(2, *stored))
        assert read_picture(tmp_path / "a.npy").pixels.shape == read
        assert read_picture(tmp_path / "a.npz", "images", 1).pixels.shape == read
        assert read_shape(tmp_path / "a.npy") == read[1:]

    def test_npy_is_mapped(self, tmp_path: Path):
        np.save(tmp_path / "a.npy", noise(9, 8))
        pixels = read_picture(tmp_path / "a.npy").pixels
        while not isinstance(pixels, np.memmap):
            assert pixels.base is not None
            pixels = pixels.base

    def test_pickles_are_refused(self, tmp_path: Path):
        (tmp_path / "a.npy").write_bytes(pickle.dumps([1]))
        np.save(tmp_path / "b.npy", np.array([{}], object))
        np.savez(tmp_path / "c.npz", images=np.array([{}], object))
        for name, array in (("a.npy", ""), ("b.npy", ""), ("c.npz", "images")):
            with pytest.raises(UnreadableFile, match=r"pickle|Object arrays|Array can't be memory"):
                read_picture(tmp_path / name, array)

    def test_npz_without_a_name(self, tmp_path: Path):
        np.savez(tmp_path / "a.npz", images=noise(2, 9, 8))
        with pytest.raises(UnreadableFile, match="several arrays and none was asked for"):
            read_picture(tmp_path / "a.npz")

    def test_no_finite_pixel(self, tmp_path: Path):
        np.savez(tmp_path / "a.npz", images=np.full((1, 4, 4), np.nan))
        with pytest.raises(UnreadableFile, match="no finite pixel"):
            read_picture(tmp_path / "a.npz", "images", 0)

    @pytest.mark.parametrize("kind", ["U3", "M8[s]"])
    def test_values_that_are_no_numbers(self, tmp_path: Path, kind: str):
        np.save(tmp_path / "a.npy", np.zeros((4, 4), kind))
        with pytest.raises(UnreadableFile, match="wanted numbers"):
            read_picture(tmp_path / "a.npy")

    def test_bomb(self, tmp_path: Path):
        """A directory that promises more than a deflated file of that length can hold."""
        with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("images.npy", bytes(9999))
            archive.getinfo("images.npy").file_size = MOST_BYTES + 1
        with pytest.raises(UnreadableFile, match="promises 2,147,483,649 bytes of pixels"):
            read_picture(tmp_path / "a.npz", "images", 0)


class TestAnyKind:
    def test_modules_and_endings(self):
        endings = [ending for group in READERS.values() for ending in group]
        assert len(set(endings)) == len(endings)
        assert all(ending == ending.lower() for ending in endings)

    def test_reading_one_kind_loads_no_other(self, tmp_path: Path):
        Image.fromarray(noise(5, 4)).save(tmp_path / "a.PNG")
        code = (
            "import sys, pathlib; from tassl.data.readers import read_picture; "
            "read_picture(pathlib.Path(sys.argv[1])); print(*sys.modules)"
        )
        run = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "a.PNG")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert {"SimpleITK", "nibabel", "tifffile", "pydicom", "torch"}.isdisjoint(
            run.stdout.split()
        )

    @pytest.mark.parametrize("ending", [e for group in READERS.values() for e in group])
    @pytest.mark.parametrize("held", [b"", b"x", b"\0" * 4096])
    def test_nonsense_is_refused_in_one_line(self, tmp_path: Path, ending: str, held: bytes):
        file = tmp_path / f"a{ending}"
        file.write_bytes(held)
        for reads in (read_picture, read_mask, read_shape, read_picture):
            with pytest.raises(UnreadableFile) as caught:
                reads(file)
            assert str(tmp_path) not in str(caught.value)
            assert str(caught.value).isprintable()

    def test_missing_file(self, tmp_path: Path):
        for name in ("a.png", "a.nii", "a.nrrd", "a.tif", "a.npy", "a.xyz"):
            with pytest.raises(UnreadableFile):
                read_picture(tmp_path / name)

    def test_unknown_kind(self, tmp_path: Path):
        (tmp_path / "a.docx").write_bytes(b"PK")
        with pytest.raises(UnreadableFile, match=r"no known kind \(ending '.docx'\)"):
            read_picture(tmp_path / "a.docx")


BUNDLED = Path(nibabel.__file__).parent / "tests" / "data"


@pytest.mark.parametrize("name", sorted(f.name for f in BUNDLED.iterdir() if f.is_file()))
def test_files_of_nibabel(name: str):
    """Read to sound pixels, or refused with a reason."""
    if name.endswith(".dcm"):
        assert read_picture(BUNDLED / name).pixels.ndim == 3
        return
    if not name.endswith((".nii", ".nii.gz", ".mgz")) or "dconn" in name:
        with pytest.raises(UnreadableFile, match=r"no known kind|another kind"):
            read_picture(BUNDLED / name)
        return
    picture = read_picture(BUNDLED / name)
    assert picture.pixels.shape[1:] == read_shape(BUNDLED / name)
    turned = nibabel.as_closest_canonical(nibabel.load(BUNDLED / name))  # type: ignore[attr-defined]
    pixels = np.asarray(turned.dataobj)  # type: ignore[attr-defined]
    pixels = pixels[None] if pixels.ndim == 3 else np.moveaxis(pixels, -1, 0)
    assert np.array_equal(picture.pixels, pixels, equal_nan=True)
    assert picture.spacing is not None
    sizes = nibabel.load(BUNDLED / name).header.get_zooms()[:3]  # type: ignore[attr-defined]
    assert sorted(picture.spacing) == pytest.approx(sorted(sizes))


class TestRealFiles:
    def test_pyradiomics(self, real: Callable[[str], Path]):
        folder = real("pyradiomics")
        for image in sorted(folder.glob("*_image.nrrd")):
            picture = read_picture(image)
            mask = read_mask(image.with_name(image.name.replace("image", "label")))
            assert picture.pixels.shape == mask.pixels.shape
            assert picture.spacing == pytest.approx(mask.spacing)
            assert set(np.unique(mask.pixels)) == {0, 1}
        picture = read_picture(folder / "brain1_image.nrrd")
        assert picture.pixels.shape == (1, 256, 256, 25)
        assert picture.spacing == pytest.approx((0.78125, 0.78125, 6.5), abs=0.01)

    def test_hc18(self, real: Callable[[str], Path]):
        folder = real("hc18") / "training_set"
        picture = read_picture(folder / "000_HC.png")
        mask = read_mask(folder / "000_HC_Annotation.png")
        assert picture.pixels.shape == mask.pixels.shape == (1, 540, 800)
        assert {0, 255} <= set(np.unique(mask.pixels))

    def test_chase(self, real: Callable[[str], Path]):
        folder = real("chase_db1")
        assert read_picture(folder / "Image_01L.jpg").pixels.shape == (3, 960, 999)
        mask = read_mask(folder / "Image_01L_1stHO.png").pixels
        assert set(np.unique(mask)) == {0, 1}
        assert 0.05 < mask.mean() < 0.09

    def test_dsb2018(self, real: Callable[[str], Path]):
        folder = real("dsb2018_nuclei")
        nuclei, grey = 0, 0
        for image in sorted((folder / "images").iterdir()):
            pixels = read_picture(image).pixels
            mask = read_mask(folder / "labels" / image.name).pixels
            assert len(pixels) == 3
            assert pixels.shape[1:] == mask.shape[1:]
            nuclei, grey = nuclei + int(mask.max()), grey + is_grey(pixels)
        assert (nuclei, grey) == (3838, 60)
