"""Volumes with a label map each: nnU-Net, Medical Segmentation Decathlon and their like.

Images lie in `imagesTr` (or `images`), label maps of the same name in `labelsTr` (or `labels`);
`imagesTs` are unlabelled. Or both lie in one folder, as `x_image.nrrd` and `x_label.nrrd`.
nnU-Net's files `x_0000`, `x_0001` are the channels of one image. One image is one subject.
`dataset.json` names channels and classes, or regions that join several classes.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tassl.data.layouts.subjects import note_subjects
from tassl.data.manifest import Manifest, SetAside, make_table
from tassl.data.progress import Track
from tassl.data.readers import READERS, read_shape
from tassl.errors import InputError, UnreadableFile

FOLDERS = (("imagesTr", "labelsTr"), ("images", "labels"))
UNLABELLED = "imagesTs"
ENDINGS = (*READERS["nifti"], *READERS["itk"])
LABEL = re.compile(r"[-_.](label|seg|segmentation|mask|gt)s?$", re.I)
IMAGE = re.compile(r"[-_](image|img|t1|t2|ct|scan)$", re.I)
CHANNEL = re.compile(r"_(\d{4})$")
WANTED = "volumes in images/ and labels/ (or imagesTr/ and labelsTr/), or side by side"


def recognises(path: Path) -> bool:
    """A folder with volumes, or with a folder of images that are volumes, is ours."""
    if not path.is_dir():
        return False
    return any(_files(path / images) for images, _ in FOLDERS) or bool(_files(path))


def read(path: Path, *, track: Track = iter) -> Manifest:
    """Read the manifest of a folder of volumes.

    Raises:
        InputError: A label map has another shape than its image, or an image lacks a channel.
    """
    images, masks, notes = _gather(path)
    rows, set_aside, mismatched = [], [], []
    firsts = track([files[0] for files in images.values()])
    for (name, files), _ in zip(images.items(), firsts, strict=True):
        mask = masks.get(name)
        try:
            shape = read_shape(files[0])
            mask_shape = read_shape(mask) if mask else shape
        except UnreadableFile as error:
            set_aside.append(SetAside(str(files[0].relative_to(path)), str(error)))
            continue
        if shape != mask_shape:
            mismatched.append(f"{files[0].name} {shape} with a mask of {mask_shape}")
            continue
        places = tuple(str(file.relative_to(path)) for file in files)
        rows.append(
            {
                "id": name,
                "file": places[0],
                "parts": places if len(places) > 1 else (),
                "subject": name,
                "masks": (str(mask.relative_to(path)),) if mask else (),
            }
        )
    if mismatched:
        raise InputError(
            f"{len(mismatched)} label maps have another shape than their image: "
            f"{'; '.join(mismatched[:3])}. Mend or remove these pairs."
        )
    notes.append(note_subjects([str(row["file"]) for row in rows]))
    if len(channels := _names(path, "channel_names", "modality")) > 1:
        notes.append(f"channels: {', '.join(channels)}")
    return Manifest(
        path,
        "volume-pairs",
        make_table(rows),
        _names(path, "labels"),
        tuple(notes),
        tuple(set_aside),
        regions=_regions(path),
    )


def _gather(path: Path) -> tuple[dict[str, list[Path]], dict[str, Path], list[str]]:
    """Files of each image in the order of their channels, label maps by image, and notes."""
    pair = next((pair for pair in FOLDERS if _files(path / pair[0])), None)
    if pair is None:
        files = _files(path)
        masks = {LABEL.sub("", _stem(f)): f for f in files if LABEL.search(_stem(f))}
        images = [f for f in files if not LABEL.search(_stem(f))]
        return {_plain(_stem(f), masks): [f] for f in images}, masks, []
    labels = {_stem(mask): mask for mask in _files(path / pair[1])}
    files = _files(path / pair[0])
    extra = _files(path / UNLABELLED) if pair[0] == "imagesTr" else []
    notes = [f"{len(extra)} files in {UNLABELLED} have no labels"] if extra else []
    return _join_channels([*files, *extra], labels), labels, notes


def _plain(stem: str, masks: dict[str, Path]) -> str:
    """Name of an image without what tells that it is one, where its label map leaves that out."""
    short = IMAGE.sub("", stem)
    return short if short in masks else stem


def _join_channels(files: list[Path], labels: dict[str, Path]) -> dict[str, list[Path]]:
    """Group files by image; a number of four digits counts as a channel unless labels carry it."""
    images: dict[str, list[Path]] = {}
    for file in files:
        stem = _stem(file)
        name = stem if stem in labels else CHANNEL.sub("", stem)
        images.setdefault(name, []).append(file)
    most = max(map(len, images.values()), default=0)
    if short := [name for name, own in images.items() if len(own) != most]:
        raise InputError(
            f"{short[0]} has {len(images[short[0]])} channel files, others {most}. "
            "Add what is missing, or take the image out."
        )
    return images


def _names(path: Path, *kinds: str) -> tuple[str, ...]:
    """Names by number of the first of these kinds in dataset.json (MSD or nnU-Net form)."""
    try:
        told = _describe(path)
        names = next(told[kind] for kind in kinds if kind in told)
        pairs = [
            (int(k), str(v)) if str(k).isdigit() else (int(v), str(k)) for k, v in names.items()
        ]
    except (StopIteration, ValueError, AttributeError, TypeError):
        return ()
    return tuple(name for _, name in sorted(pairs))


def _regions(path: Path) -> dict[str, tuple[int, ...]]:
    """Regions in dataset.json, where labels name several classes each (nnU-Net's form)."""
    labels = _describe(path).get("labels")
    if not isinstance(labels, dict) or not any(isinstance(own, list) for own in labels.values()):
        return {}
    joined = {name: own if isinstance(own, list) else [own] for name, own in labels.items()}
    try:
        return {name: tuple(map(int, own)) for name, own in joined.items() if own != [0]}
    except (TypeError, ValueError):
        return {}


def _describe(path: Path) -> dict[str, Any]:
    """What dataset.json says, nothing where there is none."""
    try:
        told = json.loads((path / "dataset.json").read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        f for f in folder.iterdir() if f.name.lower().endswith(ENDINGS) and f.name[0] != "."
    )


def _stem(file: Path) -> str:
    return next(file.name[: -len(e)] for e in ENDINGS[::-1] if file.name.lower().endswith(e))
