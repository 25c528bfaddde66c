"""The verdict says what was planted, in words that hold for every mix of outcomes."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pandas as pd
import pytest

from tassl.evaluation.finding import HELPS, HURTS, NO_EVIDENCE, Arm, Finding
from tassl.evaluation.protocol import Protocol
from tassl.evaluation.statistics import Estimate, Scores
from tassl.evaluation.verdict import _word, compare, conclude, score_all, tabulate

ARMS = [
    Arm("scratch", "", "finetune"),
    Arm("random (frozen)", "", "frozen"),
    Arm("mae (fine-tuned)", "mae", "finetune"),
]
PROTOCOL = Protocol(resamples=300)
UNIT = "subjects per class"


def plant(effects: dict[str, float], subjects: int = 80, arms: list[Arm] = ARMS) -> dict:
    """Predictions in which pretraining moves Dice by the effect of each budget."""
    rng = np.random.default_rng(0)
    names = [f"s{k}" for k in range(subjects)]
    base = rng.normal(0.6, 0.1, subjects)
    return {
        (arm.name, budget): [
            pd.DataFrame(
                {
                    "subject": names,
                    "dice_1": base + rng.normal(0, 0.05, subjects) + bool(arm.method) * effect,
                }
            )
            for _ in range(3)
        ]
        for arm in arms
        for budget, effect in effects.items()
    }


def judge(effects: dict[str, float], subjects: int = 80, arms: list[Arm] = ARMS) -> dict:
    scores = score_all(plant(effects, subjects, arms), ["dice"], PROTOCOL, 0)
    findings = compare(scores, arms, "dice", PROTOCOL)
    return conclude(findings, "dice", "subjects", subjects)


@pytest.mark.parametrize(
    ("effect", "word"), [(0.1, HELPS), (-0.1, HURTS), (0.0, NO_EVIDENCE)], ids=str
)
def test_planted_effect_is_named(effect: float, word: str):
    verdict = judge({"5": effect})
    (budget,) = verdict["budgets"]
    assert budget["verdict"] == word
    assert budget["difference"]["low"] <= effect <= budget["difference"]["high"]
    start = {NO_EVIDENCE: "No evidence of a difference"}.get(word, f"Pretraining {word}")
    assert verdict["sentence"].startswith(f"{start} with 5 subjects")
    assert ("do not pretrain" in verdict["sentence"]) == (word != HELPS)
    assert "too few" not in verdict["sentence"]


def test_every_budget_has_its_own_word():
    verdict = judge({"1": 0.15, "5": 0.1, "25": 0.0, "all": -0.1})
    words = [budget["verdict"] for budget in verdict["budgets"]]
    assert words == [HELPS, HELPS, NO_EVIDENCE, HURTS]
    text = verdict["sentence"]
    assert text.startswith("Pretraining helps with 1 and 5 subjects, most with 1 subject: mae")
    assert "Pretraining hurts with all labels: mae (fine-tuned) against" in text
    assert "No evidence of a difference with 25 subjects (one of 0.0" in text
    assert "do not pretrain" not in text


def test_one_helpful_arm_is_enough_and_all_must_hurt():
    arms = [*ARMS, Arm("simclr (fine-tuned)", "simclr", "finetune")]
    tables = plant({"5": 0.0}, arms=arms)
    for table in tables["mae (fine-tuned)", "5"]:
        table["dice_1"] -= 0.1
    findings = compare(score_all(tables, ["dice"], PROTOCOL, 0), arms, "dice", PROTOCOL)
    assert [finding.verdict for finding in findings] == [HURTS, NO_EVIDENCE]
    assert conclude(findings, "dice", "subjects", 80)["budgets"][0]["verdict"] == NO_EVIDENCE
    for table in tables["simclr (fine-tuned)", "5"]:
        table["dice_1"] += 0.1
    findings = compare(score_all(tables, ["dice"], PROTOCOL, 0), arms, "dice", PROTOCOL)
    shown = conclude(findings, "dice", "subjects", 80)["budgets"][0]
    assert (shown["verdict"], shown["arm"]) == (HELPS, "simclr (fine-tuned)")


def test_reference_is_the_best_baseline():
    tables = plant({"5": 0.0})
    for table in tables["random (frozen)", "5"]:
        table["dice_1"] += 0.2
    (finding,) = compare(score_all(tables, ["dice"], PROTOCOL, 0), ARMS, "dice", PROTOCOL)
    assert finding.reference == "random (frozen)"
    assert finding.difference.value == pytest.approx(-0.2, abs=0.03)


def test_unknown_probability_is_no_evidence():
    scores = {
        (arm.name, "5", "dice"): Scores(np.full(3, 0.5), np.full((9, 3), 0.5), 1) for arm in ARMS
    }
    (finding,) = compare(scores, ARMS, "dice", PROTOCOL)
    assert finding.verdict == NO_EVIDENCE
    assert _word(-0.1, np.nan, PROTOCOL.alpha) == NO_EVIDENCE


@pytest.mark.parametrize(("subjects", "words"), [(19, "19 test subjects"), (1, "1 test subject")])
def test_few_test_subjects_add_the_caution(subjects: int, words: str):
    text = judge({"5": 0.1}, subjects)["sentence"]
    assert text.endswith(f"Only {words}: too few to support a claim.")


def test_table_holds_every_arm_and_the_findings():
    scores = score_all(plant({"5": 0.1, "all": 0.0}), ["dice"], PROTOCOL, 0)
    findings = compare(scores, ARMS, "dice", PROTOCOL)
    table = tabulate(scores, ARMS, findings, "dice", 0.95)
    assert len(table) == 6
    assert table.verdict.notna().sum() == 2
    assert table.low.between(0, 1).all()
    assert table.high.between(0, 1).all()
    assert (table.low <= table["mean"]).all()
    helped = table[(table.arm == "mae (fine-tuned)") & (table.budget == "5")].iloc[0]
    assert helped.verdict == HELPS
    assert helped.difference_low <= helped.difference <= helped.difference_high


@pytest.mark.parametrize("budgets", [["all"], ["1"], ["5"], ["1", "all"], ["1", "5", "10", "all"]])
@pytest.mark.parametrize("unit", ["subjects", UNIT])
def test_sentence_is_english_for_every_mix(budgets: list[str], unit: str):
    gaps = {HELPS: 0.1, NO_EVIDENCE: 0.01, HURTS: -0.1}
    for words in itertools.product(gaps, repeat=len(budgets)):
        findings = [
            Finding(
                budget,
                "mae (fine-tuned)",
                "scratch",
                Estimate(gaps[word], gaps[word] - 0.05, gaps[word] + 0.05, 0.01, 0.07),
                0.02,
                word,
            )
            for budget, word in zip(budgets, words, strict=True)
        ]
        text = conclude(findings, "auroc", unit, 100)["sentence"]
        assert isinstance(text, str)
        assert re.fullmatch(r"([A-Z][^.]*(\.\d+[^.]*)*\.( |$))+", text), text
        assert not re.search(r"\b(?<!and )1 subjects|  |,,| \.|with and|and and", text), text
        assert ("do not pretrain" in text) == (HELPS not in words)
        for word, start in ((HELPS, "Pretraining helps with"), (HURTS, "Pretraining hurts with")):
            assert text.count(start) == (word in words)
            assert (", most with" in text.partition(start)[2].partition(": ")[0]) == (
                words.count(word) > 1
            )
        assert text.count("No evidence of a difference with") == (NO_EVIDENCE in words)
