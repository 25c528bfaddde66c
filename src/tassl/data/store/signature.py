"""What a store was built from and how, in one hash: only a store that fits is opened."""

from __future__ import annotations

import hashlib
import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from tassl.data.manifest import Manifest

VERSION = 5  # raise it when the same files would be prepared or written otherwise


def sign_store(
    manifest: Manifest, steps: str, longest: int | None, *, to_scale: bool = False
) -> str:
    """Hash everything that the content of a store depends on, without opening an image.

    Args:
        manifest: The images; of their files the names, sizes and times count.
        steps: The modality and what its preparation does.
        longest: Most pixels along a side, None for the default.
        to_scale: Whether all images keep one scale.
    """
    facts = [
        VERSION,
        steps,
        longest,
        to_scale,
        manifest.layout,
        manifest.classes,
        manifest.notes,
        manifest.unit,
        manifest.instances,
        manifest.regions,
        [(item.file, item.reason) for item in manifest.set_aside],
        manifest.table.to_dict("list"),
        _trace_files(manifest),
    ]
    return hash_facts(facts)


def hash_facts(facts: Any) -> str:
    """Hash plain values, arrays and tuples by what they hold."""
    return hashlib.sha256(json.dumps(facts, default=_plain).encode()).hexdigest()[:16]


def hash_pixels(pixels: np.ndarray) -> str:
    """Hash shape, type and values of an array."""
    head = f"{pixels.shape}{pixels.dtype}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(pixels).tobytes()).hexdigest()[:16]


def _trace_files(manifest: Manifest) -> list[tuple[str, int, int]]:
    """Name, size and time of each file; one that is gone is set aside when it is read."""
    table = manifest.table
    named = {*table.file, *chain.from_iterable(table.parts)}
    named.update(chain.from_iterable(table.masks[table.array == ""]))
    return [_trace(manifest.root, name) for name in sorted(named - {""})]


def _trace(root: Path, name: str) -> tuple[str, int, int]:
    try:
        stat = (root / name).stat()
    except OSError:
        return name, -1, -1
    return name, stat.st_size, stat.st_mtime_ns


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
