"""One subfolder per class, with or without a folder per split above: `train/benign/1.png`.

A file whose name ends in `_mask` is the segmentation of the file without that ending; further
masks of that image (`_mask_1`) are united with it.
"""

from __future__ import annotations

import re
from pathlib import Path

from tassl.data.layouts.subjects import note_subjects
from tassl.data.manifest import SPLITS, Manifest, make_table

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
MASK = re.compile(r"_mask(_\d+)?$")
WANTED = "one subfolder of pictures per class"


def recognises(path: Path) -> bool:
    """A folder of folders that hold pictures is ours."""
    return path.is_dir() and any(_pictures(folder) for _, folder in _class_folders(path))


def read(path: Path) -> Manifest:
    """Read the manifest of a folder per class."""
    folders = [(split, folder) for split, folder in _class_folders(path) if _pictures(folder)]
    classes = sorted({folder.name for _, folder in folders})
    rows = []
    for split, folder in folders:
        stems = {file.stem for file in _pictures(folder)}
        masks: dict[str, list[str]] = {}
        for file in _pictures(folder):
            if (image := MASK.sub("", file.stem)) != file.stem and image in stems:
                masks.setdefault(image, []).append(str(file.relative_to(path)))
        for file in _pictures(folder):
            if MASK.sub("", file.stem) != file.stem and MASK.sub("", file.stem) in stems:
                continue
            name = file.relative_to(path)
            rows.append(
                {
                    "id": str(name.with_suffix("")),
                    "file": str(name),
                    "subject": str(name.with_suffix("")),
                    "split": split,
                    "label": classes.index(folder.name),
                    "masks": tuple(masks.get(file.stem, ())),
                }
            )
    notes = (note_subjects([str(row["file"]) for row in rows]),)
    return Manifest(path, "class-folders", make_table(rows), tuple(classes), notes)


def _class_folders(path: Path) -> list[tuple[str, Path]]:
    splits = [path / split for split in SPLITS if (path / split).is_dir()]
    if splits:
        return [(top.name, folder) for top in splits for folder in _subfolders(top)]
    return [("", folder) for folder in _subfolders(path)]


def _subfolders(path: Path) -> list[Path]:
    return sorted(folder for folder in path.iterdir() if folder.is_dir())


def _pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS)
