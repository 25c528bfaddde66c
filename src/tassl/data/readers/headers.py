"""What a DICOM header may tell: technical facts by allow-list, and identities for grouping.

Nothing of a header is passed on unless both its name and its value are on the list: a free text
may hold a name wherever it stands.
"""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Iterator, Mapping, MutableSequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from tassl.data.privacy import cap_age
from tassl.data.readers.base import MOST_BYTES
from tassl.data.readers.streams import check_inflated
from tassl.errors import UnreadableFile

if TYPE_CHECKING:
    from pydicom import Dataset

PLAUSIBLE, PACKED = 2**26, 1000  # bytes that any file may claim; times its own size beyond them
NUMBER = r"[+-]?\d{1,12}(\.\d{1,16})?([eE][+-]?\d{1,3})?"
FACTS = {
    "Modality": r"[A-Z]{2}|RTIMAGE|RTDOSE|RTPLAN|RTSTRUCT|RTRECORD|SEG|ECG|OPT|OPTENF|REG|SRF|KER",
    "PhotometricInterpretation": r"MONOCHROME[12]|RGB|PALETTE COLOR|YBR_[A-Z0-9_]{2,12}",
    "BodyPartExamined": r"HEAD|BRAIN|SKULL|NECK|CHEST|LUNG|HEART|BREAST|ABDOMEN|LIVER|KIDNEY|"
    r"PELVIS|PROSTATE|UTERUS|SPINE|[CTL]SPINE|SHOULDER|ELBOW|WRIST|HAND|HIP|KNEE|ANKLE|FOOT|EYE|"
    r"THYROID|EXTREMITY|WHOLEBODY",
    "Laterality": r"[LRUB]",
    "ImageLaterality": r"[LRUB]",
    "ViewPosition": r"AP|PA|LL|RL|[LR]LD|[LR]LO|LAO|RAO|CC|MLO|ML|LM|XCCL|XCCM|FB|SIO|LATERAL",
    "ConvolutionKernel": r"[A-Z][a-z]?\d{2}[a-z]?|FC\d{2}|STANDARD|STD\+?|SOFT|LUNG|BONE|BONEPLUS|"
    r"DETAIL|EDGE|[A-F]",
    **dict.fromkeys(
        (
            "KVP", "SliceThickness", "SpacingBetweenSlices", "MagneticFieldStrength", "EchoTime",
            "RepetitionTime", "FlipAngle", "Rows", "Columns", "NumberOfFrames", "BitsStored",
            "WindowCenter", "WindowWidth", "GantryDetectorTilt",
        ),
        NUMBER,
    ),
}  # fmt: skip
MAKERS = (
    "GE", "Siemens", "Philips", "Toshiba", "Canon", "Hitachi", "Fujifilm", "Fuji", "Samsung",
    "Hologic", "Agfa", "Carestream", "Kodak", "Konica", "Shimadzu", "Mindray", "Esaote",
    "SonoSite", "Bruker", "Zeiss", "Topcon", "Heidelberg", "Varian", "Elekta",
    "UIH", "Neusoft", "SuperSonic", "ATL", "Acuson",
)  # fmt: skip
AGE, DAYS = re.compile(r"(\d{3})([DWMY])"), {"D": 1, "W": 7, "M": 30.44, "Y": 365.25}
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
PLANE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
WANTED = (
    *FACTS, *GROUPS, *PLANE, "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID",
    "SOPClassUID", "ImageType", "InstanceNumber",
    "Manufacturer", "ManufacturerModelName", "PatientSex", "PatientAge",
)  # fmt: skip


@dataclass(frozen=True)
class Plane:
    """Where a frame lies in the patient.

    Args:
        position: Centre of the first pixel in mm, DICOM axes (LPS).
        orientation: Direction cosines of a row, then of a column.
        spacing: mm between rows, then between columns.
    """

    position: np.ndarray
    orientation: np.ndarray
    spacing: tuple[float, float]


@dataclass(frozen=True)
class Header:
    """What is known of one file without its pixels.

    Args:
        patient: Identity; like the next four never to be printed or kept, only to group by. Who
            issued it is left out: given in some files only, it would make two of one person.
        study: Identity of the examination.
        series: Identity of the series.
        instance: Identity of the file.
        device: Maker and model as they stand.
        maker: Maker by a known name, else "".
        storage: UID of the kind of object (SOP class).
        image_type: Terms that say how the image came about.
        number: Place in the series.
        frames: Number of frames; 0 where the file holds no picture.
        planes: Where each frame lies; () where that is unknown.
        facts: Technical facts by DICOM keyword.
        sex: "F", "M" or "O", "" where unknown.
        age: In years, 90 for all who are older; NaN where unknown.
    """

    patient: str = field(repr=False)
    study: str = field(repr=False)
    series: str = field(repr=False)
    instance: str = field(repr=False)
    device: str = field(repr=False)
    maker: str
    storage: str
    image_type: tuple[str, ...] = field(repr=False)
    number: int
    frames: int
    planes: tuple[Plane, ...]
    facts: Mapping[str, str]
    sex: str = ""
    age: float = math.nan


