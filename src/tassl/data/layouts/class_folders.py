"""One subfolder per class, with or without a folder per split above: `train/benign/1.png`.

A file whose name ends in `_mask` is the segmentation of the file without that ending; further
masks of that image (`_mask_1`) are set aside.
"""

from __future__ import annotations

import re
from pathlib import Path

from tassl.data.manifest import SPLITS, Manifest, SetAside, make_table

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
WANTED = "one subfolder of pictures per class"


def recognises(path: Path) -> bool:
    """A folder of folders that hold pictures is ours."""
    return path.is_dir() and any(_pictures(folder) for _, folder in _class_folders(path))


def read(path: Path) -> Manifest:
    """Read the manifest of a folder per class."""
    folders = [(split, folder) for split, folder in _class_folders(path) if _pictures(folder)]
    classes = sorted({folder.name for _, folder in folders})
    rows, set_aside = [], []
    for split, folder in folders:
        files = {file.stem: file for file in _pictures(folder)}
        for file in _pictures(folder):
            name = file.relative_to(path)
            masked = re.sub(r"_mask(_\d+)?$", "", file.stem)
            if masked != file.stem and masked in files:
                if file.stem != f"{masked}_mask":
                    set_aside.append(SetAside(str(name), "a further mask; wanted one per image"))
                continue
            mask = files.get(f"{file.stem}_mask")
            rows.append(
                {
                    "id": str(name.with_suffix("")),
                    "file": str(name),
                    "subject": str(name.with_suffix("")),
                    "split": split,
                    "label": classes.index(folder.name),
                    "masks": (str(mask.relative_to(path)),) if mask else (),
                }
            )
    notes = (
        "no subject ids: each image is taken for its own subject; "
        "use --subject REGEX if the file names hold them",
    )
    table = make_table(rows)
    return Manifest(path, "class-folders", table, tuple(classes), notes, tuple(set_aside))


def _class_folders(path: Path) -> list[tuple[str, Path]]:
    splits = [path / split for split in SPLITS if (path / split).is_dir()]
    if splits:
        return [(top.name, folder) for top in splits for folder in _subfolders(top)]
    return [("", folder) for folder in _subfolders(path)]


def _subfolders(path: Path) -> list[Path]:
    return sorted(folder for folder in path.iterdir() if folder.is_dir())


def _pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS)
