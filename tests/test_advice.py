"""Advice: queries that are refused, rules and vetoes that show, and answers read one by one."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tassl
from tassl.advisor import Query
from tassl.advisor.advice import Advice, weigh
from tassl.advisor.answering import NOT, PILOT, PRETRAIN, START_NATURAL
from tassl.advisor.candidates import PUBLISHED, choose_options, find_veto
from tassl.advisor.evidence import load
from tassl.advisor.guidelines import GUIDELINES, WEIGHT
from tassl.advisor.outlook import tell_gain
from tassl.advisor.posterior import read_posterior
from tassl.advisor.telling import tell
from tassl.cli import main
from tassl.errors import OptionError
from tassl.methods import METHODS, PARADIGMS

ULTRASOUND = {"modality": "ultrasound", "task": "classification", "labels": 50, "images": 5000}


def ask(**choices: Any) -> Advice:
    return tassl.advise(**{**ULTRASOUND, **choices})


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"modality": "ultrasond"}, "No modality is named 'ultrasond'. Did you mean 'ultrasound'?"),
        ({"task": "clasification"}, "No task is named .* Did you mean 'classification'?"),
        ({"locality": "locl"}, "No locality is named 'locl'. Did you mean 'local'?"),
        ({"network": "vitt"}, "No network is named 'vitt'. Did you mean 'vit'?"),
        ({"labels": 6000}, "--labels is 6000 of --images 5000; wanted no more labelled"),
        ({"labels": 0}, "--labels is 0; wanted 1 or more"),
        ({"images": 0}, "--images is 0; wanted 1 or more"),
        ({"size": 4}, "--size is 4; wanted 8 or more"),
        ({"dims": 4}, "--dims is 4; wanted 2 or 3"),
        ({"minutes": 0.0}, "--time is 0.0; wanted more than zero"),
        ({"memory": float("nan")}, "--memory is nan; wanted more than zero"),
        ({"modality": "xray", "dims": 3}, "--dims is 3, and xray images have 2 dimensions"),
        ({"dims": 3, "natural_weights": True}, "--natural-weights came with three dimensions"),
    ],
)
def test_a_bad_query_is_refused_in_one_line(choices: dict[str, Any], words: str):
    with pytest.raises(OptionError, match=words) as caught:
        ask(**choices)
    assert "\n" not in str(caught.value)


def test_the_command_prints_advice_and_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    command = "tassl advise --modality ultrasound --task classification --labels 50 --images 5000"
    for extra in ("", " --json"):
        monkeypatch.setattr(sys, "argv", shlex.split(command + extra + " --time 2h --memory 8GB"))
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 0
    told, _, facts = capsys.readouterr().out.partition("\n{\n")
    assert "Pretrain" in told
    assert "paradigm barely matters" in " ".join(told.split())
    assert "How far to trust this" in told
    record = json.loads("{" + facts)
    assert record["ranking"][0]["gain"]["likely"][0] < record["ranking"][0]["gain"]["mean"]
    assert record["query"]["minutes"] == 120


@pytest.mark.parametrize("options", ["--labels 10 --images 5", "--time never", "--dims 5"])
def test_a_bad_command_ends_with_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, options: str
):
    command = f"tassl advise --modality ct --task segmentation {options}"
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("tassl: --")


def test_advice_is_light():
    code = "import sys, tassl; tassl.advise('ct', 'segmentation', dims=3); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "pandas", "sklearn"} & set(run.stdout.split()) == set()


def test_same_query_same_advice():
    assert ask() == ask()


def test_gains_are_ordered_and_chances_add_up():
    advice = ask()
    assert {item.paradigm for item in advice.ranking} == set(PARADIGMS)
    assert sum(item.best for item in advice.ranking) == pytest.approx(1)
    for item in advice.ranking:
        (low, high), (lowest, highest) = item.gain.likely, item.gain.wide
        assert lowest < low < item.gain.mean < high < highest


def test_gains_in_points():
    gain = tell_gain(np.full(100, np.log(0.9 / 0.1) - np.log(0.8 / 0.2)), "classification")
    assert gain.mean == pytest.approx(10)
    assert gain.chance == 1


def test_every_method_is_ranked_named_or_ruled_out():
    advice = ask()
    named = [item.method for item in advice.ranking]
    named += [name for rest in advice.others.values() for name in rest]
    assert sorted([*named, *advice.vetoes]) == sorted(METHODS)


def test_published_names_are_those_of_the_evidence():
    known = {line["canonical"] for line in load().methods}
    assert set(PUBLISHED) <= set(METHODS)
    assert len([name for name in PUBLISHED.values() if name in known]) >= 12


@pytest.mark.parametrize(
    ("choices", "method", "words"),
    [
        ({"modality": "histopathology"}, "rotation", "rotation carries no signal"),
        ({"modality": "histopathology"}, "swin-unetr", "rotation carries no signal"),
        ({"modality": "microscopy"}, "jigsaw", "cells lie in no order"),
        ({}, "order", "works in 3D alone"),
        ({}, "slices", "the place of each slice in its series"),
        ({"network": "cnn"}, "jepa", "not with network cnn"),
        ({"images": 10, "labels": 5}, "barlow", "needs batches of 16"),
        ({"memory": 0.6, "size": 512}, "barlow", "needs batches of 16"),
        ({"minutes": 0.5}, "joint", "minutes on two processor cores"),
    ],
)
def test_vetoes(choices: dict[str, Any], method: str, words: str):
    query = Query(**{**ULTRASOUND, **choices})
    assert words in find_veto(query, method)
    advice = weigh(query)
    assert words in advice.vetoes[method]
    assert method not in [item.method for item in advice.ranking]
    assert METHODS[method].title in tell(advice)


def test_options_follow_the_modality():
    query = Query(**ULTRASOUND, multi_image=True)
    contrast, masked = choose_options(query, "simclr"), choose_options(query, "mae")
    assert contrast.positives == ("next frame",)
    assert masked.positives == ()
    assert masked.mask_ratio == query.profile.masking.ratio
    assert contrast.mask_ratio is None
    assert not set(query.profile.banned) & set(contrast.augmentation)
    assert "speckle" in contrast.augmentation
    assert "speckle" not in masked.augmentation
    assert choose_options(query, "jepa").network == "vit"


def test_memory_bounds_the_batch():
    small, large = (choose_options(Query(**ULTRASOUND, memory=m), "simclr") for m in (0.6, 64))
    assert small.batch < large.batch == METHODS["simclr"].batches[0]
    assert small.memory <= 0.7


def test_every_guideline_is_met_by_some_query():
    queries = [Query(name.split()[0], name.split()[1], **more) for name, more, *_ in READ]
    assert [g.key for g in GUIDELINES if not any(g.holds(query) for query in queries)] == []


def test_a_rule_moves_the_expectation_by_its_weight():
    """Natural positives (strong) favour two views: the rule's weight, and nothing else, is new."""
    posterior = read_posterior()
    before, after = weigh(Query(**ULTRASOUND)), weigh(Query(**ULTRASOUND, multi_image=True))
    assert "G-5" in [key for key, *_ in after.rules]
    assert "G-5" not in [key for key, *_ in before.rules]
    move = {i.paradigm: dict(i.rules).get("G-5") for i in after.ranking}["contrastive"]
    assert move == pytest.approx(100 * 0.8 * 0.2 * WEIGHT["strong"])
    assert before == weigh(Query(**ULTRASOUND), posterior=posterior)


