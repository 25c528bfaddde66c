"""DICOM, through pydicom: single images, clips, and series of slices that make up a volume."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tassl.data.readers.base import Picture, check_held, check_size
from tassl.data.readers.orientation import to_canonical
from tassl.errors import UnreadableFile

TECHNICAL = (
    "Modality", "Manufacturer", "ManufacturerModelName", "PhotometricInterpretation", "KVP",
    "SliceThickness", "MagneticFieldStrength", "EchoTime", "RepetitionTime", "FlipAngle",
    "WindowCenter", "WindowWidth", "BodyPartExamined", "ViewPosition", "ImageLaterality",
)  # fmt: skip
UNEVEN_MM = 0.01  # differences of gaps that are rounding
TILT_DEGREES = 0.1
NO_IMAGE = "holds no image: it is a report, a plan or another object without pixels"


@dataclass(frozen=True)
class Header:
    """What a file says of its image. The identities are for grouping and never leave memory.

    Args:
        patient: Patient ID, "" where it is missing.
        study: Study instance UID.
        series: Series instance UID.
        instance: SOP instance UID.
        frames: Number of frames.
        size: Rows and columns.
        position: Of the first pixel in mm (left, back, up), None where unknown.
        orientation: Direction of the rows and of the columns, six numbers, None where unknown.
        number: Instance number, -1 where unknown.
        localizer: Whether it is a scout image.
        facts: Technical facts by name, from `TECHNICAL` alone.
    """

    patient: str
    study: str
    series: str
    instance: str
    frames: int
    size: tuple[int, int]
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    number: int
    localizer: bool
    facts: dict[str, str]


def read(file: Path, item: int = -1, *, is_mask: bool = False) -> Picture:
    """Read an image or one frame of a clip, in modality units (HU for CT), bright is bright.

    Args:
        file: The image.
        item: Frame; -1 reads a single image, or all frames of a volume as a volume (frame first).
        is_mask: Makes no difference.
    """
    with _calm():
        data = _open(file)
        frames = _frames(data)
        if item >= frames:
            raise UnreadableFile(f"has no frame {item}: it holds {frames}")
        notes: list[str] = []
        pixels = _decode(file, data, item, notes)
        return Picture(pixels, _spacing(data), _facts(data), tuple(notes))


def count(file: Path) -> int:
    """Frames."""
    with _calm():
        return _frames(_open(file, pixels=False))


def read_header(file: Path) -> Header:
    """Read what a file says of its image, without the pixels.

    Raises:
        UnreadableFile: It holds no image.
    """
    with _calm():
        data = _open(file, pixels=False)
        kinds = [str(kind).upper() for kind in _many(data, "ImageType")]
        return Header(
            patient=str(data.get("PatientID", "") or ""),
            study=str(data.get("StudyInstanceUID", "") or ""),
            series=str(data.get("SeriesInstanceUID", "") or ""),
            instance=str(data.get("SOPInstanceUID", "") or ""),
            frames=_frames(data),
            size=(int(data.Rows), int(data.Columns)),
            position=_floats(data, "ImagePositionPatient", 3),
            orientation=_floats(data, "ImageOrientationPatient", 6),
            number=int(_number(data, "InstanceNumber", -1)),
            localizer="LOCALIZER" in kinds,
            facts=_facts(data),
        )


def join(files: Sequence[Path]) -> Picture:
    """Read a series of slices as one volume, its axes as those of NIfTI volumes.

    Slices are sorted by their position along the normal of their plane. Doubles are dropped.
    Uneven gaps are resampled to an even grid, a tilted gantry is sheared upright, both by linear
    interpolation; the notes say so.

    Raises:
        UnreadableFile: Positions are missing, or slices differ in size or orientation.
    """
    headers = [read_header(file) for file in files]
    first = headers[0]
    places = [header.position for header in headers if header.position is not None]
    turns = [header.orientation for header in headers if header.orientation is not None]
    if min(len(places), len(turns)) < len(headers):
        raise UnreadableFile("its slices do not tell their positions, so they make up no volume")
    for header, turn in zip(headers, turns, strict=True):
        if header.size != first.size or np.abs(np.subtract(turn, turns[0])).max() > 1e-3:
            raise UnreadableFile(
                "its slices differ in size or orientation: a scout may be among them"
            )
    along_row, along_column = np.reshape(turns[0], (2, 3))
    normal = np.cross(along_row, along_column)
    heights = np.array(places) @ normal
    order, notes = _sort(heights)
    pictures = [read(files[k]) for k in order]
    notes += [note for note in pictures[0].notes]
    pixels = np.stack([picture.pixels[0] for picture in pictures], -1).astype(np.float32)
    positions, heights = np.array(places)[order], heights[order]
    spacing = pictures[0].spacing or (1.0, 1.0)
    if len(order) == 1:
        return pictures[0]
    pixels = _upright(pixels, positions, heights, (along_column, along_row), spacing, notes)
    pixels, gap = _even(pixels, heights, notes)
    affine = np.eye(4)
    affine[:3, :3] = np.stack(
        [along_column * spacing[0], along_row * spacing[1], normal * gap], axis=1
    )
    flipped = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # DICOM counts to the left and to the back
    volume = to_canonical(pixels[..., None], (*spacing, gap), flipped)
    return Picture(volume.pixels, volume.spacing, pictures[0].facts, (*notes, *volume.notes))


def _sort(heights: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Order of the slices from low to high, without doubles, and what to say of it."""
    order = np.argsort(heights, kind="stable")
    kept = np.concatenate([[True], np.diff(heights[order]) > UNEVEN_MM])
    doubles = int((~kept).sum())
    return order[kept], [
        f"{doubles} slices at the place of another were dropped"
    ] if doubles else []


