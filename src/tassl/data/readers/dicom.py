"""DICOM, through pydicom; what it cannot decode through SimpleITK, which carries GDCM.

Bright is bright (MONOCHROME1 is inverted), colours are RGB, values are rescaled (CT: Hounsfield
units). The window for display stays a fact and is not applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from tassl.data.readers.base import Picture, check_held, check_size
from tassl.data.readers.headers import (
    PACKED,
    PLAUSIBLE,
    Plane,
    count_frames,
    find_group,
    find_planes,
    hushed,
    list_facts,
    open_dataset,
)
from tassl.data.readers.stacks import PARALLEL, stack_slices
from tassl.data.readers.streams import find_sides
from tassl.errors import UnreadableFile

if TYPE_CHECKING:
    from pydicom import Dataset

ENDINGS = (".dcm", ".dicom", ".ima")
PIXEL_TAGS = (
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
)  # fmt: skip
RESCALE = "PixelValueTransformationSequence"
CENTIMETRES = 3  # units of an ultrasound region


def recognises(head: bytes) -> bool:
    """The word DICM after the preamble, or without one a first tag of group 2 or 8."""
    return head[128:132] == b"DICM" or (head[:2] in (b"\x02\0", b"\x08\0") and head[3:4] == b"\0")


def count(file: Path) -> int:
    """Number of frames."""
    with hushed():
        return count_frames(open_dataset(file, tags=("Rows", "NumberOfFrames", "SOPClassUID")))


def read(file: Path, item: int = -1, *, is_mask: bool = False) -> Picture:
    """Read one frame, (channel, row, column), or a volume, (channel, *space).

    Args:
        file: One DICOM file.
        item: Number of the frame. -1 is the whole volume where the file says where its frames lie,
            and the first frame where it does not, as in a cine.
        is_mask: Stored numbers are wanted, neither inverted nor rescaled.
    """
    with hushed():
        dataset = open_dataset(file)
        planes, frames = find_planes(dataset), count_frames(dataset)
        apart = frames > 1 and len({tuple(plane.position) for plane in planes}) > 1
        is_volume = item == -1 and apart
        _check_pixels(dataset, frames if is_volume else 1)
        if not -1 <= item < frames:
            raise UnreadableFile(f"has {frames} frames; frame {item} was wanted")
        if is_volume:
            slices = [_read_frame(dataset, k, is_mask=is_mask) for k in range(frames)]
            return replace(_stack([*slices], [*planes]), facts=list_facts(dataset))
        picture = _read_frame(dataset, max(item, 0), is_mask=is_mask)
        first = (f"the first of {frames} frames",) if item == -1 and frames > 1 else ()
        return replace(
            picture,
            spacing=_find_spacing(dataset, max(item, 0)),
            facts=list_facts(dataset),
            notes=(*picture.notes, *first),
        )


def join(files: Sequence[Path]) -> Picture:
    """Read a series as one volume, (channel, left to right, back to front, foot to head).

    Args:
        files: One slice each, in any order; of slices at one place the first is kept.

    Raises:
        UnreadableFile: They differ in size or direction, or do not say where they lie.
    """
    with hushed():
        slices, planes, facts = [], [], {}
        for file in files:
            dataset = open_dataset(file)
            _check_pixels(dataset, len(files))
            found = find_planes(dataset)
            if len(found) != 1:
                raise UnreadableFile("holds a slice that does not say where it lies")
            slices.append(_read_frame(dataset, 0))
            planes += found
            facts = facts or list_facts(dataset)
        return replace(_stack(slices, planes), facts=facts)


def _stack(slices: list[Picture], planes: list[Plane]) -> Picture:
    if len(shapes := {picture.pixels.shape for picture in slices}) > 1:
        raise UnreadableFile(f"has slices of different sizes: {sorted(shapes)}")
    for name in ("orientation", "spacing"):
        every = np.array([getattr(plane, name) for plane in planes])
        if np.ptp(every, axis=0).max() > PARALLEL:
            raise UnreadableFile(f"has slices of different {name}, as a localizer has")
    volume = stack_slices(
        [picture.pixels for picture in slices],
        np.array([plane.position for plane in planes]),
        planes[0].orientation,
        planes[0].spacing,
    )
    notes = dict.fromkeys(note for picture in slices for note in picture.notes)
    return replace(volume, notes=(*notes, *volume.notes))


def _check_pixels(dataset: Dataset, wanted: int) -> None:
    """Refuse what would fill the memory, before it is decoded, and what is cut short.

    Args:
        dataset: The file.
        wanted: Frames of its size that will be held at once.
    """
    if "PixelData" not in dataset:
        raise UnreadableFile("holds no pixels")
    samples = int(dataset.get("SamplesPerPixel") or 1)
    bits = int(dataset.Rows) * int(dataset.Columns) * samples * int(dataset.BitsAllocated)
    check_size(bits * wanted // 8)
    size, held = bits * count_frames(dataset) // 8, len(dataset.PixelData)
    plain = not dataset.file_meta.TransferSyntaxUID.is_encapsulated
    subsampled = dataset.get("PhotometricInterpretation") == "YBR_FULL_422"
    if plain and not subsampled:
        check_held(size, held)
    if size > PLAUSIBLE:
        check_held(size, held, PACKED)


def _check_stream(dataset: Dataset, frame: int) -> None:
    """Refuse a packed frame whose own size is not that of the header."""
    from pydicom.encaps import get_frame

    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    packed = get_frame(dataset.PixelData, frame, number_of_frames=count_frames(dataset))
    wanted = (int(dataset.Rows), int(dataset.Columns))
    if (sides := find_sides(packed)) not in (None, wanted):
        raise UnreadableFile(f"packs a picture of {sides} pixels; its header says {wanted}")


def _read_frame(dataset: Dataset, frame: int, *, is_mask: bool = False) -> Picture:
    """Read one frame with its values in the units that the header gives."""
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
    from pydicom.pixels.utils import pixel_array

    _check_stream(dataset, frame)
    try:
        pixels = pixel_array(dataset, index=frame)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic of a decoder written in Rust is no Exception
        if not dataset.file_meta.TransferSyntaxUID.is_compressed:
            raise
        pixels = _decode_by_gdcm(dataset, frame)
    if dataset.PhotometricInterpretation == "PALETTE COLOR" and pixels.ndim == 2 and not is_mask:
        pixels = apply_color_lut(pixels, dataset)
        pixels = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.ndim == 3:
        return Picture(np.moveaxis(pixels[..., :3], -1, 0))
    if is_mask:
        return Picture(pixels[None])

    padding = _find_padding(dataset, pixels)
    pixels = apply_modality_lut(pixels, find_group(dataset, frame, RESCALE))
    if pixels.dtype == np.float64:
        pixels = pixels.astype(np.float32)
    notes = ()
    if _is_inverse(dataset):
        pixels = _invert(pixels, dataset, frame)
        notes = ("MONOCHROME1: inverted, so that bright is bright",)
    if padding is not None and padding.any() and not padding.all():
        pixels = np.where(padding, pixels[~padding].min(), pixels)
    return Picture(pixels[None], notes=notes)


def _decode_by_gdcm(dataset: Dataset, frame: int) -> np.ndarray:
    """Decode the stored values of one frame.

    GDCM gets a file with nothing in it but this frame: a damaged length elsewhere would make it ask
    for gigabytes, and what it would rescale or invert is left out.
    """
    import SimpleITK
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate, get_frame
    from pydicom.uid import SecondaryCaptureImageStorage

    bare = Dataset()
    for name in PIXEL_TAGS:
        if (value := dataset.get(name)) is not None:
            setattr(bare, name, value)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        bare.PhotometricInterpretation = "MONOCHROME2"
    bare.SOPClassUID, bare.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    SimpleITK.ProcessObject_GlobalWarningDisplayOff()
    try:
        packed = get_frame(dataset.PixelData, frame, number_of_frames=count_frames(dataset))
        bare.PixelData = encapsulate([packed])
        bare["PixelData"].VR = "OB"
        with TemporaryDirectory() as folder:
            file = Path(folder) / "frame.dcm"
            bare.file_meta = FileMetaDataset()
            bare.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
            bare.save_as(file, enforce_file_format=True)
            image = SimpleITK.ReadImage(str(file), imageIO="GDCMImageIO")
            return SimpleITK.GetArrayFromImage(image)[0]
    except Exception:
        raise UnreadableFile("holds pixels that neither pydicom nor GDCM can decode") from None


def _invert(pixels: np.ndarray, dataset: Dataset, frame: int) -> np.ndarray:
    """Exchange bright and dark within the range that the stored bits span."""
    if dataset.get("ModalityLUTSequence"):
        return pixels.min() + (pixels.max() - pixels)
    slope, intercept = _find_rescale(find_group(dataset, frame, RESCALE))
    turned = slope * _sum_of_ends(dataset) + 2 * intercept - pixels
    return turned.astype(pixels.dtype)


def _is_inverse(dataset: Dataset) -> bool:
    return dataset.PhotometricInterpretation == "MONOCHROME1"


def _sum_of_ends(dataset: Dataset) -> int:
    """Lowest plus highest value that can be stored."""
    return -1 if dataset.PixelRepresentation else 2 ** int(dataset.BitsStored) - 1


def _find_rescale(group: Dataset) -> tuple[float, float]:
    return float(group.get("RescaleSlope", 1)), float(group.get("RescaleIntercept", 0))


def _find_padding(dataset: Dataset, stored: np.ndarray) -> np.ndarray | None:
    if (value := dataset.get("PixelPaddingValue")) is None:
        return None
    ends = sorted((int(value), int(dataset.get("PixelPaddingRangeLimit", value))))
    return (stored >= ends[0]) & (stored <= ends[1])


def _find_spacing(dataset: Dataset, frame: int) -> tuple[float, float] | None:
    """Mm between rows, then columns, of one frame."""
    measures = find_group(dataset, frame, "PixelMeasuresSequence")
    for name in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        if value := measures.get(name):
            return _positive(float(value[0]), float(value[1]))
    for region in dataset.get("SequenceOfUltrasoundRegions") or ():
        units = (region.get("PhysicalUnitsYDirection"), region.get("PhysicalUnitsXDirection"))
        if units == (CENTIMETRES, CENTIMETRES):
            return _positive(10 * abs(region.PhysicalDeltaY), 10 * abs(region.PhysicalDeltaX))
    return None


def _positive(down: float, across: float) -> tuple[float, float] | None:
    return (down, across) if min(down, across) > 0 else None