def test_moves_name_known_studies():
    known = {line["study_id"] for line in load().studies}
    for item in ask().ranking:
        assert {move.study for move in item.moves} <= known
        assert all(move.source.startswith("http") for move in item.moves)
        assert any(move.points > 0 for move in item.moves)


def test_everything_ruled_out_is_no_traceback():
    advice = ask(minutes=1e-6)
    assert (advice.answer, advice.ranking) == (NOT, ())
    assert "every method is ruled out" in tell(advice).lower()


def test_unseen_ground_asks_for_a_pilot():
    assert ask(modality="oct", labels=None, images=None).answer == PILOT


def test_more_labels_lower_the_gain():
    few, many = (
        tassl.advise("xray", "classification", labels=n, images=100_000) for n in (100, 50_000)
    )
    assert many.ranking[0].gain.mean < few.ranking[0].gain.mean - 1


def test_what_would_change_the_advice_does():
    query = Query("dermoscopy", "classification", labels=400, images=900)
    advice = weigh(query)
    (change,) = [c for c in advice.changes if c.startswith("with 9000 images")]
    other = weigh(replace(query, images=9000))
    assert change == f"with 9000 images: {other.answer}, {other.ranking[0].paradigm} first"
    assert other.answer != advice.answer


# Situations, the answers that a reader of the field would stand by, the paradigms that may lead and
# the rules that must be told. Where two answers or paradigms are close, either may come.
EITHER = (PRETRAIN, PILOT)
CONTRASTIVE, PREDICTIVE, GENERATIVE, HYBRID = PARADIGMS
READ: tuple[tuple[str, Mapping[str, Any], tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...]
READ = (
    # Diffuse signs in speckle: features, not pixels; frames of a clip as second views.
    ("ultrasound classification", {"labels": 50, "images": 5000}, EITHER,
     (PREDICTIVE, HYBRID), ("G-2", "G-15", "US-5")),
    ("ultrasound classification", {"labels": 50, "images": 5000, "multi_image": True}, EITHER,
     (PREDICTIVE, HYBRID), ("G-2", "G-5")),
    ("ultrasound classification", {"labels": 50, "images": 5000, "locality": "local"}, EITHER,
     (PREDICTIVE, GENERATIVE, HYBRID), ("G-4",)),
    ("ultrasound segmentation", {"labels": 30, "images": 3000}, (PILOT,),
     (CONTRASTIVE, GENERATIVE, HYBRID), ("AD-7", "US-5")),
    # Volumes: masked restoration for masks, a hybrid for classes (OpenMind, FOMO25).
    ("ct segmentation", {"labels": 20, "images": 2000, "dims": 3}, EITHER, (GENERATIVE,),
     ("G-20", "AD-7")),
    ("ct segmentation", {"labels": 40, "images": 5000}, EITHER, (CONTRASTIVE, GENERATIVE, HYBRID),
     ("G-4", "AD-7")),
    ("ct classification", {"labels": 100, "images": 4000, "dims": 3}, EITHER, (HYBRID,),
     ("G-20",)),
    ("mri segmentation", {"labels": 20, "images": 1000, "dims": 3}, EITHER, (GENERATIVE,),
     ("G-10", "G-11", "G-20")),
    ("mri segmentation", {"labels": 10, "images": 40000, "dims": 3}, EITHER, (GENERATIVE,),
     ("G-20",)),
    ("mri classification", {"labels": 200, "images": 40000, "dims": 3}, EITHER, (HYBRID,),
     ("G-20",)),
    ("mri regression", {"labels": 500, "images": 3000, "dims": 3}, (PILOT,), (HYBRID,), ("G-20",)),
    ("mri reconstruction", {"labels": 100, "images": 5000}, (PILOT,),
     (CONTRASTIVE, GENERATIVE, HYBRID), ()),
    # Radiographs: level paradigms; a gain with few labels, little left with many.
    ("xray classification", {"labels": 100, "images": 100000}, EITHER, (GENERATIVE, HYBRID),
     ("CXR-1", "G-15")),
    ("xray classification", {"labels": 100, "images": 100000, "natural_weights": True}, EITHER,
     (GENERATIVE, HYBRID), ("CXR-1",)),
    ("xray classification", {"labels": 50000, "images": 100000, "natural_weights": True}, (PILOT,),
     (GENERATIVE,), ("LB-1",)),
    ("xray classification", {"labels": 100, "images": 5000, "multi_image": True}, EITHER,
     (CONTRASTIVE, PREDICTIVE, HYBRID), ("G-5",)),
    ("xray detection", {"labels": 300, "images": 20000}, (PILOT,), (GENERATIVE, HYBRID), ("G-4",)),
    # Tiles: the DINO family, and no natural images.
    ("histopathology classification", {"labels": 500, "images": 100000}, (PRETRAIN,),
     (PREDICTIVE, HYBRID), ("HP-7", "G-21")),
    ("histopathology classification",
     {"labels": 500, "images": 100000, "natural_weights": True}, (PRETRAIN,), (PREDICTIVE, HYBRID),
     ("HP-7", "G-21")),
    ("histopathology segmentation", {"labels": 50, "images": 20000}, (PILOT,),
     (CONTRASTIVE, PREDICTIVE, HYBRID), ("G-21",)),
    ("histopathology regression", {"labels": 300, "images": 30000}, (PILOT,), (PREDICTIVE, HYBRID),
     ("HP-7",)),
    ("fundus classification", {"labels": 200, "images": 20000}, EITHER, (GENERATIVE, HYBRID),
     ("FU-1",)),
    ("fundus classification", {"labels": 200, "images": 20000, "locality": "local"}, EITHER,
     (GENERATIVE, HYBRID), ("G-4", "FU-1")),
    # OCT: no figures at all, so a pilot; visits of one eye as pairs.
    ("oct classification", {"labels": 100, "images": 10000, "multi_image": True}, (PILOT,),
     (CONTRASTIVE, PREDICTIVE, HYBRID), ("OC-2", "G-5")),
    ("oct segmentation", {"labels": 20, "images": 2000}, (PILOT,),
     (CONTRASTIVE, GENERATIVE, HYBRID), ("AD-7",)),
    # A small pool with many labels: do not; if natural weights are there, start from them.
    ("dermoscopy classification", {"labels": 400, "images": 900}, (NOT,), (GENERATIVE,),
     ("G-10", "G-11")),
    ("dermoscopy classification", {"labels": 400, "images": 900, "natural_weights": True},
     (START_NATURAL,), (GENERATIVE,), ("G-10", "G-11")),
    ("dermoscopy classification", {"labels": 100, "images": 20000, "multi_image": True}, EITHER,
     (CONTRASTIVE, PREDICTIVE, HYBRID), ("G-5",)),
    # Endoscopy: self-supervised natural weights are hard to beat.
    ("endoscopy segmentation", {"labels": 100, "images": 50000, "natural_weights": True}, (PILOT,),
     (CONTRASTIVE, GENERATIVE, HYBRID), ("EN-1",)),
    ("endoscopy classification", {"labels": 100, "images": 50000}, EITHER, (HYBRID,),
     ("EN-1",)),
    # Mammography: one study with figures.
    ("mammography classification", {"labels": 300, "images": 10000, "multi_image": True}, EITHER,
     (CONTRASTIVE, PREDICTIVE), ("G-5",)),
    ("mammography classification",
     {"labels": 300, "images": 10000, "size": 1024, "memory": 8, "locality": "local"}, (PILOT,),
     (GENERATIVE, HYBRID), ("G-4",)),
    ("pet segmentation", {"labels": 30, "images": 400, "dims": 3}, (PILOT,), (GENERATIVE,),
     ("PT-1", "PT-3", "G-11", "G-21")),
    ("pet classification", {"labels": 60, "images": 3000}, (PILOT,), (GENERATIVE, HYBRID),
     ("PT-1", "G-21")),
    ("microscopy classification", {"labels": 100, "images": 100000}, (PILOT,),
     (GENERATIVE, HYBRID), ("MI-1", "G-21")),
    ("microscopy segmentation", {"labels": 30, "images": 500}, EITHER, (GENERATIVE,),
     ("MI-1", "G-11")),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "more", "answers", "leaders", "rules"),
    READ,
    ids=[f"{name}-{'-'.join(map(str, more.values()))}" for name, more, *_ in READ],
)
def test_answers_that_were_read(
    name: str,
    more: Mapping[str, Any],
    answers: tuple[str, ...],
    leaders: tuple[str, ...],
    rules: tuple[str, ...],
):
    advice = tassl.advise(*name.split(), **more)
    assert advice.answer in answers
    assert advice.ranking[0].paradigm in leaders
    assert set(rules) <= {key for key, *_ in advice.rules}
    assert "points against" in " ".join(advice.because)


