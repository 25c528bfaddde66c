"""Two finished runs are compared on the same test subjects, or not at all."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import roc_auc_score
from tests.report_fixture import Plot, invent_run

from tassl.cli import main
from tassl.errors import InputError, OptionError, RunFolderError, UnknownName
from tassl.evaluation.pairing import compare_runs, read_tested, subtract
from tassl.evaluation.statistics import Scores, average


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Runs on the same images; pretraining gains much in the first and nothing in the second."""
    root = tmp_path_factory.mktemp("pair")
    first = invent_run(root / "first", Plot("classification", gain=2.5, subjects=300))
    return first, invent_run(root / "second", Plot("classification", gain=0.0, subjects=300))


@pytest.fixture
def copy(pair: tuple[Path, Path], tmp_path: Path) -> Path:
    """The second run, to be spoilt."""
    return Path(shutil.copytree(pair[1], tmp_path / "copy"))


def area(run: Path, arm: str, budget: str) -> float:
    """AUROC of an arm, the mean over draws, straight from the files."""
    tables = [pd.read_parquet(file) for file in (run / "predictions").glob("*.parquet")]
    own = [t for t in tables if (t.arm[0], t.budget[0]) == (arm, budget)]
    return float(np.mean([roc_auc_score(t.label, t.score_1) for t in own]))


def test_differences_are_those_of_the_scores(pair: tuple[Path, Path]):
    rows = compare_runs(*map(read_tested, pair))
    assert set(rows.budget) == {"5", "25", "all"}
    for row in rows.itertuples():
        wanted = area(pair[0], row.first_arm, row.budget) - area(
            pair[1], row.second_arm, row.budget
        )
        assert row.difference == pytest.approx(wanted)
        assert row.difference_low <= row.difference <= row.difference_high
    few = rows[(rows.budget == "5") & rows.first_arm.str.contains("simclr")]
    assert set(few.verdict) == {"first"}
    # Baselines of both runs were drawn from the same numbers.
    assert set(rows[rows.first_arm == "scratch"].verdict) == {"no evidence"}


def test_turning_the_runs_round_turns_the_differences_round(pair: tuple[Path, Path]):
    there = compare_runs(*map(read_tested, pair))
    back = compare_runs(*map(read_tested, reversed(pair)))
    np.testing.assert_allclose(back.difference, -there.difference, atol=1e-12)
    np.testing.assert_allclose(back.difference_low, -there.difference_high, atol=1e-12)
    swapped = {"first": "second", "second": "first"}
    assert back.verdict.tolist() == [swapped.get(word, word) for word in there.verdict]


def test_arms_of_other_names_are_paired_by_hand(pair: tuple[Path, Path]):
    run = read_tested(pair[0])
    rows = compare_runs(run, run, {"simclr (frozen)": "scratch"})
    wanted = area(pair[0], "simclr (frozen)", "5") - area(pair[0], "scratch", "5")
    assert rows.difference[0] == pytest.approx(wanted)
    with pytest.raises(UnknownName, match=r"scratch"):
        compare_runs(run, run, {"simclr (frozen)": "scrtch"})


def test_draws_count_as_far_as_both_have_them():
    many = Scores(np.array([1.0, 2.0, 3.0]), np.arange(6.0).reshape(2, 3), 9)
    few = Scores(np.array([1.0, 1.0]), np.ones((2, 2)), 9)
    assert subtract(many, few).observed.tolist() == [0.0, 1.0]
    assert average([many, few]).observed.tolist() == [1.0, 1.5]
    with pytest.raises(OptionError):
        average([])


def test_other_test_images_are_refused(pair: tuple[Path, Path], tmp_path: Path):
    other = invent_run(tmp_path / "other", Plot("classification", subjects=60))
    with pytest.raises(InputError, match=r"tests 100 images, .* 20, and they share 20"):
        compare_runs(read_tested(pair[0]), read_tested(other))


def test_other_labels_of_the_same_images_are_refused(pair: tuple[Path, Path], copy: Path):
    audit = json.loads((copy / "audit.json").read_text())
    (copy / "audit.json").write_text(json.dumps(audit | {"digest": "another"}))
    with pytest.raises(InputError, match=r"digests .* another"):
        compare_runs(read_tested(pair[0]), read_tested(copy))


@pytest.mark.parametrize(("key", "value"), [("task", "segmentation"), ("modality", "ct")])
def test_another_task_or_modality_is_refused(
    pair: tuple[Path, Path], copy: Path, key: str, value: str
):
    study = yaml.safe_load((copy / "study.yaml").read_text())
    (copy / "study.yaml").write_text(yaml.safe_dump(study | {key: value}))
    with pytest.raises(InputError, match=rf"run of {key} .* of {value}"):
        compare_runs(read_tested(pair[0]), read_tested(copy))


@pytest.mark.parametrize("name", ["verdict.json", "study.yaml", "results.csv", "subsets.json"])
def test_an_unfinished_or_damaged_run_is_refused(copy: Path, name: str):
    (copy / name).write_text("{")
    with pytest.raises(RunFolderError, match="no finished run"):
        read_tested(copy)
    (copy / name).unlink()
    with pytest.raises(RunFolderError, match="no finished run"):
        read_tested(copy)


def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object):
    """What a command prints, what it complains of, and its code."""
    monkeypatch.setattr(sys, "argv", ["tassl", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return said.out, said.err, ended.value.code


def test_the_command_prints_json_and_writes_a_table(
    pair: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    file = tmp_path / "gaps.csv"
    out, _, code = say(monkeypatch, capsys, "compare", *pair, "--json", "--csv", file)
    assert code == 0
    assert [row["verdict"] for row in json.loads(out)] == pd.read_csv(file).verdict.tolist()
    out, _, code = say(monkeypatch, capsys, "compare", *pair, "--pair", "mae (frozen)=scratch")
    assert code == 0
    assert "100 test subjects" in out
    _, err, code = say(monkeypatch, capsys, "compare", *pair, "--csv", file)
    assert (code, err.count("\n")) == (2, 1)
    assert "exists" in err
    _, err, code = say(monkeypatch, capsys, "compare", *pair, "--pair", "scratch")
    assert code == 2
    assert "FIRST=SECOND" in err
