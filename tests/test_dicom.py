"""DICOM: values, geometry and privacy, on files whose truth is known."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGLosslessSV1, generate_uid

from tassl.data.layouts import index
from tassl.data.privacy import pseudonym, read_key
from tassl.data.readers import dicom as reader
from tassl.data.readers import read_parts, read_picture
from tassl.data.readers.headers import read_header
from tassl.data.readers.streams import find_sides
from tassl.data.store import build_store
from tassl.errors import OptionError, UnreadableFile

BUNDLED = Path(pydicom.__file__).parent / "data" / "test_files"
NAME = "QUINTESSA"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASSL_KEY", "a key of the tests")


def bundled(name: str) -> Path:
    return BUNDLED / name


def save(file: Path, pixels: np.ndarray, **tags: object) -> Path:
    """Write a CT slice of int16 or uint16; a tag given as None is left out."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(file), {}, file_meta=meta, preamble=b"\0" * 128)
    defaults = {
        "SOPClassUID": CTImageStorage, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "Modality": "CT", "PatientID": "p", "StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3",
        "Rows": pixels.shape[-2], "Columns": pixels.shape[-1], "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16, "BitsStored": 16,
        "HighBit": 15, "PixelRepresentation": int(pixels.dtype == np.int16),
        "PixelSpacing": [1, 1], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelData": pixels.tobytes(),
    }  # fmt: skip
    for name, value in (defaults | tags).items():
        if value is not None:
            setattr(dataset, name, value)
    dataset.save_as(file)
    return file


def save_sphere(
    folder: Path, depths: np.ndarray, *, tilt: float = 0, pixel: tuple[float, float] = (1.0, 1.0)
) -> list[Path]:
    """A sphere of radius 20 mm at the origin in slices whose positions move along the table (z)."""
    angle = np.radians(tilt)
    across, down = np.array([1.0, 0, 0]), np.array([0, np.cos(angle), -np.sin(angle)])
    files = []
    for k, z in enumerate(depths):
        corner = np.array([-40.0, -40 * np.cos(angle), z + 40 * np.sin(angle)])
        r, c = np.mgrid[: 80 / pixel[0], : 80 / pixel[1]]
        points = corner + r[..., None] * pixel[0] * down + c[..., None] * pixel[1] * across
        distance = np.linalg.norm(points, axis=-1)
        pixels = np.clip(1000 * (20.5 - distance), 0, 1000).astype(np.int16)
        files.append(
            save(
                folder / f"{k}.dcm",
                pixels,
                ImagePositionPatient=[f"{x:.6f}" for x in corner],
                ImageOrientationPatient=[f"{x:.8f}" for x in (*across, *down)],
                PixelSpacing=list(pixel),
                InstanceNumber=k + 1,
            )
        )
    return files


def measure_extent(picture) -> np.ndarray:
    """Size in mm along each axis from second moments: a solid sphere of radius r has r^2 / 5."""
    weights = picture.pixels[0] / picture.pixels.sum()
    sizes = []
    for axis, spacing in enumerate(picture.spacing):
        along = weights.sum(axis=tuple(a for a in range(3) if a != axis))
        at = np.arange(len(along)) * spacing
        sizes.append(np.sqrt(5 * (along @ (at - along @ at) ** 2)))
    return np.array(sizes)


def list_bundled() -> list[Path]:
    return sorted(file for file in BUNDLED.rglob("*") if file.is_file())


@pytest.mark.parametrize("file", list_bundled(), ids=lambda file: str(file.relative_to(BUNDLED)))
def test_every_bundled_file_is_read_or_refused(file: Path):
    with suppress(UnreadableFile):
        pixels = read_picture(file).pixels
        assert pixels.ndim == 3
        assert np.isfinite(pixels).all()
        assert pixels.dtype.isnative


def test_most_bundled_pictures_are_read():
    pictures = []
    for file in list_bundled():
        with suppress(UnreadableFile):
            pictures.append(read_picture(file))
    assert len(pictures) >= 90


