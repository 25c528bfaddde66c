"""Imports point down the layers, and the light parts of the package stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "tassl"

# The layout of docs/design.md. A module imports from its own package and from lower ranks.
# Rank 0 is the foundation: its modules may also import one another.
RANKS = {
    "amounts": 0,
    "errors": 0,
    "registry": 0,
    "terminal": 0,
    "data": 1,
    "modality": 2,
    "transforms": 3,
    "networks": 3,
    "methods": 4,
    "heads": 4,
    "checkpoint": 4,
    "health": 4,
    "optimisation": 4,
    "pretraining": 5,
    "adaptation": 5,
    "advisor": 5,
    "evaluation": 5,
    "report": 6,
    "trials": 6,
    "scouting": 7,
    "study": 8,
    "steps": 9,
    "demo": 10,
    "cli_evidence": 10,
    "suite": 10,
    "cli_options": 11,
    "cli_suite": 11,
    "cli": 12,
    "__main__": 13,
}
EXEMPT = {"__init__", "_version"}  # the root opens the public names lazily


def list_imports(tree: ast.Module, package: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the dotted path of every import, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.split(".")
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            for alias in node.names:
                yield node.lineno, [*base, alias.name]


def judge(importer: str, path: list[str]) -> str | None:
    """Return what is wrong with this import, or None."""
    if path[0] != "tassl":
        return None
    imported = path[1] if len(path) > 1 else "tassl"
    if imported in (importer, "_version", "__version__"):
        return None
    if imported not in RANKS:
        return f"imports {imported}, which has no rank: import from the module that defines it"
    if RANKS[imported] < RANKS[importer] or RANKS[importer] == 0 == RANKS[imported]:
        return None
    return f"{importer} (rank {RANKS[importer]}) imports {imported} (rank {RANKS[imported]})"


def find_violations(root: Path) -> list[str]:
    """Return one line for every import below root that does not point down."""
    found = []
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        if parts[0] in EXEMPT:
            continue
        if parts[0] not in RANKS:
            found.append(
                f"{parts[0]} has no rank: give it one in docs/design.md and in RANKS of this test"
            )
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for line, path in list_imports(tree, ["tassl", *parts[:-1]]):
            if problem := judge(parts[0], path):
                found.append(f"{'/'.join(parts)}.py:{line}: {problem}")
    return list(dict.fromkeys(found))


def test_imports_point_down():
    assert list(PACKAGE.rglob("*.py")), f"no module found in {PACKAGE}"
    found = find_violations(PACKAGE)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("file", "code", "problem"),
    [
        ("data/store.py", "from tassl.methods import METHODS", "data (rank 1) imports methods"),
        ("data/store.py", "import tassl.cli as c", "data (rank 1) imports cli"),
        ("data/store.py", "def f():\n    from tassl import study", "store.py:2: data (rank 1)"),
        ("data/deep/store.py", "from ...heads import HEADS", "data (rank 1) imports heads"),
        ("data/__init__.py", "from .. import modality", "data (rank 1) imports modality"),
        ("heads/knn.py", "from tassl.methods import METHODS", "heads (rank 4) imports methods"),
        ("errors.py", "from tassl.data import store", "errors (rank 0) imports data"),
        ("cli.py", "from tassl import pretrain", "imports pretrain, which has no rank"),
        ("cli.py", "import tassl", "imports tassl, which has no rank"),
        ("helpers.py", "", "helpers has no rank: give it one in docs/design.md"),
    ],
)
def test_violation_is_caught(tmp_path: Path, file: str, code: str, problem: str):
    plant(tmp_path, file, code)
    (found,) = find_violations(tmp_path)
    assert problem in found


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("__init__.py", "from tassl.cli import main"),
        ("cli.py", "from tassl import __version__, study\nfrom .errors import TasslError"),
        ("heads/knn.py", "import numpy\nfrom . import base\nfrom tassl.heads.base import Head"),
        ("registry.py", "from tassl.errors import UnknownName"),
    ],
)
def test_sound_import_passes(tmp_path: Path, file: str, code: str):
    plant(tmp_path, file, code)
    assert find_violations(tmp_path) == []


def plant(root: Path, file: str, code: str) -> None:
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(code, encoding="utf-8")


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import tassl", {"torch", "pandas", "numpy"}),
        ("from tassl.methods import METHODS as names; assert names", {"torch"}),
        ("from tassl.heads import HEADS as names; assert names", {"torch"}),
        ("from tassl.networks import NETWORKS as names; assert names", {"torch"}),
        ("from tassl.modality import MODALITIES as names; assert names", {"torch"}),
        ("from tassl.cli import main; sys.argv = ['tassl', '--help']; main()", {"torch"}),
    ],
    ids=["root", "methods", "heads", "networks", "modality", "help"],
)
def test_light_parts_load_nothing_heavy(code: str, heavy: set[str]):
    report = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))"
    run = subprocess.run(
        [sys.executable, "-c", f"{report}\n{code}"], capture_output=True, text=True, check=False
    )
    *errors, modules = run.stderr.splitlines()
    assert run.returncode == 0, "\n".join(errors)
    loaded = set(modules.split())
    assert "tassl" in loaded
    assert loaded & heavy == set()
