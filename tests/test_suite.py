"""Suites: what a file may say, what is run, what is made of it, and what the claims come to."""

from __future__ import annotations

import inspect
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats
from tests.report_fixture import Plot, invent_run

from tassl import cli
from tassl.data.layouts import index
from tassl.data.phantom.findings import NAMES
from tassl.errors import InputError, OptionError, RunFolderError, TasslError, UnknownName
from tassl.evaluation.pairing import read_tested
from tassl.evaluation.statistics import estimate
from tassl.suite.benchmarking import run_suite
from tassl.suite.cells import check_kept, cut_subjects, estimate_cost, gather_data, list_cells
from tassl.suite.declaring import FEWEST, SHIPPED, Claim, Set, Side, Suite
from tassl.suite.judging import (
    CONTRADICTED,
    NO_EVIDENCE,
    SUPPORTED,
    judge_claims,
    tabulate_claims,
)
from tassl.suite.pooling import pool
from tassl.suite.reading import read_suite
from tassl.suite.running import run_cells
from tassl.suite.schema import CHOICES

DRAWN = {"subjects": 60, "size": 24, "images_per_subject": 1}
KIND = {"modality": "ultrasound", "task": "classification"}
SIDES = {"better": {"methods": ["simclr"]}, "worse": {"methods": ["mae"]}}
SOUND: dict[str, Any] = {
    "name": "small",
    "methods": ["simclr", "mae"],
    "defaults": {"epochs": 1, "steps": 2, "budgets": [5], "draws": 1},
    "sets": {
        "one": {"phantom": DRAWN, **KIND},
        "bad": {"phantom": {**DRAWN, "classes": 1}, **KIND, "methods": ["mae"]},
    },
    "claims": {"first": {"says": "One is above the other.", "sets": ["one", "bad"], **SIDES}},
}


def write_suite(folder: Path, facts: Any) -> Path:
    file = folder / "suite.yaml"
    file.write_text(facts if isinstance(facts, str) else yaml.safe_dump(facts, sort_keys=False))
    return file


def change(*path: str, **changes: Any) -> dict[str, Any]:
    """The sound suite with other values somewhere; None takes a key out."""
    facts = json.loads(json.dumps(SOUND))
    place = facts
    for key in path:
        place = place[key]
    place.update(changes)
    for key in [key for key, value in changes.items() if value is None]:
        del place[key]
    return facts


# Reading


