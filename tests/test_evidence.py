"""The evidence base keeps to its schema, and adding to it never changes what is there."""

from __future__ import annotations

import csv
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from report_fixture import Plot, invent_run
from tassl.advisor.evidence import METRICS, TABLES, Evidence, load, local_folder
from tassl.advisor.evidence.adding import add
from tassl.advisor.evidence.browsing import Filter, count_cells, find_gaps, select
from tassl.advisor.evidence.checking import check_row, check_tables
from tassl.advisor.evidence.describing import describe_tables
from tassl.advisor.evidence.own_runs import read_run
from tassl.advisor.evidence.reading import SHIPPED, load_flow, read_cells
from tassl.advisor.evidence.schema import FLOW, MODALITY, SSL, TASKS
from tassl.advisor.evidence.writing import export
from tassl.cli import app
from tassl.errors import InputError, OptionError, RunFolderError, UnknownName
from tassl.methods import METHODS

DOCS = Path(__file__).parents[1] / "docs"
BASE = load()
RAW = {name: read_cells(SHIPPED / f"{name}.csv")[1] for name in TABLES}
STUDY = {
    "study_id": "ours2026",
    "title": "Ours, with a comma",
    "source_url": "https://example.org/ours",
    "seen": "full_text",
}
METHOD = {"method": "our MAE", "canonical": "MAE", "paradigm": "generative"}
CASE = {
    "case_id": "ours2026-01",
    "study_id": "ours2026",
    "modality": "pet",
    "dims": "3d",
    "task": "detection",
    "metric": "average_precision",
    "winner": "our MAE",
    "winner_is_authors_method": "yes",
    "overlaps": "no",
    "source_url": "https://example.org/ours",
    "seen": "full_text",
    "doubtful": "no",
}
RESULT = {
    "case_id": "ours2026-01",
    "method": "our MAE",
    "paradigm": "generative",
    "value": "0.5",
}
OURS = {"studies": STUDY, "methods": METHOD, "comparisons": CASE, "results": RESULT}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty base of this machine."""
    monkeypatch.setenv("TASSL_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return invent_run(tmp_path_factory.mktemp("runs") / "secret-name", Plot("classification"))


def write(file: Path, rows: Iterable[dict[str, Any]]) -> Path:
    rows = list(rows)
    with file.open("w", encoding="utf-8", newline="") as target:
        table = csv.DictWriter(target, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return file


def write_ours(folder: Path, **changes: dict[str, str]) -> list[Path]:
    tables = {name: OURS[name] | changes.get(name, {}) for name in OURS}
    return [write(folder / f"my-{name}.csv", [row]) for name, row in tables.items()]


def count(evidence: Evidence) -> list[int]:
    return [len(rows) for rows in astuple(evidence)]


def command(*words: str) -> str:
    result = CliRunner().invoke(app, ["evidence", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_shipped_tables_keep_to_the_schema():
    assert check_tables(RAW, Evidence()) == []
    assert all(count(BASE))
    for name, table in TABLES.items():
        assert read_cells(SHIPPED / f"{name}.csv")[0] == [c.name for c in table.columns]


def test_every_row_has_an_address_and_says_what_was_seen():
    for row in (*BASE.studies, *BASE.findings, *BASE.comparisons):
        assert re.fullmatch(r"https?://[\w.-]+\.\w+(:\d+)?(/\S*)?", row["source_url"]), row
        assert row["seen"] != "measured"


def test_every_study_says_something_and_every_case_has_rivals():
    speaking = {row["study_id"] for row in (*BASE.findings, *BASE.comparisons)}
    assert {row["study_id"] for row in BASE.studies} == speaking
    assert {row["method"] for row in BASE.methods} == {row["method"] for row in BASE.results}
    sizes = {case["case_id"]: 0 for case in BASE.comparisons}
    for row in BASE.results:
        sizes[row["case_id"]] += 1
    assert min(sizes.values()) >= 2


def test_duplicates_do_not_come_back():
    titles = [re.sub(r"\W", "", row["title"]).lower() for row in BASE.studies]
    marks = [mark for row in BASE.studies for mark in (row["identifier"] or "").split("; ") if mark]
    figures = [
        (row["study_id"], row["task"], row["baseline_value"], row["ssl_value"], row["method"])
        for row in BASE.findings
        if row["baseline_value"] is not None and row["ssl_value"] is not None
    ]
    for things in (titles, marks, figures):
        assert len(things) == len(set(things))
    assert all(re.fullmatch(r"arXiv:\d{4}\.\d{4,5}|doi:10\.\d+/\S+|PMC\d+", m) for m in marks)


def test_winners_are_best_of_those_that_are_ranked():
    """Slow reference for the winner column; models with text or ground truth are not ranked."""
    scores: dict[str, dict[str, float]] = {}
    for row in BASE.results:
        ranked = row["paradigm"] != "vision-language" and "not ranked" not in row["method"]
        if ranked and row["value"] is not None:
            scores.setdefault(row["case_id"], {})[row["method"]] = row["value"]
    checked = 0
    for case in BASE.comparisons:
        values = scores.get(case["case_id"])
        if values and case["winner"]:
            pick = max if METRICS[case["metric"]].higher_is_better else min
            best = pick(values.values())
            assert set(case["winner"].split(" = ")) == {m for m, v in values.items() if v == best}
            checked += 1
    assert checked > 200


def test_deltas_are_differences():
    for row in BASE.findings:
        if None not in (row["baseline_value"], row["ssl_value"], row["delta"]):
            gap = row["ssl_value"] - row["baseline_value"]
            assert math.isclose(gap, row["delta"], abs_tol=1.1e-3), row["finding_id"]


def test_flow_adds_up_to_the_tables():
    rows = read_cells(SHIPPED / "flow.csv")[1]
    assert [list(check_row(row, FLOW)) for row in rows] == [[]] * len(rows)
    for name in ("studies", "findings", "comparisons"):
        left = sum(row[name] * (1 if row["stage"] == "identified" else -1) for row in load_flow())
        assert left == len(getattr(BASE, name))
    for row in load_flow():  # what is named is counted
        if row["stage"] == "excluded":
            assert len(row["which"].split("; ")) == row["studies"]


def test_docs_say_what_the_schema_says():
    text = (DOCS / "evidence.md").read_text(encoding="utf-8")
    assert text.endswith(describe_tables() + "\n")


@pytest.mark.parametrize(
    ("table", "change", "words"),
    [
        ("studies", {"source_url": "example.org"}, ["source_url", "'example.org'", "https://"]),
        ("studies", {"title": ""}, ["title", "empty"]),
        ("studies", {"year": "2026.5"}, ["year", "'2026.5'", "whole number"]),
        ("studies", {"seen": "abstrct"}, ["seen", "'abstrct'", "Did you mean 'abstract'?"]),
        ("methods", {"paradigm": "supervized"}, ["paradigm", "Did you mean 'supervised'?"]),
        ("comparisons", {"modality": "zzz"}, ["modality", "'zzz'", "Use one of"]),
        ("comparisons", {"overlaps": "true"}, ["overlaps", "'true'", "yes or no"]),
        ("comparisons", {"study_id": "theirs"}, ["study_id", "'theirs'", "studies"]),
        ("comparisons", {"winner": "DINO"}, ["winner", "'DINO'", "results"]),
        ("results", {"value": "nan"}, ["value", "'nan'", "a number"]),
        ("results", {"value": "inf"}, ["value", "'inf'", "a number"]),
        ("results", {"value": "50"}, ["value", "50", "Divide by 100"]),
        ("results", {"paradigm": "hybrid"}, ["paradigm", "'hybrid'", "'generative'"]),
        ("results", {"case_id": "other-01"}, ["case_id", "'other-01'", "comparisons"]),
    ],
)
def test_planted_rows_are_named(home: Path, table: str, change: dict[str, str], words: list[str]):
    files = write_ours(home, **{table: change})
    with pytest.raises(InputError) as problem:
        add(files)
    (line,) = [
        line for line in str(problem.value).splitlines() if line.startswith(f"{table}, row 2")
    ]
    assert all(word in line for word in words)
    assert not local_folder().exists()


def test_all_problems_are_named_at_once(home: Path):
    rows = [STUDY | {"study_id": f"s{i}", "year": "soon", "seen": ""} for i in range(30)]
    with pytest.raises(InputError) as problem:
        add([write(home / "s.csv", rows)])
    lines = str(problem.value).splitlines()
    assert lines[1].startswith("studies, row 2, column year")
    assert lines[3].startswith("studies, row 3, column year")
    assert lines[-1] == "and 40 more"


def test_a_key_twice_is_named(home: Path):
    file = write(home / "s.csv", [STUDY, STUDY | {"title": "Other"}])
    with pytest.raises(InputError, match="row 3, column study_id: 'ours2026' stands in row 2 too"):
        add([file])


def test_adding_is_idempotent(home: Path):
    files = write_ours(home)
    assert add(files) == dict.fromkeys(OURS, 1) | {"findings": 0}
    once = load(local=True)
    written = {file: file.read_bytes() for file in local_folder().iterdir()}
    assert add(files) == dict.fromkeys(TABLES, 0)
    assert load(local=True) == once
    assert {file: file.read_bytes() for file in local_folder().iterdir()} == written
    assert count(once) == [n + m for n, m in zip(count(BASE), [1, 1, 0, 1, 1], strict=True)]
    assert load() == BASE, "what is shipped changed"


def test_adding_at_once_loses_nothing(home: Path):
    files = [write(home / f"s{k}.csv", [STUDY | {"study_id": f"ours{k}"}]) for k in range(6)]
    with ThreadPoolExecutor(6) as workers:
        list(workers.map(lambda file: add([file]), files))
    found = {row["study_id"] for row in load(local=True).studies}
    assert {f"ours{k}" for k in range(6)} <= found


def test_adding_never_overwrites(home: Path):
    add(write_ours(home))
    with pytest.raises(InputError, match="'ours2026' is in the base with another title"):
        add(write_ours(home, studies={"title": "Another"}))
    shipped = RAW["studies"][0] | {"title": "Another"}
    with pytest.raises(InputError, match="is in the base with another title"):
        add([write(home / "s.csv", [shipped])])
    assert load(local=True).studies[-1]["title"] == "Ours, with a comma"


def test_rows_that_are_shipped_by_now_count_once(home: Path):
    local_folder().mkdir(parents=True)
    write(local_folder() / "studies.csv", RAW["studies"][:3])
    assert load(local=True) == BASE


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no table of the evidence base"),
        (b"study_id,titel\nx,y\n", "unknown columns: titel; missing: title, source_url, seen"),
        (b"study_id;title\nx;y\n", "unknown columns: study_id;title"),
        (b"method,canonical,paradigm\na,b,hybrid,c\n", "row 2 has more cells than the header"),
        (b"method,method,paradigm\na,b,hybrid\n", "two columns 'method'"),
        (b"method,canonical,paradigm\n\xff,b,hybrid\n", "UTF-8"),
        (b'method,canonical,paradigm\n"a,b,hybrid\n', "cannot be read"),
    ],
)
def test_files_that_are_no_tables(home: Path, content: bytes, words: str):
    file = home / "odd.csv"
    file.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(words)):
        add([file])


def test_missing_and_double_files(home: Path):
    with pytest.raises(InputError, match="No such file"):
        add([home / "nowhere.csv"])
    files = write_ours(home)
    with pytest.raises(InputError, match="second file of studies"):
        add([*files, files[0]])


def test_a_damaged_base_is_named(home: Path):
    add(write_ours(home))
    file = local_folder() / "results.csv"
    file.write_text(file.read_text().replace("0.5", "half"))
    with pytest.raises(InputError, match=r"results.csv is damaged .*half.*Mend it"):
        load(local=True)


def test_a_base_that_cannot_be_written(home: Path):
    (home / "cache").write_text("a file where a folder should be")
    with pytest.raises(OptionError, match="Set TASSL_CACHE"):
        add(write_ours(home))


@pytest.mark.parametrize("table", list(TABLES))
def test_what_is_exported_can_be_added(home: Path, table: str):
    file = home / "out.csv"
    export(file, TABLES[table], getattr(BASE, table))
    assert add([file]) == dict.fromkeys(TABLES, 0)
    with pytest.raises(OptionError, match="exists"):
        export(file, TABLES[table], ())
    with pytest.raises(OptionError, match=r"wanted \.csv or \.json"):
        export(home / "out.xlsx", TABLES[table], ())


FILTERS = [
    Filter(),
    Filter(modality="mri"),
    Filter(modality="mri", task="segmentation", paradigm="generative"),
    Filter(paradigm="contrastive", regime="few-shot"),
    Filter(dims="video", since=2024),
    Filter(since=2021, until=2022),
    Filter(modality="pet", task="regression"),
]


@pytest.mark.parametrize("wanted", FILTERS)
def test_filters_against_brute_force(wanted: Filter):
    found = select(BASE, wanted)
    years = {row["study_id"]: row["year"] for row in BASE.studies}
    for name in ("findings", "comparisons"):
        kept = []
        for row in getattr(BASE, name):
            year = years[row["study_id"]]
            paradigms = [row["paradigm"]] if name == "findings" else []
            paradigms += [r["paradigm"] for r in BASE.results if r["case_id"] == row.get("case_id")]
            if wanted.modality and row["modality"] != wanted.modality:
                continue
            if wanted.task and row["task"] != wanted.task:
                continue
            if wanted.paradigm and wanted.paradigm not in paradigms:
                continue
            if wanted.regime and row["label_regime"] != wanted.regime:
                continue
            if wanted.dims and row["dims"] != wanted.dims:
                continue
            if wanted.since and not (year and year >= wanted.since):
                continue
            if wanted.until and not (year and year <= wanted.until):
                continue
            kept.append(row)
        assert list(getattr(found, name)) == kept
    cases = [row["case_id"] for row in found.comparisons]
    assert list(found.results) == [row for row in BASE.results if row["case_id"] in cases]
    told = {row["study_id"] for row in (*found.findings, *found.comparisons)}
    assert {row["study_id"] for row in found.studies} == told
    assert {row["method"] for row in found.methods} == {row["method"] for row in found.results}


@pytest.mark.parametrize("word", ["modality", "task", "paradigm", "regime", "dims"])
def test_filters_know_their_words(word: str):
    with pytest.raises(UnknownName, match="No"):
        Filter(**{word: "nonsense"})


def test_gaps_against_brute_force():
    counts, gaps = count_cells(BASE), find_gaps(BASE, MODALITY)
    for modality, task, paradigm in product(MODALITY, TASKS, SSL):
        studies = {
            row["study_id"]
            for row in BASE.findings
            if (row["modality"], row["task"], row["paradigm"]) == (modality, task, paradigm)
        }
        for case in BASE.comparisons:
            if (case["modality"], case["task"]) == (modality, task) and any(
                row["case_id"] == case["case_id"] and row["paradigm"] == paradigm
                for row in BASE.results
            ):
                studies.add(case["study_id"])
        cell = (modality, task, paradigm)
        assert counts[cell] == len(studies)
        assert (cell in gaps) == (not studies)


def test_a_run_becomes_evidence(run: Path):
    tables = read_run(run)
    results = read_cells(run / "results.csv")[1]
    decisive = [row for row in results if row["metric"] == "auroc"]
    assert len(tables["results"]) == len(decisive)
    assert len(tables["findings"]) == sum(bool(row["verdict"]) for row in decisive)
    for row in tables["results"]:
        budget = row["case_id"].split("-")[2]
        (own,) = [r for r in decisive if (r["arm"], r["budget"]) == (row["method"], budget)]
        assert float(row["value"]) == float(own["mean"])
    counts = add([run])
    assert counts == {name: len(rows) for name, rows in tables.items()} | {
        "methods": counts["methods"]
    }
    assert add([run]) == dict.fromkeys(TABLES, 0)
    paradigms = {row["method"]: row["paradigm"] for row in load(local=True).methods}
    assert paradigms["simclr (fine-tuned)"] == METHODS["simclr"].paradigm


def test_a_run_tells_nothing_of_people_and_places(run: Path):
    study = yaml.safe_load((run / "study.yaml").read_text())
    store = read_cells(run / "results.csv")[1]
    add([run])
    told = "".join(file.read_text() for file in local_folder().iterdir())
    for secret in (run.name, str(run.parent), study["data"], study["name"], "image-0"):
        assert secret not in told
    assert store[0]["arm"] in told


@pytest.mark.parametrize("absent", ["verdict.json", "results.csv", "study.yaml", "audit.json"])
def test_unfinished_runs_are_refused(run: Path, home: Path, absent: str):
    copy_run(run, home / "copy", lambda name: name != absent)
    with pytest.raises(RunFolderError, match="no finished run"):
        add([home / "copy"])


def test_shuffled_and_damaged_runs_are_refused(run: Path, home: Path):
    copy = copy_run(run, home / "copy")
    study = yaml.safe_load((copy / "study.yaml").read_text())
    for control in ("shuffle_labels", "shuffle_pixels", "plant_confounder"):
        (copy / "study.yaml").write_text(yaml.safe_dump(study | {control: True}))
        with pytest.raises(RunFolderError, match="negative control"):
            add([copy])
    (copy / "study.yaml").write_text(yaml.safe_dump(study | {"task": "guessing"}))
    with pytest.raises(RunFolderError, match="damaged"):
        add([copy])
    assert not local_folder().exists()


def copy_run(run: Path, copy: Path, wanted: Callable[[str], bool] = lambda name: True) -> Path:
    copy.mkdir()
    for name in ("verdict.json", "results.csv", "study.yaml", "audit.json"):
        if wanted(name):
            (copy / name).write_bytes((run / name).read_bytes())
    return copy


def test_commands(home: Path, run: Path):
    assert "4 findings" not in command("list", "--modality", "pet", "--rows", "1")
    out = home / "all.json"
    command("list", "--table", "results", "--export", str(out))
    assert json.loads(out.read_text(encoding="utf-8")) == [dict(row) for row in BASE.results]
    assert "cells are empty" in command("gaps", "--task", "detection")
    assert f"{len(BASE.studies)}" in command("flow").splitlines()[-1]
    assert "studies.csv" in command("columns")
    assert "1 studies" in command("add", str(run))
    assert "0 studies" in command("add", str(run))


def test_reading_is_light():
    code = "import sys; from tassl.advisor.evidence import load; load(); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "pandas"} & set(ran.stdout.split()) == set()