def read_header(file: Path) -> Header:
    """Read the header of a DICOM file.

    Raises:
        UnreadableFile: It is not DICOM, or damaged; the reason quotes nothing of the header.
    """
    with hushed():
        dataset = open_dataset(file, tags=WANTED)
        return Header(
            patient=_join(dataset, "PatientID"),
            study=str(dataset.get("StudyInstanceUID", "")),
            series=str(dataset.get("SeriesInstanceUID", "")),
            instance=str(dataset.get("SOPInstanceUID", "")),
            device=_join(dataset, "Manufacturer", "ManufacturerModelName"),
            maker=_name_maker(str(dataset.get("Manufacturer") or "")),
            storage=str(dataset.get("SOPClassUID", "")),
            image_type=tuple(map(str, dataset.get("ImageType") or ())),
            number=int(dataset.get("InstanceNumber") or 0),
            frames=count_frames(dataset),
            planes=find_planes(dataset),
            facts=list_facts(dataset),
            sex=_read_sex(dataset),
            age=_read_age(dataset),
        )


@contextmanager
def hushed() -> Iterator[None]:
    """Let no warning, log line or error of pydicom out: they quote the header.

    Raises:
        UnreadableFile: In place of whatever was raised.
    """
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (UnreadableFile, MemoryError):
        raise
    except FileNotFoundError:
        raise UnreadableFile("does not exist") from None
    except Exception as error:
        raise UnreadableFile(f"cannot be read as DICOM ({type(error).__name__})") from None
    finally:
        logger.setLevel(level)


def open_dataset(file: Path, *, tags: tuple[str, ...] | None = None) -> Dataset:
    """Read all of a file, or some tags without the pixels; with or without its preamble."""
    import pydicom
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    with file.open("rb") as opened:
        _check_deflated(opened, file.stat().st_size)
        dataset = pydicom.dcmread(
            opened,
            force=True,
            stop_before_pixels=tags is not None,
            specific_tags=list(tags) if tags else None,
        )
    if not {"SOPClassUID", "Rows", "Modality"} & set(dataset.dir()):
        raise UnreadableFile("is not DICOM")
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset


def _check_deflated(opened: BinaryIO, held: int) -> None:
    """Refuse a deflated file that would fill the memory: pydicom inflates it as a whole."""
    from pydicom.filereader import read_dataset, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    read_preamble(opened, force=True)
    meta = read_dataset(opened, False, True, stop_when=lambda tag, *_: tag >> 16 != 2)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        check_inflated(opened, min(MOST_BYTES, max(PLAUSIBLE, PACKED * held)))
    opened.seek(0)


def count_frames(dataset: Dataset) -> int:
    """Frames of a picture; 0 where the file holds none."""
    return int(dataset.get("NumberOfFrames") or 1) if dataset.get("Rows") else 0


def find_group(dataset: Dataset, frame: int, name: str) -> Dataset:
    """What a multi-frame file says of one frame, else of all; a plain file says it at the top."""
    shared, apart = (dataset.get(group) or () for group in GROUPS)
    for holder in (*apart[frame : frame + 1], *shared[:1]):
        if holder.get(name):
            return holder[name][0]
    return dataset


def find_planes(dataset: Dataset) -> tuple[Plane, ...]:
    """Where each frame lies; () unless that is known of all and they lie apart."""
    frames = count_frames(dataset)
    if frames > 1 and len(dataset.get(GROUPS[1]) or ()) != frames:
        return ()
    planes = tuple(_find_plane(dataset, frame) for frame in range(frames))
    return tuple(plane for plane in planes if plane) if all(planes) else ()


def list_facts(dataset: Dataset) -> dict[str, str]:
    """Technical facts whose name and value are both on the allow-list."""
    facts = {}
    for name, allowed in FACTS.items():
        value = dataset.get(name)
        first = value[0] if isinstance(value, MutableSequence) and value else value
        if first is not None and re.fullmatch(allowed, str(first)):
            facts[name] = str(first)
    return facts


def _find_plane(dataset: Dataset, frame: int) -> Plane | None:
    groups = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
    found = [
        find_group(dataset, frame, group).get(name)
        for group, name in zip(groups, PLANE, strict=True)
    ]
    if not all(found):
        return None
    position, orientation, spacing = (np.array(list(map(float, values))) for values in found)
    if (position.shape, orientation.shape, spacing.shape) != ((3,), (6,), (2,)):
        return None
    return Plane(position, orientation, (float(spacing[0]), float(spacing[1])))


def _name_maker(text: str) -> str:
    known = (name for name in MAKERS if re.search(rf"\b{name}\b", text, re.IGNORECASE))
    return next(known, "")


def _read_sex(dataset: Dataset) -> str:
    text = str(dataset.get("PatientSex") or "")
    return text if text in ("F", "M", "O") else ""


def _read_age(dataset: Dataset) -> float:
    match = AGE.fullmatch(str(dataset.get("PatientAge") or ""))
    return cap_age(int(match[1]) * DAYS[match[2]] / DAYS["Y"]) if match else math.nan


def _join(dataset: Dataset, *names: str) -> str:
    return "\n".join(str(dataset.get(name) or "") for name in names).strip()