def test_yaml_and_toml_say_the_same(tmp_path: Path):
    suite = read_suite(str(write_suite(tmp_path, SOUND)))
    file = tmp_path / "suite.toml"
    file.write_text(
        'name = "small"\nmethods = ["simclr", "mae"]\n'
        "[defaults]\nepochs = 1\nsteps = 2\nbudgets = [5]\ndraws = 1\n"
        '[sets.one]\nmodality = "ultrasound"\ntask = "classification"\n'
        "phantom = {subjects = 60, size = 24, images_per_subject = 1}\n"
        '[sets.bad]\nmodality = "ultrasound"\ntask = "classification"\nmethods = ["mae"]\n'
        "phantom = {subjects = 60, size = 24, images_per_subject = 1, classes = 1}\n"
        '[claims.first]\nsays = "One is above the other."\nsets = ["one", "bad"]\n'
        'better.methods = ["simclr"]\nworse.methods = ["mae"]\n'
    )
    assert read_suite(str(file)) == suite
    assert suite.sets["bad"].methods == ("mae",)
    assert suite.sets["one"].choices["budgets"] == [5]


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ("- a\n- b", "wanted names with values"),
        ("a: [", "no sound YAML"),
        (change(setz={}), "'setz'. Did you mean 'sets'?"),
        (change(sets={}), "sets is empty"),
        (change(seeds=[0, 0]), "seeds is [0, 0]"),
        (change(seeds=["a"]), "whole numbers"),
        (change("defaults", epoch=3), "defaults: No key is named 'epoch'"),
        (change("defaults", epochs="many"), "epochs is 'many'; wanted a whole number"),
        (change("defaults", epochs=True), "epochs is True"),
        (change("defaults", epochs=0), "sets.one: --epochs is 0"),
        (change("sets", **{"a/b": {}}), "sets.a/b: the name"),
        (change("sets", one="there"), "sets.one: holds 'there'"),
        (change("sets", "one", task=None), "sets.one: task is missing"),
        (change("sets", "one", modality="sonar"), "sets.one: No modality is named 'sonar'"),
        (change("sets", "one", path="x"), "give either path or phantom"),
        (change("sets", "one", subjects=9), "subjects cuts a path"),
        (change("sets", "one", phantom=None, path="no.npz"), "no.npz does not exist"),
        (change("sets", "one", phantom={"sizes": 9}), "phantom: No option"),
        (change("sets", "one", phantom={"size": 9}), "phantom: size is 9"),
        (change("sets", "one", phantom={"lesion_diameter": 5}), "cannot be drawn"),
        (change("sets", "one", methods=["simcrl"]), "Did you mean 'simclr'?"),
        (change("sets", "one", methods=[]), "methods is []"),
        (change("sets", "one", methods=["rotation", "jepa"]), "jepa does not work with cnn"),
        (change("sets", "one", augment={"crop": "much"}), "wanted numbers by name"),
        (change("sets", "one", augment={"flip_ud": 0.5}), "flip_ud is banned"),
        (change("sets", "one", minutes=0), "minutes is 0"),
        (change("claims", "first", says=None), "claims.first: says is missing"),
        (change("claims", "first", sets=["two"]), "better: No set is named 'two'"),
        (change("claims", "first", better={"metods": []}), "better: No key is named 'metods'"),
        (change("claims", "first", better={"methods": ["x"]}), "No method is named 'x'"),
        (change("claims", "first", worse={"sets": ["one"]}), "better has 2 sets and worse 1"),
        (change("claims", "first", worse={"budgets": ["few"]}), "budgets has 'few'"),
        (change("claims", "first", worse={"adaptation": "tuned"}), "wanted frozen or finetune"),
        (change("sets", "one", task="regression"), "set one is judged by MAE"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path: Path, facts: Any, problem: str):
    file = write_suite(tmp_path, facts)
    with pytest.raises(TasslError) as raised:
        read_suite(str(file))
    assert problem in str(raised.value)
    assert "suite.yaml" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_absent_file_or_suite_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.yaml cannot be read"):
        read_suite(str(tmp_path / "none.yaml"))
    with pytest.raises(UnknownName, match="claims"):
        read_suite("clams")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_suites_are_sound_without_any_data(name: str, tmp_path: Path):
    suite = read_suite(name, tmp_path)
    assert all(found.minutes for found in suite.sets.values())
    assert sum(found.minutes or 0 for found in suite.sets.values()) < 8 * 60
    assert {name for claim in suite.claims for name in claim.better.sets} <= {
        *suite.sets,
        *suite.missing,
    }


def test_the_shipped_claims_find_the_sets_that_they_name(data_root: Path, real: Any):
    for name in ("breastmnist", "pneumoniamnist", "busi_seg", "hc18", "hippocampus"):
        real(name)
    suite = read_suite("claims", data_root)
    assert not suite.missing
    assert sum(found.minutes or 0 for found in suite.sets.values()) < 8 * 60


# Cells


def test_every_choice_of_a_set_is_one_of_the_command():
    assert set(CHOICES) <= set(inspect.signature(cli.run).parameters)


def test_a_cell_is_a_command(tmp_path: Path):
    facts = change("sets", "one", augment={"crop": 0.5}, allow=["flip_ud"], own_splits=True)
    suite = read_suite(str(write_suite(tmp_path, facts | {"seeds": [3, 4]})))
    cells = list_cells(suite, tmp_path / "out")
    assert [cell.name for cell in cells] == ["one-3", "one-4", "bad-3", "bad-4"]
    words = " ".join(cells[1].words)
    for part in (
        "run", "--method simclr --method mae", "--seed 4", "--budgets 5", "--augment crop=0.5",
        "--allow flip_ud", "--own-splits", "--modality ultrasound", f"--out {tmp_path}/out/one-4",
    ):  # fmt: skip
        assert part in words


def test_paths_and_tables_are_relative_to_the_root(tmp_path: Path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "images.npz").touch()
    facts = change("sets", "one", phantom=None, path="images.npz", csv="table.csv")
    found = read_suite(str(write_suite(tmp_path, facts)), tmp_path / "root").sets["one"]
    assert found.path == str(tmp_path / "root" / "images.npz")
    assert found.choices["csv"] == str(tmp_path / "root" / "table.csv")


