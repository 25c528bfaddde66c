"""Pictures or volumes alone, however nested: images without labels, or whose labels a table tells.

Where all lie below `train/`, `val/`, `test/`, these are their splits.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tassl.data.layouts.class_folders import ENDINGS
from tassl.data.layouts.matching import strip_ending
from tassl.data.layouts.subjects import note_subjects
from tassl.data.manifest import SPLITS, Manifest, make_table
from tassl.data.progress import Track

WANTED = "pictures or volumes alone, however nested (their labels in a table, as --csv)"


def recognises(path: Path) -> bool:
    """A folder with a picture or volume anywhere below is ours."""
    return path.is_dir() and any(True for _ in _walk(path))


def read(path: Path, *, track: Track = iter) -> Manifest:
    """Read the manifest of images that lie alone."""
    files = sorted(_walk(path))
    tops = {file.split("/")[0] for file in files}
    rows: list[dict[str, object]] = [
        {
            "id": strip_ending(file),
            "file": file,
            "subject": strip_ending(file),
            "split": file.split("/")[0] if tops <= {*SPLITS} else "",
        }
        for file in files
    ]
    return Manifest(path, "pictures", make_table(rows), notes=(note_subjects(files),))


def _walk(path: Path) -> Iterator[str]:
    """Images below a folder, relative to it."""
    for folder, below, names in os.walk(path):
        below[:] = (name for name in below if name[0] != ".")
        place = Path(folder).relative_to(path)
        shown = (name for name in names if name[0] != "." and name.lower().endswith(ENDINGS))
        yield from ((place / name).as_posix() for name in shown)
