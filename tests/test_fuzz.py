"""Damaged files are read or refused with a reason, quickly, in little memory, and cost no other."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fuzzing
from tassl.data.layouts import index
from tassl.data.store import build_store


def read_all(files: list[Path]) -> list[fuzzing.Outcome]:
    with fuzzing.Patient() as patient:
        return [patient.read(file) for file in files]


def check(outcomes: list[fuzzing.Outcome]) -> Counter[str]:
    unsound = [outcome for outcome in outcomes if not outcome.sound]
    assert not unsound, "\n".join(map(str, unsound))
    return Counter(outcome.end for outcome in outcomes)


def test_seeds_are_sound(tmp_path: Path):
    outcomes = read_all(fuzzing.make_seeds(tmp_path))
    check(outcomes)
    odd = [o for o in outcomes if o.end == "refused" and not o.file.endswith(".dcm")]
    assert not odd  # those of pydicom are odd on purpose


def test_mutants(tmp_path: Path):
    ends = check(read_all(fuzzing.make_mutants(tmp_path, 150, seed=1)))
    assert min(ends["read"], ends["refused"]) > 20


@pytest.mark.slow
def test_many_mutants(tmp_path: Path):
    ends = check(read_all(fuzzing.make_mutants(tmp_path, 2000, seed=2)))
    assert min(ends["read"], ends["refused"]) > 300


def test_bombs(tmp_path: Path):
    outcomes = read_all(fuzzing.make_bombs(tmp_path))
    assert set(check(outcomes)) == {"refused"}, [o for o in outcomes if o.end == "read"]


@pytest.mark.slow
def test_true_npz_bomb(tmp_path: Path):
    (outcome,) = read_all([fuzzing.make_true_npz_bomb(tmp_path / "a.npz")])
    assert outcome.sound
    assert "asks for 2.3 GB of memory" in outcome.said


@pytest.mark.parametrize("broken", ["raise SystemExit", "import os; os.abort()"])
def test_a_death_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str):
    """The harness sees what it is there for, and goes on."""
    child = tmp_path / "child.py"
    child.write_text(f"print('ready', flush=True)\ninput()\n{broken}\n")
    monkeypatch.setattr(fuzzing, "__file__", str(child))
    outcomes = read_all([tmp_path / "a.png"] * 2)
    assert [outcome.end for outcome in outcomes] == ["died"] * 2
    assert not any(outcome.sound for outcome in outcomes)


def test_mutants_cost_no_good_picture(tmp_path: Path):
    good = []
    for k in range(60):
        file = tmp_path / "data" / "ab"[k % 2] / f"good-{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(k).integers(0, 255, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
        good.append(f"{file.parent.name}/{file.stem}")
    pictures = (".png", ".jpg", ".bmp", "L.tif", "lzw.tif")
    for mutant in fuzzing.make_mutants(tmp_path, 20, seed=3, endings=pictures):
        mutant.rename(tmp_path / "data" / "a" / f"bad-{mutant.name}")
    manifest = index(tmp_path / "data")
    store = build_store(manifest, lambda pixels: pixels, tmp_path / "store")
    assert set(good) <= set(store.table.id)
    assert len(store.table) + len(store.set_aside) == 80
    assert len(store.set_aside) > 3