def test_a_set_is_cut_evenly_and_always_alike(tmp_path: Path):
    rng, file = np.random.default_rng(0), tmp_path / "many.npz"
    subjects = np.repeat([f"s{k:03}" for k in range(100)], 2)
    labels = np.repeat(np.arange(100) < 30, 2).astype(int)
    np.savez(file, images=rng.integers(0, 255, (200, 8, 8)), labels=labels, subjects=subjects)
    suite = change("sets", "one", phantom=None, path=str(file), subjects=50)
    cell = list_cells(read_suite(str(write_suite(tmp_path, suite))), tmp_path / "out")[0]
    gather_data(cell)
    kept = index(cell.data)
    assert kept.table.subject.nunique() == 50
    assert kept.table.groupby("label").subject.nunique().to_dict() == {0: 35, 1: 15}
    assert (kept.table.subject.value_counts() == 2).all()
    assert cut_subjects(index(file), 50).table.id.tolist() == kept.table.id.tolist()
    assert len(cut_subjects(index(file), 500).table) == 200


def test_cut_keeps_every_finding(tmp_path: Path):
    answers = np.zeros((100, 2), int)
    answers[:40, 0], answers[::10, 1] = 1, 1
    file = tmp_path / "d.npz"
    np.savez(file, images=np.arange(6400).reshape(100, 8, 8) % 251, labels=answers)
    kept = cut_subjects(index(file), 50).table
    assert np.sum(kept.findings.tolist(), axis=0).tolist() == [20, 5]


def test_phantoms_of_a_multilabel_set_have_findings(tmp_path: Path):
    drawn = {"subjects": 20, "size": 16, "dims": 3}
    own = {"phantom": drawn, "modality": "ct", "task": "multilabel"}
    suite = read_suite(str(write_suite(tmp_path, change("sets", "bad", **own))))
    cell = list_cells(suite, tmp_path)[1]
    gather_data(cell)
    assert index(cell.data).classes == NAMES


def test_costs_come_from_earlier_runs_then_from_the_suite(tmp_path: Path):
    suite = read_suite(str(write_suite(tmp_path, change("sets", "bad", minutes=2))))
    first, second = list_cells(replace(suite, seeds=(0, 1)), tmp_path)[:2]
    assert estimate_cost(second, [first, second]).seconds is None
    plan = second.folder / "pretrain" / "mae" / "plan.json"
    plan.parent.mkdir(parents=True)
    plan.write_text(json.dumps({"seconds": 9.0}))
    assert estimate_cost(second, [first, second]).seconds == 9.0
    first.folder.mkdir()
    (first.folder / "verdict.json").write_text("{}")
    (first.folder / "environment.json").write_text(json.dumps({"seconds": {"a": 4, "b": 3}}))
    assert estimate_cost(second, [first, second]).seconds == 7.0
    bad = list_cells(suite, tmp_path)[1]
    assert estimate_cost(bad, [bad]).seconds == 120.0


# Pooling


def pool_slowly(values: np.ndarray, errors: np.ndarray) -> tuple[float, float, float]:
    """Mean, half width and spread by a fine grid over the variance between sets."""
    freedom = len(values) - 1

    def quadratic(spread: float) -> tuple[float, float, float]:
        weights = [1 / (error**2 + spread) for error in errors]
        mean = sum(w * y for w, y in zip(weights, values, strict=True)) / sum(weights)
        excess = sum(w * (y - mean) ** 2 for w, y in zip(weights, values, strict=True))
        return excess, mean, sum(weights)

    grid = np.linspace(0, 0.2, 200_001)
    spread = next(float(t) for t in grid if quadratic(float(t))[0] <= freedom)
    excess, mean, weight = quadratic(spread)
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(max(1.0, excess / freedom) / weight)
    return mean, float(reach), float(np.sqrt(spread))


def test_pooling_follows_the_slow_reference():
    values, errors = np.array([0.05, 0.12, -0.08, 0.2]), np.array([0.02, 0.05, 0.04, 0.06])
    mean, reach, spread = pool_slowly(values, errors)
    found = pool(values, errors, 0.95)
    assert found.value == pytest.approx(mean, abs=1e-4)
    assert found.high - found.value == pytest.approx(reach, abs=1e-4)
    assert found.spread == pytest.approx(spread, abs=1e-3)
    order = [2, 0, 3, 1]
    assert pool(values[order], errors[order], 0.95).value == pytest.approx(found.value)