def _upright(
    pixels: np.ndarray,
    positions: np.ndarray,
    heights: np.ndarray,
    plane: tuple[np.ndarray, np.ndarray],
    spacing: tuple[float, ...],
    notes: list[str],
) -> np.ndarray:
    """Undo the shift of each slice within its plane, as a tilted gantry leaves it."""
    from scipy import ndimage

    offsets = positions - positions[0]
    drift = np.stack([offsets @ axis for axis in plane], 1)  # mm down the column, along the row
    reach = np.linalg.norm(drift[-1]) / max(heights[-1] - heights[0], 1e-6)
    angle = float(np.degrees(np.arctan(reach)))
    if angle < TILT_DEGREES:
        return pixels
    notes.append(f"a gantry tilt of {angle:.1f} degrees was undone by shifting the slices")
    steps = drift / np.array(spacing[:2])
    centre = steps.mean(0)
    low = float(pixels.min())
    moved = [
        ndimage.shift(slice_, step - centre, order=1, mode="constant", cval=low)
        for slice_, step in zip(np.moveaxis(pixels, -1, 0), steps, strict=True)
    ]
    return np.stack(moved, -1)


def _even(pixels: np.ndarray, heights: np.ndarray, notes: list[str]) -> tuple[np.ndarray, float]:
    """Slices at even heights, and their distance in mm."""
    gaps = np.diff(heights)
    gap = float(np.median(gaps))
    if np.ptp(gaps) <= max(UNEVEN_MM, 0.01 * gap):
        return pixels, float(gaps.mean())
    steps = max(2, round((heights[-1] - heights[0]) / gap) + 1)
    wanted = np.linspace(heights[0], heights[-1], steps)
    upper = np.clip(np.searchsorted(heights, wanted), 1, len(heights) - 1)
    share = (wanted - heights[upper - 1]) / (heights[upper] - heights[upper - 1])
    share = np.clip(share, 0, 1).astype(np.float32)
    even = pixels[..., upper - 1] * (1 - share) + pixels[..., upper] * share
    step = float(wanted[1] - wanted[0])
    notes.append(
        f"gaps of {gaps.min():.2f} to {gaps.max():.2f} mm between {len(heights)} slices were "
        f"resampled to {steps} slices {step:.2f} mm apart"
    )
    return even, step


