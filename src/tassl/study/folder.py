"""The run folder: claimed once, written atomically, resumed when a run was cut short."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from tassl.data.files import write_text
from tassl.errors import RunFolderError

STUDY, VERDICT, SPLIT = "study.yaml", "verdict.json", "split.npz"
PREPARED = (STUDY, "environment.json", "audit.json", "audit.html", "advice.json", SPLIT, "store")


def claim_folder(folder: Path, facts: dict[str, Any], free: Collection[str] = ()) -> bool:
    """Make a run folder, or take up one that the same study left unfinished.

    A folder that holds prepared data and nothing else, as bad data or a wrong task leave it, is
    given to the new study.

    Args:
        folder: Where the run goes.
        facts: The configuration.
        free: Choices in which it may differ from the one that is there, and then replaces it.

    Returns:
        Whether an unfinished run is taken up.

    Raises:
        RunFolderError: The folder holds something else or a finished run, or cannot be written.
    """
    file = folder / STUDY
    try:
        if file.exists():
            changed = _changes(file, facts)
            if not changed or not holds_only_data(folder):
                _check_unfinished(folder, [name for name in changed if name not in free])
                if changed:
                    _write_study(file, facts)
                return True
            _clear(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunFolderError(
                f"{folder} exists and holds no run of tassl. Choose an empty --out."
            )
        folder.mkdir(parents=True, exist_ok=True)
        _write_study(file, facts)
    except OSError as error:
        raise RunFolderError(
            f"{folder} cannot be written ({error.strerror}). Choose an --out that can."
        ) from None
    return False


def _write_study(file: Path, facts: dict[str, Any]) -> None:
    write_text(file, yaml.safe_dump(facts, sort_keys=False))


def _changes(file: Path, facts: dict[str, Any]) -> list[str]:
    """Choices in which the study of the folder is another."""
    try:
        known = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError):
        known = None
    if not isinstance(known, dict) or not {"data", "modality", "task"} <= known.keys():
        raise RunFolderError(f"{file} is no study of tassl. Choose another --out.")
    return sorted(key for key in facts if known.get(key) != facts[key])


def holds_only_data(folder: Path) -> bool:
    """Whether nothing was trained in a run folder yet; a store under way is data."""
    return all(place.name in PREPARED or place.match("store.*.part") for place in folder.iterdir())


def _clear(folder: Path) -> None:
    for place in folder.iterdir():
        shutil.rmtree(place) if place.is_dir() else place.unlink()


def _check_unfinished(folder: Path, changed: list[str]) -> None:
    if changed:
        raise RunFolderError(
            f"{folder} holds a run with another {', '.join(changed)}. Choose another --out."
        )
    if (folder / VERDICT).exists():
        raise RunFolderError(
            f"{folder} holds this very run, finished. Read {folder / 'report.html'}, "
            "or choose another --out."
        )