def test_sets_that_agree_have_no_spread_and_one_set_stands_for_itself():
    agreed = pool([0.1, 0.1, 0.1], [0.03, 0.03, 0.03], 0.95)
    assert (agreed.value, agreed.spread) == (pytest.approx(0.1), 0.0)
    assert agreed.high - 0.1 == pytest.approx(stats.t.ppf(0.975, 2) * 0.03 / np.sqrt(3))
    single = pool([0.1], [0.03], 0.95)
    assert single.low == pytest.approx(0.1 - 1.96 * 0.03, abs=1e-4)
    assert single.members == 1


def test_intervals_of_few_sets_cover_the_truth():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(400):
        errors = rng.uniform(0.01, 0.06, 4)
        values = 0.05 + rng.normal(0, 0.03, 4) + rng.normal(0, errors)
        found = pool(values, errors, 0.95)
        hits += found.low <= 0.05 <= found.high
    assert hits / 400 > 0.93


# Claims


@pytest.fixture(scope="module")
def invented(tmp_path_factory: pytest.TempPathFactory) -> tuple[Suite, Path]:
    """Three sets on which pretraining gains most with the fewest labels."""
    out = tmp_path_factory.mktemp("invented")
    names = {"a": 180, "b": 210, "c": 240}
    for name, subjects in names.items():
        invent_run(out / f"{name}-0", Plot("classification", gain=1.5, subjects=subjects))
    sets = {name: Set(name, "ultrasound", "classification", ("simclr", "mae")) for name in names}
    return Suite("invented", "", (0,), sets), out


def judge(invented: tuple[Suite, Path], **sides: Side) -> Any:
    suite, out = invented
    suite = replace(suite, claims=(Claim("it", "It is so.", sides["better"], sides["worse"]),))
    return judge_claims(suite, list_cells(suite, out))[0]


def test_a_claim_is_supported_contradicted_or_neither(invented: tuple[Suite, Path]):
    few = Side(("a", "b", "c"), budgets=(FEWEST,), gain=True)
    whole = Side(("a", "b", "c"), budgets=("all",), gain=True)
    held = judge(invented, better=few, worse=whole)
    assert held.verdict == SUPPORTED
    assert held.pooled.low > 0
    turned = judge(invented, better=whole, worse=few)
    assert turned.verdict == CONTRADICTED
    assert turned.pooled.value == pytest.approx(-held.pooled.value)
    sides = {"better": ("simclr",), "worse": ("mae",)}
    even = judge(invented, **{k: Side(("a", "b", "c"), methods=m) for k, m in sides.items()})
    assert even.verdict == NO_EVIDENCE
    assert even.pooled.low < 0 < even.pooled.high


def test_a_set_counts_by_its_own_paired_difference(invented: tuple[Suite, Path]):
    found = judge(
        invented,
        better=Side(("a",), ("simclr",), ("5",), "frozen", gain=True),
        worse=Side(("a",), ("mae",), ("5",), "frozen"),
    )
    run = read_tested(invented[1] / "a-0")
    arms = "simclr (frozen)", "random (frozen)", "mae (frozen)"
    scores = [run.score(arm, "5") for arm in arms]
    gap = estimate(scores[0].minus(scores[1]).minus(scores[2]), 0.95)
    (member,) = found.members
    assert member.value == pytest.approx(gap.value)
    assert member.high - member.low == pytest.approx(gap.high - gap.low)


def test_what_is_missing_is_named_and_does_not_count(invented: tuple[Suite, Path]):
    suite, out = invented
    unrun = Set("d", "ultrasound", "classification", ("mae",))
    names = ("a", "b", "d", "gone")
    claim = Claim("it", "It is so.", Side(names, ("simclr",)), Side(names, ("mae",)))
    absent = Claim("no", "It is so.", Side(("d",), ("simclr",)), Side(("d",), ("mae",)))
    other = Claim("other", "It is so.", Side(("a",), ("moco",)), Side(("a",), ("mae",)))
    suite = replace(
        suite,
        sets={**suite.sets, "d": unrun},
        missing={"gone": "gone.npz is not there"},
        claims=(claim, absent, other),
    )
    found = judge_claims(suite, list_cells(suite, out))
    assert found[0].pooled.members == 2
    reasons = [member.reason for member in found[0].members]
    assert reasons == ["", "", "d-0 is not finished", "gone.npz is not there"]
    assert found[1].pooled is None
    assert [judged.verdict for judged in found[1:]] == [NO_EVIDENCE, NO_EVIDENCE]
    assert "a-0 has no arm of moco" in found[2].members[0].reason
    table = tabulate_claims(found)
    assert table[table.set == "all"].claim.tolist() == ["it", "no", "other"]
    assert len(table) == 3 + 4 + 1 + 1


