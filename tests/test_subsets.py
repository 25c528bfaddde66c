"""Label subsets pass from one study to another, and only where they fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tassl.errors import InputError, OptionError
from tassl.evaluation.splits import draw_subsets
from tassl.study.choices import make_study
from tassl.study.subsets import read_subsets, write_subsets

USABLE = np.arange(4, 34)


@pytest.fixture
def table() -> pd.DataFrame:
    names = [f"s{k:02d}" for k in range(40)]
    return pd.DataFrame(
        {"id": [f"{name}.png" for name in names], "subject": names, "label": np.arange(40) % 2}
    )


@pytest.fixture
def file(table: pd.DataFrame, tmp_path: Path) -> Path:
    subsets = draw_subsets(table, USABLE, (2, 5), 3, 0, stratified=True)
    write_subsets(tmp_path / "subsets.json", table, subsets)
    return tmp_path / "subsets.json"


def test_what_is_written_is_read(table: pd.DataFrame, file: Path):
    drawn = draw_subsets(table, USABLE, (2, 5), 3, 0, stratified=True)
    read = read_subsets(file, table, USABLE)
    assert [(s.budget, s.draw, s.rows.tolist()) for s in read] == [
        (s.budget, s.draw, s.rows.tolist()) for s in drawn
    ]


def test_rows_follow_the_ids(table: pd.DataFrame, file: Path):
    turned = table.iloc[::-1].reset_index(drop=True)
    usable = np.flatnonzero(turned.id.isin(table.id.iloc[USABLE]))
    for here, there in zip(
        read_subsets(file, turned, usable), read_subsets(file, table, USABLE), strict=True
    ):
        assert set(turned.id.iloc[here.rows]) == set(table.id.iloc[there.rows])


def test_images_outside_the_training_side_are_refused(table: pd.DataFrame, file: Path):
    with pytest.raises(InputError, match=r"names \d+ images that are no labelled training images"):
        read_subsets(file, table, USABLE[5:])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "holds no label subsets"),
        ("[]", "holds an empty label subset"),
        ('{"5": ["a"]}', "holds no label subsets"),
        ('[{"budget": "5", "draw": 0, "images": 7}]', "holds no label subsets"),
        ('[{"budget": "5", "draw": 0, "images": []}]', "holds an empty label subset"),
        ('[{"budget": "5", "draw": 0}]', "holds no label subsets"),
    ],
)
def test_other_files_are_refused(table: pd.DataFrame, tmp_path: Path, text: str, problem: str):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=problem):
        read_subsets(tmp_path / "x.json", table, USABLE)


def test_missing_file_is_refused(table: pd.DataFrame, tmp_path: Path):
    with pytest.raises(InputError, match="holds no label subsets"):
        read_subsets(tmp_path / "none.json", table, USABLE)


def test_every_budget_has_every_draw_and_budgets_rise(table: pd.DataFrame, file: Path):
    entries = json.loads(file.read_text())
    file.write_text(json.dumps(entries[:-1]))
    with pytest.raises(InputError, match="does not hold draws 0 to 2 of each of the budgets 2, 5"):
        read_subsets(file, table, USABLE)
    file.write_text(json.dumps(entries[3:] + entries[:3]))
    with pytest.raises(InputError, match="budgets that do not rise: 5, all, 2"):
        read_subsets(file, table, USABLE)


def test_subsets_bring_their_budgets(file: Path):
    kind = {"modality": "ultrasound", "task": "classification", "subsets": str(file)}
    make_study("x", **kind).check()
    with pytest.raises(OptionError, match="Leave out --budgets and --draws"):
        make_study("x", budgets=(5,), draws=2, **kind).check()
