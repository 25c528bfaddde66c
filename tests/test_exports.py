"""Tables for papers, the reporting checklist and the model card say what the run knows."""

from __future__ import annotations

import csv
import io
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tests.report_fixture import Plot, invent_run

from tassl.cli import main
from tassl.errors import RunFolderError, UnknownName
from tassl.evaluation.pairing import read_tested
from tassl.report import write_report
from tassl.report.checklist import ITEMS, checklist_table, tell_facts
from tassl.report.loading import load_run
from tassl.report.paper import Sheet, export_run, find_best, to_latex, to_markdown
from tassl.report.rendering import Table

TRIPOD = [
    "1", "2", "3a", "3b", "3c", "4", "5a", "5b", "6a", "6b", "6c", "7", "8a", "8b", "8c", "9a",
    "9b", "9c", "10", "11", "12a", "12b", "12c", "12d", "12e", "12f", "12g", "13", "14", "15",
    "16", "17", "18a", "18b", "18c", "18d", "18e", "18f", "19", "20a", "20b", "20c", "21", "22",
    "23a", "23b", "24", "25", "26", "27a", "27b", "27c",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return invent_run(
        tmp_path_factory.mktemp("runs") / "run", Plot("classification", gain=0.0, subjects=240)
    )


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return invent_run(tmp_path_factory.mktemp("runs") / "run", Plot("segmentation", subjects=60))


def test_every_format_holds_every_mean(run: Path):
    results = pd.read_csv(run / "results.csv")
    means = [f"{mean:.3f}" for mean in results[results.metric == "auroc"]["mean"]]
    for kind in ("latex", "csv", "markdown"):
        text = export_run(run, kind)
        assert [mean for mean in means if mean not in text] == []
    rows = list(csv.reader(io.StringIO(export_run(run, "csv", metric="f1"))))
    assert rows[0] == ["Arm", "5 subjects per class", "25 subjects per class", "all labels"]
    assert len({len(row) for row in rows}) == 1


def test_latex_is_a_whole_table(run: Path, volumes: Path):
    for text in (export_run(run, "latex"), export_run(volumes, "latex", metric="hd95")):
        assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
        assert text.count("{") == text.count("}")
        assert len(re.findall(r"(?<!\\)&", text)) == 3 * (text.count(r" \\"))
        assert re.search(r"(?<!\\)[%_#]", text) is None
    long = export_run(run, "latex", "checklist")
    assert r"\begin{longtable}" in long
    assert r"\begin{tabular}" not in long


def test_markup_of_names_does_no_harm():
    table = Table(("a|b", "50%"), (("x_y", "<b>"),))
    latex = to_latex(Sheet(table, "c & d", frozenset({(0, 1)})))
    assert r"x\_y & \textbf{\textless{}b\textgreater{}} \\" in latex
    assert r"50\% \\" in latex
    assert r"\caption{c \& d}" in latex
    assert r"| x\_y | **&lt;b&gt;** |" in to_markdown(Sheet(table, "c", frozenset({(0, 1)})))


def test_bold_needs_a_test_against_every_other_arm(run: Path, tmp_path: Path):
    assert find_best(read_tested(run)) == set()  # two pretrained arms are as good as each other
    perfect = Path(shutil.copytree(run, tmp_path / "perfect"))
    for file in (perfect / "predictions").glob("mae--frozen-_25_*.parquet"):
        table = pd.read_parquet(file)
        table.assign(score_1=table.label, score_0=1 - table.label).to_parquet(file, index=False)
    assert find_best(read_tested(perfect)) == {("mae (frozen)", "25")}
    assert export_run(perfect, "latex").count(r"\textbf") == 1
    assert export_run(perfect, "markdown").count("**") == 2


def test_the_checklists_are_whole():
    with ITEMS.open(encoding="utf-8", newline="") as lines:
        items = list(csv.DictReader(lines))
    numbers = {name: [i["item"] for i in items if i["checklist"] == name] for name in
               ("CLAIM 2024", "TRIPOD+AI")}  # fmt: skip
    assert numbers == {"CLAIM 2024": [str(k) for k in range(1, 45)], "TRIPOD+AI": TRIPOD}
    assert [i["item"] for i in items if not (i["fact"] or i["yours"])] == []


@pytest.mark.parametrize("kind", ["run", "volumes"])
def test_every_item_is_answered_or_left_to_the_authors(kind: str, request: pytest.FixtureRequest):
    loaded = load_run(request.getfixturevalue(kind))
    with ITEMS.open(encoding="utf-8", newline="") as lines:
        asked = {item["fact"] for item in csv.DictReader(lines)} - {""}
    facts = tell_facts(loaded)
    assert asked - facts.keys() == {"external"}
    assert all(said or left for *_, said, left in checklist_table(loaded).rows)
    test = loaded.audit["splits"]["test"]
    assert f"{test['images']} images of {test['subjects']}" in facts["internal"]
    assert loaded.verdict["sentence"] in facts["performance"]


def test_a_site_of_its_own_is_said_to_be_external(run: Path):
    loaded = load_run(run)
    facts = tell_facts(replace(loaded, study=loaded.study | {"external": "B"}))
    assert "internal" not in facts
    assert "subjects of site B" in facts["external"]


def test_images_without_subjects_are_not_said_to_be_disjoint_by_subject(run: Path):
    loaded = load_run(run)
    assert tell_facts(loaded)["level"].startswith("Images: the data name no subjects")
    named = replace(loaded, audit=loaded.audit | {"notes": []})
    assert tell_facts(named)["level"].startswith("Subjects; none")


def test_an_unfinished_run_leaves_more_to_the_authors(run: Path, tmp_path: Path):
    early = tmp_path / "early"
    early.mkdir()
    shutil.copy(run / "study.yaml", early)
    rows = {(row[0], row[1]): row for row in checklist_table(load_run(early)).rows}
    assert rows["CLAIM 2024", "37"][3:] == ("", "For you to state: performance with uncertainty")
    assert export_run(early, "markdown", "checklist")
    with pytest.raises(RunFolderError):
        export_run(early, "latex")


def test_the_card_has_the_sections_of_a_model_card(run: Path):
    write_report(run)
    card = (run / "card.md").read_text()
    heads = re.findall(r"^## (.*)$", card, re.MULTILINE)
    assert heads == [
        "Verdict", "Intended use", "Trained on", "Methods", "Scores", "Limits", "Environment"
    ]  # fmt: skip
    results = pd.read_csv(run / "results.csv")
    for row in results[results.metric == "auroc"].itertuples():
        assert f"| {row.budget} | {row.arm} | {row.mean:.3f} |" in card
    assert "torch: 2.13.0" in card


@pytest.mark.parametrize(
    ("choices", "problem"),
    [
        ({"to": "word"}, "format"),
        ({"to": "csv", "part": "card"}, "part"),
        ({"to": "csv", "metric": "dice"}, "metric"),
    ],
)
def test_unknown_names_are_refused(run: Path, choices: dict[str, str], problem: str):
    with pytest.raises(UnknownName, match=problem):
        export_run(run, **choices)


def test_the_command_writes_once(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    file = tmp_path / "table.tex"
    codes = []
    for _ in range(2):
        monkeypatch.setattr(
            sys, "argv", ["tassl", "export", str(run), "--to", "latex", "--out", str(file)]
        )
        with pytest.raises(SystemExit) as ended:
            main()
        codes.append(ended.value.code)
    assert codes == [0, 2]
    assert file.read_text() == export_run(run, "latex")
    assert "exists" in capsys.readouterr().err
