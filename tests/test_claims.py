"""An interval that leaves zero out is no claim by itself, and everything that is shown says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tassl.cli_suite import _show_comparison
from tassl.evaluation.finding import HELPS, HURTS, NO_EVIDENCE, Arm, Finding, is_unclaimed
from tassl.evaluation.protocol import Protocol
from tassl.evaluation.statistics import Estimate
from tassl.evaluation.verdict import compare, conclude, score_all, tabulate
from tassl.report import write_report
from tassl.report.claims import show_word, tell_word
from tassl.report.forest import draw_forest
from tassl.report.loading import load_run
from tassl.report.rendering import word_class
from tassl.report.tables import results_table, verdict_table
from tassl.suite.declaring import Claim, Side
from tassl.suite.judging import Judgement
from tassl.suite.page import claims_table
from tassl.suite.pooling import Pooled

ARMS = [Arm("scratch", "", "finetune"), *(Arm(f"mae {k}", "mae", "finetune") for k in range(12))]
PROTOCOL = Protocol(resamples=200, draws=3)
SEED, WHY = 4, "one of 12 comparisons"


def judge(gain: float, draws: int = 3) -> tuple[pd.DataFrame, dict]:
    """Results and verdict of twelve arms, of which the first gains this much Dice."""
    rng = np.random.default_rng(SEED)
    base = rng.normal(0.6, 0.1, 40)
    tables = {
        (arm.name, "5"): [
            pd.DataFrame({"subject": np.arange(40).astype(str), "dice_1": values})
            for values in base + rng.normal(0, 0.1, (draws, 40)) + gain * (arm.name == "mae 0")
        ]
        for arm in ARMS
    }
    scores = score_all(tables, ["dice"], PROTOCOL, 0)
    findings = compare(scores, ARMS, "dice", PROTOCOL)
    verdict = conclude(findings, "dice", "subjects", 40, draws=draws)
    return tabulate(scores, ARMS, findings, "dice", 0.95), verdict


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run folder holds of its verdict."""
    folder = tmp_path_factory.mktemp("run")
    results, verdict = judge(0.04)
    results.to_csv(folder / "results.csv", index=False)
    (folder / "verdict.json").write_text(json.dumps(verdict))
    (folder / "study.yaml").write_text(yaml.safe_dump({"task": "segmentation"}))
    return folder


def test_only_an_interval_without_zero_and_without_evidence_is_unclaimed():
    spans = {(0.1, 0.2): True, (-0.2, -0.1): True, (-0.1, 0.1): False, (np.nan, np.nan): False}
    for span, found in spans.items():
        assert is_unclaimed(NO_EVIDENCE, *span) == found
        assert not is_unclaimed(HELPS, *span)
        assert not is_unclaimed(HURTS, *span)


def test_words_and_symbols():
    assert show_word(HELPS, 0.1, 0.2, "why") == "\u25b2 helps"
    assert show_word(NO_EVIDENCE, -0.1, 0.2, "why") == "\u25cf no evidence"
    assert show_word(NO_EVIDENCE, 0.1, 0.2, "why") == "\u25cb no evidence: why"
    assert tell_word("first", 0.1, 0.2, "why") == "first"
    for word in (HELPS, NO_EVIDENCE, HURTS):
        for low in (-0.1, 0.1):
            assert word_class(show_word(word, low, 0.2, "why")) == word.replace(" ", "-")
    assert word_class("no evidence of a fall") == ""


