"""One subfolder per class, with or without a folder per split above: `train/benign/1.png`.

A file whose name ends in `_mask` is the segmentation of the file without that ending.
"""

from __future__ import annotations

from pathlib import Path

from tassl.data.manifest import SPLITS, Manifest, make_table

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}


def recognises(path: Path) -> bool:
    """A folder of folders that hold pictures is ours."""
    return path.is_dir() and any(_pictures(folder) for _, folder in _class_folders(path))


def read(path: Path) -> Manifest:
    """Read the manifest of a folder per class."""
    folders = [(split, folder) for split, folder in _class_folders(path) if _pictures(folder)]
    classes = sorted({folder.name for _, folder in folders})
    rows = []
    for split, folder in folders:
        files = {file.stem: file for file in _pictures(folder)}
        for stem, file in files.items():
            if stem.endswith("_mask") and stem.removesuffix("_mask") in files:
                continue
            name = file.relative_to(path)
            mask = files.get(f"{stem}_mask")
            rows.append(
                {
                    "id": str(name.with_suffix("")),
                    "file": str(name),
                    "subject": str(name.with_suffix("")),
                    "split": split,
                    "label": classes.index(folder.name),
                    "mask": str(mask.relative_to(path)) if mask else "",
                }
            )
    notes = (
        "no subject ids: each image is taken for its own subject; "
        "use --subject REGEX if the file names hold them",
    )
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
