"""The run folder: claimed once, written atomically, resumed when a run was cut short."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from filelock import AcquireReturnProxy, FileLock, Timeout

from tassl.data.files import write_text
from tassl.errors import RunFolderError

STUDY, VERDICT, SPLIT, LOCK = "study.yaml", "verdict.json", "split.npz", ".lock"
PREPARED = (
    STUDY,
    LOCK,
    "environment.json",
    "audit.json",
    "audit.html",
    "advice.json",
    SPLIT,
    "store",
)


@contextmanager
def claim_folder(folder: Path, facts: dict[str, Any], free: Collection[str] = ()) -> Iterator[bool]:
    """Make a run folder, or take up one that the same study left; keep others out meanwhile.

    A folder that holds prepared data and nothing else, as bad data or a wrong task leave it, is
    given to the new study.

    Args:
        folder: Where the run goes.
        facts: The configuration.
        free: Choices in which it may differ from the one that is there, and then replaces it.

    Yields:
        Whether an unfinished run is taken up.

    Raises:
        RunFolderError: The folder holds something else or a finished run, is in use, or cannot be
            written.
    """
    with _lock(folder):
        yield _take(folder, facts, free)


def _lock(folder: Path) -> AcquireReturnProxy:
    """Make the folder where it is not, and hold it until the context ends."""
    try:
        if (folder / STUDY).exists():
            _load(folder / STUDY)
        elif folder.exists() and not _is_empty(folder):
            raise RunFolderError(
                f"{folder} exists and holds no run of tassl. Choose an empty --out."
            )
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / LOCK, blocking=False).acquire()
    except Timeout:
        raise RunFolderError(
            f"{folder} is in use by another tassl. Wait until it ends, or choose another --out."
        ) from None
    except OSError as error:
        raise _unwritable(folder, error) from None


def _take(folder: Path, facts: dict[str, Any], free: Collection[str]) -> bool:
    """Write the study down where there is none; whether an unfinished run is taken up."""
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
        _write_study(file, facts)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return False


def _unwritable(folder: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"{folder} cannot be written ({error.strerror}). Choose an --out that can."
    )


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and {place.name for place in folder.iterdir()} <= {LOCK}


def _write_study(file: Path, facts: dict[str, Any]) -> None:
    write_text(file, yaml.safe_dump(facts, sort_keys=False))


def _load(file: Path) -> dict[str, Any]:
    """The study of a folder, refused where it is none of tassl's."""
    try:
        known = yaml.safe_load(file.read_text())
    except (yaml.YAMLError, UnicodeDecodeError):
        known = None
    if not isinstance(known, dict) or not {"data", "modality", "task"} <= known.keys():
        raise RunFolderError(f"{file} is no study of tassl. Choose another --out.")
    return known


def _changes(file: Path, facts: dict[str, Any]) -> list[str]:
    """Choices in which the study of the folder is another."""
    known = _load(file)
    return sorted(key for key in facts if known.get(key) != facts[key])


def holds_only_data(folder: Path) -> bool:
    """Whether nothing was trained in a run folder yet; a store under way is data."""
    return all(place.name in PREPARED or place.match("store.*.part") for place in folder.iterdir())


def _clear(folder: Path) -> None:
    for place in (place for place in folder.iterdir() if place.name != LOCK):
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
