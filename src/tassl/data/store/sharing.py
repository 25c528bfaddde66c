"""Stores that several runs share: hard links to files that nobody writes to again."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from tassl.data.store.opening import open_store
from tassl.errors import InputError


def take(shared: Path, folder: Path) -> bool:
    """Put a shared store in a folder; False where there is none, or it is damaged."""
    if not shared.is_dir():
        return False
    try:
        open_store(shared)
    except InputError:
        shutil.rmtree(shared)
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return _link(shared, folder)


def offer(folder: Path, shared: Path) -> None:
    """Let other runs take this store, unless another was faster to offer one."""
    with suppress(OSError):  # the run has its store, whether or not others may have it
        _link(folder, shared)


def _link(source: Path, target: Path) -> bool:
    """Let all files of a folder stand in another, which appears whole or not at all."""
    draft = target.with_name(f"{target.name}.{os.getpid()}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for file in source.iterdir():
        try:
            os.link(file, draft / file.name)
        except OSError:  # another disk, or one without links
            shutil.copy2(file, draft / file.name)
    try:
        draft.rename(target)
    except OSError:  # it has come to be there
        shutil.rmtree(draft)
    return target.is_dir()
