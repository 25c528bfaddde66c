"""The protocol is frozen under its name, and `tassl protocol` says all of it."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from typer.testing import CliRunner

from tassl.cli import app
from tassl.cli_options import read_budgets
from tassl.errors import OptionError
from tassl.evaluation.metrics import METRICS
from tassl.evaluation.protocol import Protocol
from tassl.heads import HEADS
from tassl.study.choices import make_protocol, make_study
from tassl.study.rules import CONSTANTS, describe_protocol, digest_values, list_facts

FROZEN = {"tassl-1": "dc4f26c9401d06ed"}


def test_values_are_frozen_under_the_name():
    """Whoever changes a value or a constant gives the protocol a new name, and adds it here."""
    protocol = Protocol()
    assert digest_values(protocol) == FROZEN[protocol.name]


@pytest.mark.parametrize("field", [field.name for field in fields(Protocol)])
def test_every_value_moves_the_digest_and_is_named_as_changed(field: str):
    usual = Protocol()
    value = getattr(usual, field)
    other = value[:-1] if isinstance(value, tuple | str) else value * 2
    changed = replace(usual, **{field: other})
    assert digest_values(changed) != digest_values(usual)
    assert field == "name" or changed.title == f"tassl-1, but for {field}"


def test_constants_move_the_digest(monkeypatch: pytest.MonkeyPatch):
    before = digest_values(Protocol())
    monkeypatch.setitem(CONSTANTS, "fewest_draws", 4)
    assert digest_values(Protocol()) != before


def test_words_follow_the_values():
    protocol = Protocol(
        budgets=(0.01, 0.1), draws=7, val_share=0.13, test_share=0.31, tolerance=1.5,
        rates=(0.02, 0.04), resamples=1234, confidence=0.9, alpha=0.01,
    )  # fmt: skip
    text = describe_protocol(protocol)
    words = ["1%, 10% labelled", "7 draws", "13%", "31%", "1.5 mm", "0.02, 0.04", "1234", "90%"]
    assert [word for word in [*words, "below 0.01"] if word not in text] == []
    for card in HEADS.values():
        assert all(METRICS[name].title in text for name in card.metrics)


def test_command_prints_words_or_json():
    run = CliRunner().invoke
    words = run(app, ["protocol"])
    assert (words.exit_code, words.exception) == (0, None)
    assert "Transductive" in words.stdout
    facts = json.loads(run(app, ["protocol", "--json"]).stdout)
    assert facts == json.loads(json.dumps(list_facts(Protocol())))
    other = json.loads(run(app, ["protocol", "--json", "--budgets", "1%,10%,100%"]).stdout)
    assert other["values"]["budgets"] == [0.01, 0.1]
    assert other["name"] == "tassl-1, but for budgets"


def test_budgets_are_numbers_or_shares():
    assert read_budgets(None) is None
    assert read_budgets("25, 5,10") == (25, 5, 10)
    assert read_budgets("100%,1%,10%") == (0.01, 0.1)
    for text in ("5,10%", "x", "0%", "101%", "1.5", "-3%", "%", "nan%"):
        with pytest.raises(OptionError, match="wanted whole numbers"):
            read_budgets(text)


def test_study_says_what_was_changed():
    assert make_protocol((10, 5)).budgets == (5, 10)
    study = make_study("x", modality="mri", task="segmentation", budgets=(0.1, 0.01), draws=2)
    assert study.facts()["protocol"]["name"] == "tassl-1, but for budgets, draws"
    assert study.facts()["protocol"]["budgets"] == [0.01, 0.1]