@contextmanager
def _calm() -> Iterator[None]:
    """Keep pydicom's many remarks on odd files off the terminal: they may quote the header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("pydicom").setLevel(logging.CRITICAL)
        yield


def _open(file: Path, *, pixels: bool = True) -> Any:
    import pydicom

    try:
        data = pydicom.dcmread(file, force=True, stop_before_pixels=not pixels)
        if "Rows" not in data or "Columns" not in data:
            raise UnreadableFile(NO_IMAGE)
        data.Rows, data.Columns = int(data.Rows), int(data.Columns)
    except UnreadableFile:
        raise
    except Exception as error:  # its words may quote the header
        raise UnreadableFile(f"cannot be read as DICOM ({type(error).__name__})") from None
    samples = int(_number(data, "SamplesPerPixel", 1))
    width = max(1, int(_number(data, "BitsAllocated", 8)) // 8)
    wanted = data.Rows * data.Columns * samples * width * _frames(data)
    check_size(wanted)
    if pixels and not _packed(data):
        check_held(
            wanted // (8 if _number(data, "BitsAllocated", 8) == 1 else 1), file.stat().st_size, 2
        )
    return data


def _packed(data: Any) -> bool:
    syntax = getattr(getattr(data, "file_meta", None), "TransferSyntaxUID", None)
    return bool(syntax is not None and syntax.is_compressed)


def _decode(file: Path, data: Any, item: int, notes: list[str]) -> np.ndarray:
    """Pixels (channel, *space) in modality units."""
    pixels = _raw(file, data, item)
    kind = str(data.get("PhotometricInterpretation", "MONOCHROME2"))
    if pixels.shape[-1] == 3:
        return np.moveaxis(pixels, -1, 0)
    pixels = pixels[..., 0]
    if kind == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        coloured = apply_color_lut(pixels, data)[..., :3]
        return np.moveaxis(coloured >> 8 if coloured.dtype.itemsize > 1 else coloured, -1, 0)
    from pydicom.pixels.processing import apply_modality_lut

    padding = _number(data, "PixelPaddingValue", None)
    outside = pixels == padding if padding is not None else None
    values = apply_modality_lut(pixels, data).astype(np.float32)
    if outside is not None and outside.any() and not outside.all():
        values[outside] = values[~outside].min()
    if kind == "MONOCHROME1":
        values = values.max() + values.min() - values
        notes.append("dark meant bright in the file (MONOCHROME1) and was turned around")
    return values[None]


def _raw(file: Path, data: Any, item: int) -> np.ndarray:
    """Stored values (*space, sample), colours as RGB; by SimpleITK where pydicom cannot unpack."""
    frames = _frames(data)
    frame = item if item >= 0 else (0 if frames == 1 else None)
    try:
        from pydicom.pixels.utils import pixel_array

        pixels = pixel_array(data, index=frame)
    except Exception as error:
        if not _packed(data):
            raise UnreadableFile(f"its pixels cannot be read ({type(error).__name__})") from None
        pixels = _raw_by_itk(file, frame)
    samples = int(_number(data, "SamplesPerPixel", 1))
    return pixels if samples > 1 else pixels[..., None]


def _raw_by_itk(file: Path, frame: int | None) -> np.ndarray:
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        image = SimpleITK.ReadImage(str(file), imageIO="GDCMImageIO")
    except RuntimeError:
        raise UnreadableFile("its pixels are packed in a way that cannot be undone here") from None
    if image.GetNumberOfComponentsPerPixel() == 1 and any(
        image.HasMetaDataKey(key) and float(image.GetMetaData(key) or plain) != plain
        for key, plain in (("0028|1053", 1.0), ("0028|1052", 0.0))
    ):
        slope, base = (float(image.GetMetaData(key)) for key in ("0028|1053", "0028|1052"))
        image = (SimpleITK.Cast(image, SimpleITK.sitkFloat64) - base) / slope
    pixels = SimpleITK.GetArrayFromImage(image)
    flat = pixels.ndim == (3 if image.GetNumberOfComponentsPerPixel() == 1 else 4)
    return pixels[frame] if flat and frame is not None else pixels


def _spacing(data: Any) -> tuple[float, ...] | None:
    """Size of a pixel in mm (row, column), from the tag of the modality."""
    for name in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        found = _floats(data, name, 2)
        if found and min(found) > 0:
            return found
    for region in data.get("SequenceOfUltrasoundRegions", None) or ():
        if int(_number(region, "PhysicalUnitsXDirection", 0)) == 3:  # cm
            steps = [abs(_number(region, f"PhysicalDelta{axis}", 0.0)) * 10 for axis in "YX"]
            if min(steps) > 0:
                return tuple(steps)
    return None


def _frames(data: Any) -> int:
    return max(1, int(_number(data, "NumberOfFrames", 1)))


def _facts(data: Any) -> dict[str, str]:
    facts = {name: data.get(name, None) for name in TECHNICAL}
    return {name: str(value)[:64] for name, value in facts.items() if value not in (None, "")}


def _number(data: Any, name: str, default: Any) -> Any:
    try:
        value = data.get(name, default)
        return default if value is None or value == "" else float(value)
    except (TypeError, ValueError, AttributeError):
        return default


def _floats(data: Any, name: str, length: int) -> tuple[float, ...] | None:
    try:
        values = tuple(float(value) for value in data.get(name, None) or ())
    except (TypeError, ValueError):
        return None
    return values if len(values) == length and np.isfinite(values).all() else None


def _many(data: Any, name: str) -> Sequence[Any]:
    value = data.get(name, None) or ()
    return [value] if isinstance(value, str) else list(value)
