"""What every test shares: one thread per worker, and the real image sets where they exist."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tassl.data.tensors import Tensors

if "PYTEST_XDIST_WORKER" in os.environ:
    # Read when torch is first imported, so it must stand here and not in a fixture.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of the real image sets: TASSL_DATA, or shared/data beside the repository."""
    return Path(os.environ.get("TASSL_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def real(data_root: Path) -> Callable[[str], Path]:
    """Return the folder of a real image set by name; skip the test where it is absent."""

    def find(name: str) -> Path:
        folder = data_root / name
        if not folder.is_dir():
            pytest.skip(f"image set {name!r} is absent: point TASSL_DATA at a folder that holds it")
        return folder

    return find


@pytest.fixture(scope="session")
def tensors(tmp_path_factory: pytest.TempPathFactory) -> Tensors:
    """A tiny set of images, the same for all tests: nothing may be changed in it."""
    from small_store import make_tensors

    return make_tensors(tmp_path_factory.mktemp("images"))


@pytest.fixture
def saving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a pretraining save a point to resume from after every epoch."""
    monkeypatch.setattr("tassl.pretraining.history.SECONDS_BETWEEN_SAVES", -1.0)
