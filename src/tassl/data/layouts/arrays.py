"""One npz file of arrays: MedMNIST (`train_images`, `train_labels`, ...) or flat (`images`, ...).

Beside images and labels, `subjects`, `sites` and `masks` are understood, with or without the
prefix of a split. Source of the MedMNIST form: Yang et al., Sci Data 2023, arXiv:2110.14795.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from tassl.data.manifest import SPLITS, Manifest, make_table
from tassl.errors import InputError

PARTS = ("images", "labels", "subjects", "sites", "masks")
DAMAGES = (zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError, KeyError, TypeError)
WANTED = "one npz file"


def recognises(path: Path) -> bool:
    """An npz file is ours."""
    return path.is_file() and path.suffix == ".npz"


def read(path: Path) -> Manifest:
    """Read the manifest of an npz file.

    Raises:
        InputError: The file is damaged, holds no images, or its arrays disagree in length.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = set(archive.files)
            prefixes = [f"{split}_" for split in SPLITS if f"{split}_images" in names]
            if not prefixes and "images" in names:
                prefixes = [""]
            groups = [
                {part: archive[prefix + part] for part in PARTS if prefix + part in names}
                for prefix in prefixes
            ]
    except DAMAGES as error:
        raise InputError(
            f"{path} cannot be read as npz ({error or type(error).__name__}): the file may be "
            "truncated. Fetch it again."
        ) from None
    if not groups:
        raise InputError(
            f"{path} holds {sorted(names)}; wanted 'images', or 'train_images' and its like."
        )
    rows = [
        row
        for prefix, parts in zip(prefixes, groups, strict=True)
        for row in _rows(path, prefix, parts)
    ]
    table = make_table(rows)
    values = sorted(set(table.label[table.label >= 0]))
    if not values and table.findings.map(len).any():
        values = list(range(len(table.findings.iloc[0])))
    table["label"] = table.label.map({value: k for k, value in enumerate(values)}).fillna(-1)
    table["label"] = table.label.astype(int)
    notes = []
    if not any("subjects" in parts for parts in groups):
        notes.append(
            "no subject ids: each image is taken for its own subject, so several images of one "
            "patient may stand on both sides of a split"
        )
    return Manifest(path.parent, "arrays", table, tuple(map(str, values)), tuple(notes))


def _rows(path: Path, prefix: str, parts: dict[str, np.ndarray]) -> list[dict[str, object]]:
    count = len(parts["images"])
    for name, values in parts.items():
        if len(values) != count:
            raise InputError(
                f"{path}: {prefix}{name} has {len(values)} entries, {prefix}images {count}. "
                "Wanted one per image."
            )
    findings = _findings(parts.get("labels"))
    if "labels" in parts and findings is None:
        labels = _labels(path, parts["labels"])
    else:
        labels = np.full(count, -1)
    split = prefix.rstrip("_")
    ids = [f"{split or 'image'}-{k:05d}" for k in range(count)]
    subjects = parts.get("subjects", np.array(ids))
    sites = parts.get("sites", np.full(count, ""))
    return [
        {
            "id": ids[k],
            "file": path.name,
            "array": f"{prefix}images",
            "item": k,
            "subject": str(subjects[k]),
            "split": split,
            "label": int(labels[k]),
            "findings": tuple(findings[k].tolist()) if findings is not None else (),
            "masks": (f"{prefix}masks",) if "masks" in parts else (),
            "site": str(sites[k]),
        }
        for k in range(count)
    ]


def _findings(labels: np.ndarray | None) -> np.ndarray | None:
    """Labels (image, class) of 0 and 1, where an image may show several; None for other labels."""
    if labels is None or labels.ndim != 2 or labels.shape[1] < 2:
        return None
    return labels.astype(int) if np.isin(labels, (0, 1)).all() else None


def _labels(path: Path, labels: np.ndarray) -> np.ndarray:
    if np.prod(labels.shape[1:]) != 1:
        raise InputError(
            f"{path}: labels have shape {labels.shape}; wanted one class per image, or 0 and 1 for "
            "each of several findings."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{path}: labels are {labels.dtype}; wanted whole class numbers from 0.")
    return labels.reshape(-1)