class TestValues:
    def test_hounsfield_units(self):
        picture = read_picture(bundled("CT_small.dcm"))
        stored = pydicom.dcmread(bundled("CT_small.dcm")).pixel_array
        np.testing.assert_array_equal(picture.pixels[0], stored - 1024.0)
        assert picture.spacing == (0.661468, 0.661468)
        assert picture.facts["Modality"] == "CT"

    @pytest.mark.parametrize("kind", ["RLE", "jp2klossless", "jpeg_ls_lossless", "bigendian"])
    def test_every_coding_gives_the_same_pixels(self, kind: str):
        plain = read_picture(bundled("MR_small.dcm")).pixels
        np.testing.assert_array_equal(read_picture(bundled(f"MR_small_{kind}.dcm")).pixels, plain)

    @pytest.mark.parametrize("name", ["SC_rgb_jpeg_gdcm", "SC_rgb_rle", "SC_rgb_dcmtk_+eb+cy+np"])
    def test_colours_are_rgb(self, name: str):
        """The test picture: rows 5 red, 15 green, 25 blue, says pydicom."""
        pixels = read_picture(bundled(f"{name}.dcm")).pixels[:, [5, 25, 45], 50].T.astype(int)
        assert np.abs(pixels - [[255, 0, 0], [0, 255, 0], [0, 0, 255]]).max() <= 80
        np.testing.assert_array_equal(pixels.argmax(axis=1), [0, 1, 2])

    def test_palette_becomes_colours(self):
        assert read_picture(bundled("examples_palette.dcm")).pixels.shape == (3, 350, 800)

    @pytest.mark.parametrize("dtype", [np.uint16, np.int16])
    def test_monochrome1_is_inverted_between_the_ends_of_its_range(self, tmp_path: Path, dtype):
        stored = np.array([[0, 1], [2, 100]], dtype)
        tags = {"RescaleSlope": 2, "RescaleIntercept": -10}
        plain = read_picture(save(tmp_path / "a.dcm", stored, **tags)).pixels
        file = save(tmp_path / "b.dcm", stored, PhotometricInterpretation="MONOCHROME1", **tags)
        turned = read_picture(file)
        ends = np.iinfo(dtype)
        np.testing.assert_array_equal(turned.pixels + plain, 2 * (ends.min + ends.max) - 20)
        assert "MONOCHROME1" in turned.notes[0]

    @pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
    def test_jpeg_lossless_equals_plain(self, tmp_path: Path, kind: str):
        """GDCM rescales and inverts by itself: neither may happen twice."""
        stored = (np.arange(4096, dtype=np.int16).reshape(64, 64) * 7) % 997
        image = SimpleITK.GetImageFromArray(stored[None])
        writer = SimpleITK.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetCompressor("JPEG")
        writer.UseCompressionOn()
        writer.SetFileName(str(tmp_path / "packed.dcm"))
        writer.Execute(image)
        tags = {"RescaleSlope": 2, "RescaleIntercept": -100, "PixelPaddingValue": 7}
        packed = pydicom.dcmread(tmp_path / "packed.dcm")
        assert packed.file_meta.TransferSyntaxUID == JPEGLosslessSV1
        for name, value in (tags | {"PhotometricInterpretation": kind}).items():
            setattr(packed, name, value)
        packed["PixelPaddingValue"].VR = "SS"
        packed.save_as(tmp_path / "packed.dcm")
        plain = save(tmp_path / "plain.dcm", stored, PhotometricInterpretation=kind, **tags)
        np.testing.assert_array_equal(
            read_picture(tmp_path / "packed.dcm").pixels, read_picture(plain).pixels
        )

    def test_padding_becomes_the_minimum(self, tmp_path: Path):
        stored = np.array([[-2000, 5], [-7, 9]], np.int16)
        picture = read_picture(save(tmp_path / "a.dcm", stored, PixelPaddingValue=-2000))
        assert picture.pixels.tolist() == [[[-7, 5], [-7, 9]]]

    def test_window_is_a_fact_and_not_applied(self, tmp_path: Path):
        stored = np.array([[0, 3000], [7, 9]], np.int16)
        picture = read_picture(
            save(tmp_path / "a.dcm", stored, WindowCenter=[40, 300], WindowWidth=[80, 9])
        )
        np.testing.assert_array_equal(picture.pixels[0], stored)
        assert (picture.facts["WindowCenter"], picture.facts["WindowWidth"]) == ("40.0", "80.0")

    def test_frames_of_a_cine(self):
        file = bundled("examples_ybr_color.dcm")
        assert reader.count(file) == 30
        first, last = read_picture(file), read_picture(file, item=29)
        assert "first of 30" in first.notes[0]
        assert first.pixels.shape == last.pixels.shape == (3, 240, 320)
        assert (first.pixels != last.pixels).any()
        assert first.spacing == pytest.approx((0.5105, 0.5105), abs=1e-4)
        with pytest.raises(UnreadableFile, match="frame 30"):
            read_picture(file, item=30)


