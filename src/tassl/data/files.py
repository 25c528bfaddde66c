"""Files that appear whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tassl.errors import RunFolderError

if TYPE_CHECKING:
    import pandas as pd

FULL = ("No space left", "quota exceeded", "PytorchStreamWriter failed writing")


def write_atomically(file: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` make a draft, then move it into place; its folder is made if need be.

    Raises:
        RunFolderError: The disk is full.
    """
    draft = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write(draft)
        os.replace(draft, file)
    except Exception as error:  # each library has its own for a full disk
        if draft.is_file():
            draft.unlink()
        if any(words in str(error) for words in FULL):
            raise RunFolderError(
                f"{file} cannot be written: the disk is full. Free space, then give the same "
                "command again: it goes on."
            ) from None
        raise


def write_arrays(file: Path, arrays: dict[str, Any]) -> None:
    """Write arrays as compressed npz, whole or not at all."""

    def save(draft: Path) -> None:
        with draft.open("wb") as target:  # numpy would add .npz to a name
            np.savez_compressed(target, **arrays)

    write_atomically(file, save)


def write_table(file: Path, table: pd.DataFrame) -> None:
    """Write a table as parquet without its index, whole or not at all."""
    write_atomically(file, lambda draft: table.to_parquet(draft, index=False))


def write_text(file: Path, text: str) -> None:
    """Write text, whole or not at all."""
    write_atomically(file, lambda draft: draft.write_text(text))


def write_json(file: Path, facts: Any) -> None:
    """Write plain values as JSON, whole or not at all."""
    write_text(file, json.dumps(facts, indent=1, default=str) + "\n")