def test_sets_without_the_same_test_images_are_not_set_against_each_other(
    invented: tuple[Suite, Path],
):
    found = judge(invented, better=Side(("a",)), worse=Side(("b",)))
    assert found.pooled is None
    assert "tests 60 images" in found.members[0].reason


# Running


def test_an_output_that_holds_something_else_is_refused(tmp_path: Path):
    suite = read_suite(str(write_suite(tmp_path, SOUND)))
    with pytest.raises(RunFolderError, match="holds no suite"):
        run_suite(suite, tmp_path)
    with pytest.raises(OptionError, match="--jobs is 0"):
        run_cells([], tmp_path, jobs=0)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Suite, Path, Any]:
    """A suite with one run that ends and one that cannot."""
    folder = tmp_path_factory.mktemp("suite")
    suite = read_suite(str(write_suite(folder, SOUND)))
    return suite, folder / "out", run_suite(suite, folder / "out", jobs=2)


@pytest.mark.slow
def test_a_crashed_run_is_named_and_the_rest_goes_on(done: tuple[Suite, Path, Any]):
    _, out, found = done
    states = pd.read_csv(out / "runs.csv").set_index("set")
    assert states.state.to_dict() == {"one": "finished", "bad": "failed"}
    assert "All labels are of one class" in str(states.reason["bad"])
    results = pd.read_csv(out / "suite.csv")
    own = pd.read_csv(out / "one-0" / "results.csv")
    assert results.set.unique().tolist() == ["one"]
    np.testing.assert_allclose(results["mean"], own["mean"])
    claims = pd.read_csv(out / "claims.csv")
    assert claims.set.tolist() == ["all", "one", "bad"]
    for name in ("suite.md", "suite.html"):
        page = (out / name).read_text()
        assert "All labels are of one class" in page
        assert "One is above the other." in page
    assert found.judgements[0].pooled.members == 1
    assert "$ tassl run" in (out / "logs" / "bad-0.txt").read_text()


@pytest.mark.slow
def test_a_finished_run_is_not_run_again_nor_mixed_with_another(done: tuple[Suite, Path, Any]):
    suite, out, _ = done
    before = (out / "one-0" / "verdict.json").stat().st_mtime_ns
    alone = replace(suite, sets={"one": suite.sets["one"]})
    again = run_suite(alone, out)
    assert (out / "one-0" / "verdict.json").stat().st_mtime_ns == before
    assert again.states.state.tolist() == ["finished"]
    longer = replace(suite.sets["one"], choices={**suite.sets["one"].choices, "epochs": 2})
    with pytest.raises(RunFolderError, match="another epochs"):
        check_kept(list_cells(replace(suite, sets={"one": longer}), out))
    with pytest.raises(RunFolderError, match="other claims"):
        run_suite(replace(suite, claims=()), out)


def test_a_dry_run_lists_commands_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    file, out = write_suite(tmp_path, change("sets", "one", minutes=30)), tmp_path / "out"
    words = ["tassl", "benchmark", str(file), "--out", str(out), "--dry-run"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert "one-0  30m, says the suite" in said
    assert "2 of 2 runs to do, about 30m one after another, and 1 runs" in said
    assert said.count("tassl run") == 2
    assert not out.exists()


def test_the_suite_of_the_documentation_is_sound(tmp_path: Path):
    page = (Path(__file__).parents[1] / "docs" / "suites.md").read_text(encoding="utf-8")
    (tmp_path / "breastmnist.npz").touch()
    suite = read_suite(str(write_suite(tmp_path, page.split("```")[1].removeprefix("yaml\n"))))
    assert list(suite.sets) == ["breast", "lesions"]
    assert suite.sets["lesions"].methods == ("mae", "lesions")