class TestRefusals:
    def test_bomb_is_refused_before_decoding(self, tmp_path: Path):
        file = save(tmp_path / "a.dcm", np.zeros((4, 4), np.int16), Rows=65535, Columns=65535)
        with pytest.raises(UnreadableFile, match=r"8\.6 GB"):
            read_picture(file)

    def test_short_file_is_named(self, tmp_path: Path):
        file = save(tmp_path / "a.dcm", np.zeros((4, 4), np.int16), Rows=40)
        with pytest.raises(UnreadableFile, match="320 bytes of pixels, more than its 32"):
            read_picture(file)

    def test_one_frame_of_a_long_cine_is_no_bomb(self, tmp_path: Path):
        """100 minutes of a cine take 4.6 GB, one frame 1.5 MB."""
        dataset = pydicom.dcmread(bundled("SC_rgb_jpeg_dcmtk.dcm"))
        photo = BytesIO()
        Image.fromarray(np.full((512, 1024, 3), 90, np.uint8)).save(photo, "JPEG")
        dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 512, 1024, 3000
        dataset.PixelData = encapsulate([photo.getvalue()] * 3000)
        dataset.save_as(tmp_path / "a.dcm")
        picture = read_picture(tmp_path / "a.dcm", item=2999)
        assert picture.pixels.shape == (3, 512, 1024)
        assert np.abs(picture.pixels.astype(int) - 90).max() <= 2

    def test_lying_count_of_frames_places_none(self, tmp_path: Path):
        shared, place, direction, measures = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient, measures.PixelSpacing = [0, 0, 0], [1, 1]
        direction.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        shared.PlanePositionSequence, shared.PlaneOrientationSequence = [place], [direction]
        shared.PixelMeasuresSequence = [measures]
        groups = {"SharedFunctionalGroupsSequence": [shared]}
        groups["PerFrameFunctionalGroupsSequence"] = [Dataset()]
        file = save(tmp_path / "a.dcm", np.zeros((4, 4), np.int16), NumberOfFrames=99, **groups)
        assert read_header(file).planes == ()

    @pytest.mark.parametrize(
        ("name", "sides"),
        [
            ("MR_small_jp2klossless", (64, 64)),
            ("MR_small_jpeg_ls_lossless", (64, 64)),
            ("SC_rgb_jpeg_gdcm", (100, 100)),
            ("JPEG-lossy", (1024, 256)),
            ("MR_small_RLE", None),
        ],
    )
    def test_sides_of_a_packed_stream_cut_anywhere(self, name: str, sides):
        dataset = pydicom.dcmread(bundled(f"{name}.dcm"))
        packed = get_frame(dataset.PixelData, 0, number_of_frames=1)
        assert find_sides(packed) == sides
        assert {find_sides(packed[:end]) for end in range(700)} <= {None, sides}

    def test_junk_with_the_ending(self, tmp_path: Path):
        (tmp_path / "a.dcm").write_bytes(b"no DICOM at all" * 50)
        with pytest.raises(UnreadableFile):
            read_picture(tmp_path / "a.dcm")


