"""A person can read off all that a modality asks for, with its grounds."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from tassl.cli import main
from tassl.errors import UnknownName
from tassl.modality import MODALITIES
from tassl.modality.base import Augmentation
from tassl.modality.describing import describe_modality, list_modalities

every_modality = pytest.mark.parametrize("modality", MODALITIES)


def test_list_has_one_line_each():
    lines = list_modalities().splitlines()[2:]
    assert len(lines) == len(MODALITIES) == 12
    for line, (name, card) in zip(lines, MODALITIES.items(), strict=True):
        assert line.startswith(f"| {name} | {card.title} |")


@every_modality
def test_description_holds_every_rule_with_strength_and_source(modality):
    profile, text = MODALITIES[modality].load(), describe_modality(modality)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    for group in (profile.banned, profile.degenerate, profile.positives):
        for name, rule in group.items():
            assert f"| {name} | {rule.text} | {rule.strength} | {rule.source} |" in rows
    for rule in profile.advice:
        assert f"{rule.text} | {rule.strength} | {rule.source}" in text
    assert profile.steps in text
    assert f"{profile.masking.strength}; {profile.masking.source}" in text


@every_modality
def test_description_accounts_for_every_operation(modality):
    profile, text = MODALITIES[modality].load(), describe_modality(modality)
    idle = text.split("Off unless asked for: ")[1].split(".")[0]
    for operation in asdict(Augmentation()):
        used = any(operation in r.active() for r in profile.augmentations.values())
        places = [used, operation in profile.banned, operation in idle.split(", ")]
        assert sum(places) == 1, (operation, places)
        assert f"| {operation} |" in text or operation in idle


def test_unknown_modality_suggests_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean 'ultrasound'"):
        describe_modality("ultrasond")


@pytest.mark.parametrize("words", [(), ("ultrasound",), ("pet",)])
def test_command_prints_it(words, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["tassl", "modality", *words])
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    printed = capsys.readouterr().out
    for expected in words or MODALITIES:
        assert expected in printed
    if words:
        for operation in MODALITIES[words[0]].load().banned:
            assert operation in printed
