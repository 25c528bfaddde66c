"""Seconds of each stage, and the machine that they were taken on."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tassl.data.files import write_json

PACKAGES = ("tassl", "torch", "monai", "pytorch-lightning", "numpy", "scikit-learn", "scipy")


class Clock:
    """Seconds that each stage took, kept in environment.json across resumes."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "environment.json"
        known = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.facts = describe_machine() | {"seconds": known.get("seconds", {})}

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        """Add the time spent inside to the stage."""
        start = time.monotonic()
        yield
        seconds = self.facts["seconds"]
        seconds[stage] = round(seconds.get(stage, 0) + time.monotonic() - start, 1)
        write_json(self.file, self.facts)


def describe_machine() -> dict[str, Any]:
    """Versions, machine and command, for environment.json."""
    return {
        "versions": {"python": platform.python_version()} | {p: _version(p) for p in PACKAGES},
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
        },
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
