"""NIfTI images with a label map each: nnU-Net, Medical Segmentation Decathlon and their like.

Images lie in `imagesTr` (or `images`), label maps of the same name in `labelsTr` (or `labels`);
`imagesTs` are unlabelled. One file is one subject; nnU-Net's channel suffix `_0000` is dropped.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from tassl.data.manifest import Manifest, SetAside, make_table
from tassl.data.readers import read_shape
from tassl.errors import InputError, UnreadableFile

FOLDERS = (("imagesTr", "labelsTr"), ("images", "labels"))
ENDINGS = (".nii", ".nii.gz")
WANTED = "images/ and labels/ (or imagesTr/ and labelsTr/) of NIfTI files"


def recognises(path: Path) -> bool:
    """A folder with images/ (or imagesTr/) of NIfTI files is ours."""
    return path.is_dir() and any(_files(path / images) for images, _ in FOLDERS)


def read(path: Path) -> Manifest:
    """Read the manifest of a folder of pairs.

    Raises:
        InputError: A label map has another shape than its image; all such pairs are named.
    """
    rows, set_aside, mismatched = [], [], []
    images, labels = next(pair for pair in FOLDERS if _files(path / pair[0]))
    masks = {_stem(mask): mask for mask in _files(path / labels)}
    for image in _files(path / images):
        name = _stem(image)
        if re.search(r"_\d{4}$", name) and not name.endswith("_0000"):
            raise InputError(f"{image} is a further channel; give one channel per image.")
        name = name.removesuffix("_0000")
        mask = masks.get(name)
        try:
            shape = read_shape(image)
            mask_shape = read_shape(mask) if mask else shape
        except UnreadableFile as error:
            set_aside.append(SetAside(str(image.relative_to(path)), str(error)))
            continue
        if shape != mask_shape:
            mismatched.append(f"{image.name} {shape} with a mask of {mask_shape}")
            continue
        rows.append(
            {
                "id": name,
                "file": str(image.relative_to(path)),
                "subject": name,
                "masks": (str(mask.relative_to(path)),) if mask else (),
            }
        )
    if mismatched:
        raise InputError(
            f"{len(mismatched)} label maps have another shape than their image: "
            f"{'; '.join(mismatched[:3])}. Mend or remove these pairs."
        )
    notes = ("one file is one subject; use --subject REGEX if a subject has several",)
    return Manifest(path, "nifti-pairs", make_table(rows), _classes(path), notes, tuple(set_aside))


def _classes(path: Path) -> tuple[str, ...]:
    """Names of the labels from dataset.json, where there is one (MSD or nnU-Net form)."""
    try:
        labels = json.loads((path / "dataset.json").read_text())["labels"]
        pairs = [
            (int(k), str(v)) if str(k).isdigit() else (int(v), str(k)) for k, v in labels.items()
        ]
    except (OSError, KeyError, ValueError, AttributeError, TypeError):
        return ()
    return tuple(name for _, name in sorted(pairs))


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(f for f in folder.iterdir() if f.name.endswith(ENDINGS) and f.name[0] != ".")


def _stem(file: Path) -> str:
    return file.name.split(".nii")[0]
