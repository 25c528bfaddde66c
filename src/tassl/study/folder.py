"""The run folder: claimed once, written atomically, resumed when a run was cut short."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tassl.data.files import write_text
from tassl.errors import RunFolderError

STUDY, VERDICT = "study.yaml", "verdict.json"


def claim_folder(folder: Path, facts: dict[str, Any]) -> bool:
    """Make a run folder, or take up one that the same study left unfinished.

    Args:
        folder: Where the run goes.
        facts: The configuration.

    Returns:
        Whether an unfinished run is taken up.

    Raises:
        RunFolderError: The folder holds something else or a finished run, or cannot be written.
    """
    file = folder / STUDY
    try:
        if file.exists():
            _check_same(folder, facts)
            return True
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunFolderError(
                f"{folder} exists and holds no run of tassl. Choose an empty --out."
            )
        folder.mkdir(parents=True, exist_ok=True)
        write_text(file, yaml.safe_dump(facts, sort_keys=False))
    except OSError as error:
        raise RunFolderError(
            f"{folder} cannot be written ({error.strerror}). Choose an --out that can."
        ) from None
    return False


def _check_same(folder: Path, facts: dict[str, Any]) -> None:
    known = yaml.safe_load((folder / STUDY).read_text()) or {}
    changed = sorted(key for key in facts if known.get(key) != facts[key])
    if changed:
        raise RunFolderError(
            f"{folder} holds a run with another {', '.join(changed)}. Choose another --out."
        )
    if (folder / VERDICT).exists():
        raise RunFolderError(
            f"{folder} holds this very run, finished. Read {folder / 'report.html'}, "
            "or choose another --out."
        )
