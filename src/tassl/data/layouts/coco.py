"""COCO: a JSON file of images, categories and annotations, beside the pictures."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from tassl.data.layouts.subjects import note_subjects
from tassl.data.manifest import SPLITS, Manifest, SetAside, make_table
from tassl.data.progress import Track
from tassl.errors import InputError

KEYS = {"images", "annotations", "categories"}
HEAD = 4096
WANTED = "a JSON file with images, annotations and categories"


def recognises(path: Path) -> bool:
    """A COCO file, or a folder that holds some (in `annotations/` too), is ours."""
    return bool(_files(path))


def read(path: Path, *, track: Track = iter) -> Manifest:
    """Read the manifest of one COCO file, or of one per split ("train" and the like in the name).

    Raises:
        InputError: A file is damaged, or two of them name their categories differently.
    """
    root = path if path.is_dir() else path.parent
    rows: list[dict[str, object]] = []
    set_aside: list[SetAside] = []
    names: list[str] = []
    dropped = outlined = 0
    for file in _files(path):
        facts = _load(file)
        own = {kind["id"]: str(kind["name"]) for kind in facts["categories"]}
        if names and sorted(own.values()) != sorted(names):
            raise InputError(f"{file} has other categories than the files before. Index it alone.")
        names = names or list(own.values())
        split = next((s for s in SPLITS if s in file.stem.lower()), "")
        boxes: dict[Any, list[float]] = defaultdict(list)
        for note in facts["annotations"]:
            outlined += bool(note.get("segmentation"))
            x, y, w, h = map(float, note["bbox"])
            if w <= 0 or h <= 0:
                dropped += 1
                continue
            boxes[note["image_id"]] += [names.index(own[note["category_id"]]), y, x, y + h, x + w]
        for image in facts["images"]:
            place = _find(root, file, str(image["file_name"]))
            if place is None:
                set_aside.append(SetAside(str(image["file_name"]), "is named but not there"))
                continue
            rows.append(
                {
                    "id": str(Path(split) / Path(place).with_suffix("")),
                    "file": place,
                    "subject": str(Path(place).with_suffix("")),
                    "split": split,
                    "boxes": tuple(boxes[image["id"]]),
                }
            )
    notes = [note_subjects([str(row["file"]) for row in rows])]
    if outlined:
        notes.append(
            f"{outlined} outlines are not read, their boxes alone: for segmentation give masks"
        )
    if dropped:
        notes.append(f"{dropped} boxes without an area were dropped")
    return Manifest(root, "coco", make_table(rows), tuple(names), tuple(notes), tuple(set_aside))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix == ".json" and _is_coco(path) else []
    if not path.is_dir():
        return []
    return sorted(f for g in ("*.json", "annotations/*.json") for f in path.glob(g) if _is_coco(f))


def _is_coco(file: Path) -> bool:
    with file.open("rb") as opened:
        head = opened.read(HEAD)
    if not any(f'"{key}"'.encode() in head for key in KEYS | {"info", "licenses"}):
        return False
    try:
        return set(json.loads(file.read_text())) >= KEYS
    except (ValueError, TypeError):
        return False


def _load(file: Path) -> dict[str, Any]:
    try:
        facts = json.loads(file.read_text())
        known = {kind["id"] for kind in facts["categories"] if kind["name"]}
        for note in facts["annotations"]:
            if len([float(value) for value in note["bbox"]]) != 4:
                raise ValueError(f"a box of {len(note['bbox'])} numbers")
            if note["category_id"] not in known:
                raise ValueError(f"no category {note['category_id']}")
        if all({"id", "file_name"} <= set(image) for image in facts["images"]):
            return facts
        raise ValueError("an image without id or file_name")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is damaged ({type(error).__name__}: {error}). Mend it.") from None


def _find(root: Path, file: Path, name: str) -> str | None:
    """Where a named picture lies, relative to the root."""
    folders = [root, file.parent, file.parent.parent, root / "images", root / file.stem]
    for folder in folders:
        if (place := folder / name).is_file() and place.resolve().is_relative_to(root.resolve()):
            return str(place.resolve().relative_to(root.resolve()))
    return None