class TestSeries:
    @pytest.mark.parametrize("tilt", [0, 18.5, -12])
    @pytest.mark.parametrize("uneven", [False, True])
    def test_sphere_comes_out_a_sphere(self, tmp_path: Path, tilt: float, uneven: bool):
        depths = np.arange(-30, 31, 2.0)
        if uneven:
            depths = np.delete(depths, [4, 13, 20]) + np.tile([0, 0.4], 14)
        files = save_sphere(tmp_path, depths, tilt=tilt)
        picture = read_parts(files[::-1])
        assert measure_extent(picture) == pytest.approx([20, 20, 20], abs=0.5)
        assert any("tilt" in note for note in picture.notes) == bool(tilt)
        assert any("resampled" in note for note in picture.notes) == uneven
        if tilt:
            assert f"{abs(tilt)} degrees" in " ".join(picture.notes).replace(".0 ", " ")

    def test_axes_are_ras_and_spacing_follows_them(self, tmp_path: Path):
        files = []
        for k in range(5):  # sagittal: rows run to the back, columns to the feet
            pixels = np.zeros((6, 4), np.int16)
            pixels[1, 3] = k  # high in the picture, and far back
            files.append(
                save(
                    tmp_path / f"{k}.dcm",
                    pixels,
                    ImagePositionPatient=[k * 3, 0, 0],
                    ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
                    PixelSpacing=[2, 0.5],
                )
            )
        picture = read_parts(files)
        assert picture.pixels.shape == (1, 5, 4, 6)
        assert picture.spacing == (3, 0.5, 2)
        right_most = 0  # x of DICOM runs to the left, so the last slice is the patient's left
        assert np.argwhere(picture.pixels[0] == 4).tolist() == [[right_most, 0, 4]]
        assert picture.notes == ()

    @pytest.mark.parametrize("axes", list(permutations(np.eye(3))))
    def test_every_direction_is_turned_as_itk_turns_it(self, tmp_path: Path, axes):
        for k, (right, down, up) in enumerate(product((1, -1), repeat=3)):
            (folder := tmp_path / str(k)).mkdir()
            across, along = right * axes[0], down * axes[1]
            step = 3.0 * up * np.cross(across, along)
            files = [
                save(
                    folder / f"{n}.dcm",
                    np.random.default_rng(n).integers(0, 999, (5, 6), dtype=np.int16),
                    ImagePositionPatient=[*map(float, n * step)],
                    ImageOrientationPatient=[*map(float, (*across, *along))],
                    PixelSpacing=[2, 0.5],
                )
                for n in range(4)
            ]
            names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
            image = SimpleITK.DICOMOrient(SimpleITK.ReadImage(names), "RAS")
            picture = read_parts(files)
            np.testing.assert_array_equal(picture.pixels[0].T, SimpleITK.GetArrayFromImage(image))
            assert picture.spacing == pytest.approx(image.GetSpacing())

    def test_copies_of_a_slice_are_dropped(self, tmp_path: Path):
        files = save_sphere(tmp_path, np.arange(-30, 31, 2.0))
        twice = read_parts([*files, *files[:3]])
        np.testing.assert_array_equal(twice.pixels, read_parts(files).pixels)
        assert "3 slices" in twice.notes[0]

    @pytest.mark.parametrize(
        ("tags", "reason"),
        [
            ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "orientation"),
            ({"ImagePositionPatient": None}, "does not say where"),
            ({"PixelSpacing": [2, 2]}, "spacing"),
        ],
    )
    def test_slices_that_do_not_fit_are_refused(self, tmp_path: Path, tags: dict, reason: str):
        files = save_sphere(tmp_path, np.arange(5.0))
        odd = {"ImagePositionPatient": [0, 0, 9]} | tags
        files.append(save(tmp_path / "odd.dcm", np.zeros((80, 80), np.int16), **odd))
        with pytest.raises(UnreadableFile, match=reason):
            read_parts(files)

    @pytest.mark.parametrize(
        ("position", "reason"), [([-40, -40, 900], "mm apart"), ([900, -40, 9], "far beside")]
    )
    def test_stray_slice_does_not_fill_the_memory(self, tmp_path: Path, position, reason: str):
        files = save_sphere(tmp_path, np.arange(5.0))
        stray = np.zeros((80, 80), np.int16)
        files.append(save(tmp_path / "stray.dcm", stray, ImagePositionPatient=position))
        with pytest.raises(UnreadableFile, match=reason):
            read_parts(files)

    def test_enhanced_file_is_one_volume(self, tmp_path: Path):
        pixels = np.arange(5, dtype=np.int16)[:, None, None] * np.ones((1, 4, 4), np.int16)
        order, frames = [3, 0, 4, 1, 2], []
        for k in order:
            place, values, frame = Dataset(), Dataset(), Dataset()
            place.ImagePositionPatient = [0, 0, k * 2.5]
            values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 10, k, "HU"
            frame.PlanePositionSequence = [place]
            frame.PixelValueTransformationSequence = [values]
            frames.append(frame)
        shared, measures, direction = Dataset(), Dataset(), Dataset()
        measures.PixelSpacing, direction.ImageOrientationPatient = [1, 1], [1, 0, 0, 0, 1, 0]
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [direction]
        file = save(
            tmp_path / "a.dcm",
            pixels[order],
            NumberOfFrames=5,
            SharedFunctionalGroupsSequence=[shared],
            PerFrameFunctionalGroupsSequence=frames,
            PixelSpacing=None,
            ImageOrientationPatient=None,
        )
        picture = read_picture(file)
        assert picture.spacing == (1, 1, 2.5)
        assert picture.pixels[0, 0, 0].tolist() == [0, 11, 22, 33, 44]
        assert read_picture(file, item=0).pixels.max() == 33

    def test_real_head_with_tilt_and_uneven_gaps(self, real: Callable[[str], Path]):
        manifest = index(real("ct_head_dicom"))
        (row,) = manifest.table.itertuples()
        picture = read_parts([manifest.root / part for part in row.parts])
        assert picture.pixels.shape[1:] == (512, 611, 37)
        assert picture.spacing == pytest.approx((0.488, 0.488, 4.002), abs=1e-3)
        assert "18.5 degrees" in picture.notes[0]
        assert "1.08 to 7.00 mm" in picture.notes[1]


