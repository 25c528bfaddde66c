"""Pascal VOC: `JPEGImages`, one XML file of boxes each in `Annotations`, splits in `ImageSets`."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from tassl.data.layouts.subjects import note_subjects
from tassl.data.manifest import SPLITS, Manifest, SetAside, make_table
from tassl.data.progress import Track
from tassl.errors import UnreadableFile

IMAGES, BOXES, SETS = "JPEGImages", "Annotations", "ImageSets/Main"
CORNERS = ("ymin", "xmin", "ymax", "xmax")
MOST_BYTES = 2**24
WANTED = "JPEGImages/ and Annotations/ of XML files"


def recognises(path: Path) -> bool:
    """A folder with JPEGImages and Annotations, or one that holds such a folder, is ours."""
    return _root(path) is not None


def read(path: Path, *, track: Track = iter) -> Manifest:
    """Read the manifest of a VOC data set; boxes without an area are dropped and counted."""
    root = _root(path) or path
    splits = {
        name: split
        for split in SPLITS
        if (file := root / SETS / f"{split}.txt").exists()
        for name in file.read_text().split()
    }
    found, set_aside, dropped = {}, [], 0
    for file in track(sorted((root / BOXES).glob("*.xml"))):
        try:
            objects, flat = _read_boxes(file)
            found[file.stem], dropped = objects, dropped + flat
        except UnreadableFile as error:
            set_aside.append(SetAside(str(file.relative_to(path)), str(error)))
    classes = sorted({name for objects in found.values() for name, _ in objects})
    rows = [
        {
            "id": file.stem,
            "file": str(file.relative_to(path)),
            "subject": file.stem,
            "split": splits.get(file.stem, ""),
            "boxes": tuple(
                value for name, box in found[file.stem] for value in (classes.index(name), *box)
            )
            if file.stem in found
            else None,
        }
        for file in sorted((root / IMAGES).iterdir())
    ]
    notes = [note_subjects([str(row["file"]) for row in rows])]
    if dropped:
        notes.append(f"{dropped} boxes without an area were dropped")
    return Manifest(path, "voc", make_table(rows), tuple(classes), tuple(notes), tuple(set_aside))


def _root(path: Path) -> Path | None:
    if not path.is_dir():
        return None
    folders = [path, *(folder for folder in path.iterdir() if folder.is_dir())]
    return next((f for f in folders if (f / IMAGES).is_dir() and (f / BOXES).is_dir()), None)


def _read_boxes(file: Path) -> tuple[list[tuple[str, tuple[float, ...]]], int]:
    """Name and corners of each object, and how many had no area."""
    if file.stat().st_size > MOST_BYTES:
        raise UnreadableFile(f"is larger than {MOST_BYTES} bytes; wanted a list of boxes")
    try:
        objects = [
            (str(item.findtext("name")), tuple(_number(item, corner) for corner in CORNERS))
            for item in ElementTree.parse(file).iter("object")
        ]
    except (ElementTree.ParseError, AttributeError, TypeError, ValueError) as error:
        raise UnreadableFile(f"cannot be read as VOC annotation: {error}") from None
    sound = [(name, box) for name, box in objects if box[2] > box[0] and box[3] > box[1]]
    return sound, len(objects) - len(sound)


def _number(item: ElementTree.Element, corner: str) -> float:
    text = item.findtext(f"bndbox/{corner}")
    if text is None:
        raise ValueError(f"an object has no {corner}")
    return float(text)
