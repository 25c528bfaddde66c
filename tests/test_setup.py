"""The lock, the Makefile and the tracked files keep their promises."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
TARGETS = ("help", "setup", "demo", "test", "check", "bench", "lock")
REFUSED = re.compile(r"(?:nvidia|cuda)-.*|triton|torchvision|lightning")
MAX_BYTES = 500_000
# A folder of somebody's machine: it exists nowhere else.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:home|root|work|tmp|mnt|Users)/")

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture(scope="module")
def lock() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line.partition("==") for line in lines if not line.startswith("#")]
    assert all(version for _, _, version in pins), "a line of the lock is no exact pin"
    return {canonicalize_name(name): version for name, _, version in pins}


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    names = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    files = [ROOT / name for name in names if (ROOT / name).is_file()]
    assert files, "git tracks no file"
    return files


def test_lock_pins_what_pyproject_asks_for(lock: dict[str, str]):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    for need in map(Requirement, asked):
        assert need.specifier.contains(lock[canonicalize_name(need.name)]), str(need)


def test_lock_is_closed(lock: dict[str, str]):
    missing = {need for name in lock for need in list_needs(name)} - set(lock)
    # A CUDA build of torch asks for more, and the lock is that of the CPU build.
    assert [name for name in missing if not REFUSED.fullmatch(name)] == []


def list_needs(name: str) -> set[str]:
    """Return what an installed distribution needs here, extras left out."""
    try:
        needs = map(Requirement, requires(name) or [])
    except PackageNotFoundError:
        return set()
    here = {"extra": ""}
    return {canonicalize_name(n.name) for n in needs if not n.marker or n.marker.evaluate(here)}


def test_lock_is_small(lock: dict[str, str]):
    assert lock["torch"] == "2.13.0", "another torch brings a CUDA build of several gigabytes"
    assert [name for name in lock if REFUSED.fullmatch(name)] == []


def make(*arguments: str, folder: Path = ROOT) -> str:
    """Say what make would do in the folder."""
    outer = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    environment = {key: value for key, value in os.environ.items() if key not in outer}
    return subprocess.check_output(
        ["make", "-n", *arguments], cwd=folder, text=True, env={**environment, "LC_ALL": "C"}
    )


@needs_make
@pytest.mark.parametrize("target", TARGETS)
def test_target_exists(target: str):
    assert make(target)


@needs_make
def test_demo_runs_the_demo():
    assert make("demo").splitlines()[-1].endswith("tassl demo")


@needs_make
def test_setup_runs_once(tmp_path: Path):
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    stamp = tmp_path / ".venv" / ".ready"
    assert "pip install" in make("setup", folder=tmp_path)

    stamp.parent.mkdir()
    stamp.touch()
    assert "Nothing to be done" in make("setup", folder=tmp_path)

    newer = stamp.stat().st_mtime + 10
    os.utime(tmp_path / "requirements.lock", (newer, newer))
    assert "pip install" in make("setup", folder=tmp_path)


def test_tracked_files_are_small(tracked: list[Path]):
    assert [str(file) for file in tracked if file.stat().st_size > MAX_BYTES] == []


def test_tracked_files_name_no_machine_path(tracked: list[Path]):
    found = []
    for file in tracked:
        text = file.read_bytes().decode("utf-8", errors="ignore")
        for number, line in enumerate(text.splitlines(), start=1):
            if MACHINE_PATH.search(line):
                found.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("folder", ["home", "root", "tmp", "Users"])
@pytest.mark.parametrize("before", ["", "see '", "file://", "x="])
def test_machine_path_is_caught(folder: str, before: str):
    assert MACHINE_PATH.search(f"{before}/{folder}/ada/x.png")


@pytest.mark.parametrize("path", ["https://x.org/home/a", "#!/usr/bin/env bash", "../work/a"])
def test_other_path_passes(path: str):
    assert not MACHINE_PATH.search(path)
