"""One subfolder per class, with or without a folder per split above: `train/benign/1.png`.

A file whose name ends in `_mask` is the segmentation of the file without that ending; further
masks of that image (`_mask_1`) are united with it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from tassl.data.layouts.matching import strip_ending
from tassl.data.layouts.subjects import note_subjects
from tassl.data.manifest import SPLITS, Manifest, make_table
from tassl.data.progress import Track
from tassl.data.readers import READERS

ENDINGS = tuple(ending for kind in ("photo", "tiff", "nifti", "itk") for ending in READERS[kind])
MASK = re.compile(r"_mask(_\d+)?$")
WANTED = "one subfolder of pictures or volumes per class"


def recognises(path: Path) -> bool:
    """A folder of folders that hold pictures is ours."""
    return path.is_dir() and any(_pictures(folder) for _, folder in _class_folders(path))


def read(path: Path, *, track: Track = iter) -> Manifest:
    """Read the manifest of a folder per class."""
    found = [(split, folder, _pictures(folder)) for split, folder in _class_folders(path)]
    classes = sorted({folder.name for _, folder, files in found if files})
    rows: list[dict[str, object]] = []
    for split, folder, files in found:
        place = folder.relative_to(path).as_posix()
        stems = {strip_ending(name) for name in files}
        masks: dict[str, list[str]] = {}
        images = []
        for name in files:
            stem = strip_ending(name)
            image = MASK.sub("", stem)
            if image != stem and image in stems:
                masks.setdefault(image, []).append(f"{place}/{name}")
            else:
                images.append((stem, name))
        rows += [
            {
                "id": f"{place}/{stem}",
                "file": f"{place}/{name}",
                "subject": f"{place}/{stem}",
                "split": split,
                "label": classes.index(folder.name),
                "masks": tuple(masks.get(stem, ())),
            }
            for stem, name in images
        ]
    notes = (note_subjects([str(row["file"]) for row in rows]),)
    return Manifest(path, "class-folders", make_table(rows), tuple(classes), notes)


def _class_folders(path: Path) -> list[tuple[str, Path]]:
    splits = [path / split for split in SPLITS if (path / split).is_dir()]
    if splits:
        return [(top.name, folder) for top in splits for folder in _subfolders(top)]
    return [("", folder) for folder in _subfolders(path)]


def _subfolders(path: Path) -> list[Path]:
    return sorted(folder for folder in path.iterdir() if folder.is_dir() and folder.name[0] != ".")


def _pictures(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name[0] != "."]
    return sorted(name for name in names if name.lower().endswith(ENDINGS))
