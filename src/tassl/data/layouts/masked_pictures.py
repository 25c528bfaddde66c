"""Pictures with a segmentation each, in one folder by their endings or in two folders.

`x.png` and `x_mask.png`, `x_HC.png` and `x_HC_Annotation.png`, `x.jpg` and `x_1stHO.png` lie side
by side; or `images/x.png` and `masks/x.png` (labels, annotations) lie apart.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tassl.data.layouts.subjects import note_subjects
from tassl.data.manifest import Manifest, SetAside, make_table
from tassl.data.progress import Track
from tassl.data.readers import READERS, read_mask
from tassl.errors import UnreadableFile

ENDINGS = (*READERS["photo"], *READERS["tiff"])
IMAGES = ("images", "image", "imgs")
MASKS = ("masks", "mask", "labels", "label", "annotations", "segmentations", "gt")
FIRST = re.compile(r"[-_](mask|seg|segmentation|label|annotation|gt|1stHO|manual1)(_\d+)?$", re.I)
OTHER = re.compile(r"[-_](2ndHO|manual2)$", re.I)
MOST_CLASSES = 32
TRIED = 8
WANTED = "pictures beside their masks (x.png, x_mask.png), or images/ and masks/"


def recognises(path: Path) -> bool:
    """A folder with images/ and masks/, or with pictures and masks beside them, is ours."""
    return path.is_dir() and (_two_folders(path) is not None or _one_folder(path) is not None)


def read(path: Path, *, track: Track = iter) -> Manifest:
    """Read the manifest of pictures and masks."""
    notes = []
    if (pair := _two_folders(path)) is not None:
        images, masks = _pictures(pair[0]), _gather(_pictures(pair[1]), strip=True)
    else:
        files = _pictures(_one_folder(path) or path)
        others = {file for file in files if OTHER.search(file.stem)}
        firsts = [file for file in files if FIRST.search(file.stem)]
        images, masks = sorted({*files} - {*firsts} - others), _gather(firsts)
        if others:
            notes.append(f"{len(others)} masks of a second observer are left out")
    own = {file.stem: masks.get(file.stem, []) for file in images}
    used = {mask for found in own.values() for mask in found}
    set_aside = [
        SetAside(str(mask.relative_to(path)), "is a mask without its picture")
        for mask in sorted({mask for found in masks.values() for mask in found} - used)
    ]
    if unmasked := sum(not found for found in own.values()):
        notes.append(f"{unmasked} pictures have no mask")
    instances = _number_objects([found[0] for found in own.values() if found])
    if instances:
        notes.append("masks number single objects, not classes")
    rows = [
        {
            "id": str(file.relative_to(path).with_suffix("")),
            "file": str(file.relative_to(path)),
            "subject": file.stem,
            "masks": tuple(str(mask.relative_to(path)) for mask in own[file.stem]),
        }
        for file in images
    ]
    notes.append(note_subjects([str(row["file"]) for row in rows]))
    return Manifest(
        path,
        "masked-pictures",
        make_table(rows),
        notes=tuple(notes),
        set_aside=tuple(set_aside),
        instances=instances,
    )


def _two_folders(path: Path) -> tuple[Path, Path] | None:
    folders = {f.name.lower(): f for f in path.iterdir() if f.is_dir()}
    images = next((folders[name] for name in IMAGES if name in folders), None)
    masks = next((folders[name] for name in MASKS if name in folders), None)
    if images is None or masks is None or not _pictures(images) or not _pictures(masks):
        return None
    return images, masks


def _one_folder(path: Path) -> Path | None:
    """The folder itself, or its only one, where pictures lie beside masks."""
    inner = [folder for folder in path.iterdir() if folder.is_dir()]
    for folder in [path, *(inner if len(inner) == 1 else [])]:
        files = _pictures(folder)
        stems = {file.stem for file in files}
        if any(FIRST.sub("", stem) in stems for stem in stems if FIRST.search(stem)):
            return folder
    return None


def _gather(files: list[Path], *, strip: bool = False) -> dict[str, list[Path]]:
    """Masks of each picture, by its name."""
    masks: dict[str, list[Path]] = {}
    for file in files:
        masks.setdefault(FIRST.sub("", file.stem), []).append(file)
        if strip and FIRST.search(file.stem):
            masks.setdefault(file.stem, []).append(file)
    return masks


def _number_objects(masks: list[Path]) -> bool:
    """Whether masks number objects from 1 on: more values than classes would have, all in a row."""
    for file in masks[:: max(1, len(masks) // TRIED)][:TRIED]:
        try:
            values = np.unique(read_mask(file).pixels)
        except UnreadableFile:
            continue
        if len(values) > MOST_CLASSES and np.array_equal(values, np.arange(len(values))):
            return True
    return False


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        f for f in folder.iterdir() if f.name.lower().endswith(ENDINGS) and f.name[0] != "."
    )