class TestSentence:
    def test_tells_how_many_and_why(self):
        results, verdict = judge(0.04)
        (row,) = verdict["budgets"]
        assert (row["arm"], row["verdict"]) == ("mae 0", NO_EVIDENCE)
        assert row["difference"]["low"] > 0
        assert verdict["comparisons"] == results.verdict.count() == 12
        assert (
            "Not claimed: 1 of the 12 comparisons, though its own interval leaves zero out. Some "
            f"do so by chance; corrected for all 12 (Holm), p is {row['p_adjusted']:.3f}."
        ) in verdict["sentence"]

    @pytest.mark.parametrize("gain", [0.0, 0.2])
    def test_says_nothing_where_all_agree(self, gain: float):
        assert "Not claimed" not in judge(gain)[1]["sentence"]

    def test_few_draws_are_the_reason_then(self):
        text = judge(0.2, draws=2)[1]["sentence"]
        assert "Every budget was drawn twice" in text
        assert "Not claimed" not in text

    def test_of_several_the_least_p_is_given(self):
        gap = Estimate(0.1, 0.01, 0.2, 0.03, 0.2)
        first = Finding("5", "mae", "scratch", gap, 0.12, NO_EVIDENCE)
        findings = [first, replace(first, budget="25", p_adjusted=0.3)]
        text = conclude(findings, "auroc", "subjects", 90)["sentence"]
        assert "2 of the 2 comparisons, though their own intervals leave zero out." in str(text)
        assert "corrected for all 2 (Holm), p is 0.120 or more." in str(text)

    def test_what_would_have_been_found_is_told_for_every_budget(self):
        gap = Estimate(0.0, -0.1, 0.1, 0.9, 0.11)
        first = Finding("5", "mae", "scratch", gap, 1.0, NO_EVIDENCE)
        second = replace(first, budget="25", difference=replace(gap, detectable=0.07))
        text = str(conclude([first, second], "auroc", "subjects", 90)["sentence"])
        assert "(one of 0.070 to 0.110 AUROC, by budget, would have been found" in text

    @pytest.mark.parametrize("limit", [0.0, np.nan])
    def test_scores_that_do_not_vary_could_not_show_a_difference(self, limit: float):
        gap = Estimate(0.0, 0.0, 0.0, 1.0, limit)
        found = [Finding("5", "mae", "scratch", gap, 1.0, NO_EVIDENCE)]
        text = str(conclude(found, "auroc", "subjects", 90)["sentence"])
        assert text.startswith("No evidence of a difference with 5 subjects. On")

    def test_an_arm_that_hurts_is_named_though_another_decides(self):
        gap = Estimate(0.01, -0.05, 0.07, 0.8, 0.1)
        calm = Finding("5", "mae", "scratch", gap, 1.0, NO_EVIDENCE)
        worse = replace(gap, value=-0.2, low=-0.3, high=-0.1)
        harm = replace(calm, arm="moco", difference=worse, verdict=HURTS)
        text = str(conclude([calm, harm], "auroc", "subjects", 90)["sentence"])
        assert "Another hurts: moco against scratch with 5 subjects, -0.200 AUROC" in text
        alone = str(conclude([harm], "auroc", "subjects", 90)["sentence"])
        assert "Another hurts" not in alone
        both = [calm, harm, replace(harm, arm="byol")]
        text = str(conclude(both, "auroc", "subjects", 90)["sentence"])
        assert "2 other comparisons hurt, most moco against scratch" in text


class TestReport:
    def test_tables_mark_the_row(self, run: Path):
        held = load_run(run)
        (row,) = verdict_table(held).rows
        assert row[1] == f"\u25cb no evidence: {WHY}"
        words = [row[10] for row in results_table(held).rows]
        assert words.count(f"\u25cb no evidence: {WHY}") == 1
        assert words.count("\u25cf no evidence") == 11

    def test_two_draws_are_named_instead(self, run: Path):
        held = load_run(run)
        assert held.results is not None
        held = replace(held, results=held.results.assign(draws=2))
        assert verdict_table(held).rows[0][1] == "\u25cb no evidence: fewer than 3 draws"

    def test_forest_leaves_the_marker_hollow(self, run: Path):
        results = load_run(run).results
        assert results is not None
        plain, hollow = draw_forest(results, "Dice", "subjects", WHY)["data"]
        assert (plain["name"], hollow["name"]) == (NO_EVIDENCE, f"{NO_EVIDENCE}: {WHY}")
        assert (len(plain["x"]), len(hollow["x"])) == (11, 1)
        assert hollow["marker"]["color"] == "white"
        assert plain["marker"]["color"] == plain["marker"]["line"]["color"]

    def test_page_and_card_agree(self, run: Path):
        page = write_report(run).read_text(encoding="utf-8")
        card = (run / "card.md").read_text(encoding="utf-8")
        for text in (page, card):
            assert "Not claimed: 1 of the 12 comparisons" in text
        assert f'<td class="no-evidence">\u25cb no evidence: {WHY}</td>' in page


class TestSeveralRuns:
    def test_two_runs_side_by_side(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("COLUMNS", "200")
        row = {"budget": "5", "metric": "auroc", "first_arm": "a", "second_arm": "b"}
        row |= {"first_mean": 0.8, "second_mean": 0.7, "difference": 0.1, "p_adjusted": 0.06}
        row |= {"difference_high": 0.2, "verdict": NO_EVIDENCE, "test_subjects": 40}
        rows = [row | {"difference_low": low, "same_labels": True} for low in (0.01, -0.01)]
        _show_comparison(pd.DataFrame(rows))
        told = capsys.readouterr().out
        assert told.count("no evidence") == 2
        assert told.count("no evidence: one of 2 comparisons") == 1

    def test_claims_of_a_suite(self):
        claim = Claim("first", "One is above.", Side(("a",)), Side(("b",)))
        pooled = Pooled(0.1, 0.01, 0.2, 0.03, 0.0, 2)
        judged = Judgement(claim, pooled, 0.06, NO_EVIDENCE, ())
        first, second = claims_table([judged, replace(judged, pooled=None)]).rows
        assert (first[1], second[1]) == ("no evidence: one of 2 claims", NO_EVIDENCE)