@pytest.mark.parametrize(
    ("gains", "minutes", "picked"),
    [
        ({"joint": 5.0, "byol": 4.5, "mae": 3.1}, 60.0, ["byol", "mae"]),
        ({"joint": 5.0, "byol": 4.5, "mae": 3.1}, None, ["byol", "mae"]),
        ({"joint": 5.0, "byol": 4.5, "mae": 3.1}, 4.0, ["joint", "byol"]),
        ({"joint": 5.0, "byol": 2.9, "moco": 2.8}, 60.0, ["joint", "byol"]),
        ({"byol": 5.0, "moco": 5.0, "mae": 1.0}, 60.0, ["byol", "moco"]),
        ({"joint": 5.0}, 60.0, ["joint"]),
    ],
)
def test_a_dear_strategy_waits_for_those_that_are_level(
    gains: dict, minutes: float | None, picked: list[str]
):
    advice = ask()
    options = replace(advice.ranking[0].options, minutes=minutes)
    ranking = tuple(
        replace(
            advice.ranking[0],
            options=options,
            method=method,
            paradigm=METHODS[method].paradigm,
            gain=replace(advice.ranking[0].gain, mean=mean),
        )
        for method, mean in gains.items()
    )
    assert [item.method for item in replace(advice, ranking=ranking).pick(2)] == picked