class TestPrivacy:
    def test_nothing_planted_comes_along(self, tmp_path: Path, capfd):
        source, out = tmp_path / "in", tmp_path / "out"
        source.mkdir()
        files = save_sphere(source, np.arange(-30, 31, 6.0))
        for file in files:
            plant(file)
        plant(save(source / "odd.dcm", np.zeros((4, 4), np.int16), Rows=9, SeriesInstanceUID="9.9"))
        plant(save(source / "lone.dcm", np.zeros((9, 9), np.int16), SeriesInstanceUID="9.8"))
        header = read_header(files[0])
        assert NAME in header.patient  # the plant took, and the identity is known for grouping
        manifest = index(source)
        (row,) = manifest.table.itertuples()
        picture = read_parts([source / part for part in row.parts])
        store = build_store(manifest, lambda pixels: pixels, out / "store")
        seen = [
            repr(header), repr(picture.facts), *picture.notes, manifest.account(),
            manifest.table.to_csv(), repr(store), *capfd.readouterr(),
        ]  # fmt: skip
        seen += [file.read_bytes().decode("latin1") for file in out.rglob("*") if file.is_file()]
        for text in seen:
            for secret in (NAME, "19010203", "9.7777"):
                assert secret.lower() not in text.lower()

    @pytest.mark.parametrize(
        ("sex", "age", "kept"),
        [
            ("F", "061Y", ("F", 61)),
            ("M", "018M", ("M", 1.5)),
            ("O", "097Y", ("O", 90)),
            (NAME, None, ("", None)),
            (None, None, ("", None)),
        ],
    )
    def test_sex_and_age_pass_by_value(self, tmp_path: Path, sex: str, age: str, kept: tuple):
        pixels = np.zeros((4, 4), np.int16)
        for k in range(2):
            save(tmp_path / f"{k}.dcm", pixels, PatientSex=sex, PatientAge=age)
        (row, _) = index(tmp_path).table.itertuples()
        assert row.sex == kept[0]
        assert row.age == pytest.approx(kept[1] or np.nan, abs=0.01, nan_ok=True)

    def test_errors_do_not_quote_the_header(self, tmp_path: Path):
        file = save(tmp_path / "a.dcm", np.zeros((4, 4), np.int16))
        raw = file.read_bytes().replace(b"MONOCHROME2 ", b"QUINTESSA   ")
        file.write_bytes(raw)
        with pytest.raises(UnreadableFile) as caught:
            read_picture(file)
        assert NAME not in str(caught.value)

    def test_pseudonyms_hang_on_the_key(self):
        assert pseudonym("a", b"one key") == pseudonym("a", b"one key")
        assert pseudonym("a", b"one key") != pseudonym("a", b"another")
        assert pseudonym("a", b"one key") != pseudonym("b", b"one key")
        assert len(pseudonym("a", b"one key")) == 12

    def test_key_is_made_once_and_is_private(self, tmp_path: Path, monkeypatch):
        monkeypatch.delenv("TASSL_KEY")
        monkeypatch.setattr(Path, "home", lambda: tmp_path)
        made = read_key()
        assert read_key() == made
        (file,) = (tmp_path / ".config" / "tassl").iterdir()
        if os.name == "posix":
            assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_short_key_is_refused(self, monkeypatch):
        monkeypatch.setenv("TASSL_KEY", "short")
        with pytest.raises(OptionError, match="at least 8"):
            read_key()


def plant(file: Path) -> None:
    """Write a name, a birth date or a telling UID into every text tag of a file."""
    texts = {
        "PN": f"{NAME}^ANNA", "LO": NAME, "SH": NAME, "LT": NAME, "ST": NAME, "UT": NAME,
        "UC": NAME, "AE": NAME, "CS": NAME, "DA": "19010203", "DT": "19010203", "AS": "099Y",
        "UI": "9.7777", "UR": NAME,
    }  # fmt: skip
    needed = {
        "SOPClassUID", "SOPInstanceUID", "PhotometricInterpretation", "Modality",
        "SeriesInstanceUID", "SpecificCharacterSet", "TransferSyntaxUID",
    }  # fmt: skip
    dataset = pydicom.dcmread(file)
    for tag, (vr, multiplicity, _, _, keyword) in pydicom.datadict.DicomDictionary.items():
        single = multiplicity in ("1", "1-n") and tag >> 16 not in (0, 2, 4)
        if keyword and vr in texts and single and keyword not in needed:
            dataset.add_new(tag, vr, texts[vr])
    dataset.save_as(file)


class TestTree:
    def test_patients_studies_and_cines(self, tmp_path: Path):
        for patient in "ab":
            for number in range(2):
                save(
                    tmp_path / f"{patient}{number}.dcm",
                    np.ones((4, 4), np.int16),
                    PatientID=patient,
                    StudyInstanceUID=f"1.{ord(patient)}.{number}",
                    Modality="CR",
                )
        cine = np.zeros((40, 4, 4), np.int16)
        save(tmp_path / "cine", cine, NumberOfFrames=40, PatientID="c", StudyInstanceUID="1.9")
        (tmp_path / "README.md").write_text("about")
        (tmp_path / "odd.bin").write_bytes(b"?")
        (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
        table = (manifest := index(tmp_path)).table
        assert table.groupby("subject").study.nunique().tolist().count(2) == 2
        frames = table[table.item >= 0]
        assert len(frames) == 16
        assert frames.item.is_monotonic_increasing
        assert frames.item.tolist() == frames.order.tolist()
        assert [item.file for item in manifest.set_aside] == ["gone", "odd.bin"]
        assert "3 patients, 5 studies" in manifest.notes[0]

    def test_a_person_is_one_subject_whoever_issued_the_number(self, tmp_path: Path):
        """Two subjects of one person may stand on both sides of a split."""
        plain = np.ones((4, 4), np.int16)
        save(tmp_path / "a.dcm", plain, StudyInstanceUID="1.5")
        save(tmp_path / "b.dcm", plain, StudyInstanceUID="1.6", IssuerOfPatientID="CLINIC")
        assert index(tmp_path).table.subject.nunique() == 1

    def test_only_frames_of_one_cine_are_neighbours(self, tmp_path: Path):
        for k in range(4):
            cine = np.zeros((5, 4, 4), np.int16)
            series = f"1.{k // 2}"
            save(tmp_path / f"{k}.dcm", cine, NumberOfFrames=5, SeriesInstanceUID=series)
        table = index(tmp_path).table
        assert table.study.nunique() == 1
        near = table.order.to_numpy()[:, None] - table.order.to_numpy()
        same = table.file.to_numpy()[:, None] == table.file.to_numpy()
        np.testing.assert_array_equal(np.abs(near) < 5, same)

    def test_single_pictures_of_a_series_follow_one_another(self, tmp_path: Path):
        for k in range(3):
            save(tmp_path / f"{k}.dcm", np.ones((4, 4), np.int16), InstanceNumber=k + 1)
        assert index(tmp_path).table.order.tolist() == [0, 1, 2]

    def test_localizer_is_set_aside(self, tmp_path: Path):
        save_sphere(tmp_path, np.arange(5.0))
        save(
            tmp_path / "scout.dcm",
            np.zeros((80, 80), np.int16),
            ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        )
        manifest = index(tmp_path)
        assert len(manifest.table) == 1
        assert len(manifest.table.parts[0]) == 5
        assert manifest.set_aside[0].reason == "is a localizer"
