"""How the adaptation loop moves the parts of a head, and what arms are tuned over."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from small_store import make_recipe, make_tensors
from tassl.adaptation import Examples, Tuning, _groups, fit_head
from tassl.checkpoint import build_encoder
from tassl.data.tensors import Tensors
from tassl.errors import OptionError
from tassl.evaluation.finding import Arm
from tassl.evaluation.protocol import Protocol
from tassl.evaluation.splits import Subset
from tassl.heads.classifier import Classifier
from tassl.heads.probe import fit_probe
from tassl.modality.base import Augmentation
from tassl.study import Study
from tassl.transforms.augment import Augment
from tassl.trials import Bench, count_work
from tassl.trials.tuning import choose_tuning, list_tries, try_tuning

SHORT = Tuning(fewest_steps=4, most_steps=4, passes=1, batch=4)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    tensors = make_tensors(tmp_path_factory.mktemp("store"))
    rows = np.arange(8)
    return Examples(tensors, rows, torch.from_numpy(rows % 2), Augment(Augmentation()))


def make_head(examples: Examples, network: str = "cnn") -> Classifier:
    torch.manual_seed(0)
    return Classifier(build_encoder(make_recipe(examples.tensors, network)), None, 2)


def movements(examples: Examples, tuning: Tuning, pretrained: tuple[str, ...]) -> dict[str, float]:
    """How far fitting moves the weights of each part."""
    head = make_head(examples)
    before = {name: weight.clone() for name, weight in head.named_parameters()}
    fit_head(head, examples, tuning=tuning, seed=0, pretrained=pretrained)
    moved = {"encoder": 0.0, "head": 0.0}
    for name, weight in head.named_parameters():
        moved[name.split(".")[0]] += float((weight - before[name]).detach().abs().sum())
    return moved


@pytest.mark.parametrize("network", ["cnn", "unet", "vit"])
def test_every_stage_of_a_pretrained_encoder_has_a_smaller_rate_than_the_next(examples, network):
    head = make_head(examples, network)
    groups = _groups(head, replace(SHORT, layer_decay=0.5, learning_rate=1.0), ("encoder",))
    rates = {parameter: group["lr"] for group in groups for parameter in group["params"]}
    assert set(rates) == set(head.parameters())
    stages = head.encoder.stages
    assert {p for stage in stages for p in stage.parameters()} == set(head.encoder.parameters())
    for place, stage in enumerate(stages):
        wanted = 0.5 ** (len(stages) - place)
        assert {rates[parameter] for parameter in stage.parameters()} == {wanted}
    assert {rates[parameter] for parameter in head.head.parameters()} == {1.0}


def test_decay_by_layer_leaves_what_is_not_pretrained_alone(examples):
    plain, decayed = (movements(examples, replace(SHORT, layer_decay=d), ()) for d in (1.0, 0.1))
    assert plain == decayed


def test_the_head_first_keeps_what_is_pretrained(examples):
    alone = movements(examples, replace(SHORT, head_first=1.0), ("encoder",))
    assert alone["encoder"] == 0
    assert alone["head"] > 0
    half = movements(examples, replace(SHORT, head_first=0.5), ("encoder",))
    whole = movements(examples, SHORT, ("encoder",))
    assert 0 < half["encoder"] < whole["encoder"]


def test_class_weights_give_the_mean_over_classes_of_their_means(examples):
    head, images = make_head(examples), examples.tensors.images(np.arange(8))
    target = torch.tensor([0, 1, 0, 0, 0, 0, 0, 0])
    head.requires_grad_(False)
    each = F.cross_entropy(head(images).float(), target, reduction="none")
    assert float(head.loss(images, target)) == pytest.approx(float(each.mean()), abs=1e-5)
    head.weigh(target)
    wanted = (each[target == 0].mean() + each[target == 1].mean()) / 2
    assert float(head.loss(images, target)) == pytest.approx(float(wanted), abs=1e-5)
    head.weigh(torch.zeros(8, dtype=torch.long))
    assert head.weights.isfinite().all()


def test_class_weights_lift_the_rare_class(examples):
    rare = replace(examples, target=torch.tensor([0, 1, 0, 0, 0, 0, 0, 0]))
    images, said = rare.tensors.images(np.arange(8)), []
    for weights in (False, True):
        tuning = replace(SHORT, most_steps=30, fewest_steps=30, class_weights=weights)
        head = fit_head(make_head(rare), rare, tuning=tuning, seed=0)
        said.append(float(head.predict(images)[:, 1].mean().detach()))
    assert said[1] > said[0]


def test_class_weights_make_a_probe_of_noise_undecided():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(200, 4)), (np.arange(200) % 10 == 0).astype(int)
    said = [
        fit_probe(features, labels, np.arange(200), 0, class_weights=weights)
        .predict_proba(features)[:, 1]
        .mean()
        for weights in (False, True)
    ]
    assert said == pytest.approx([0.1, 0.5], abs=0.03)


@pytest.mark.parametrize("task", ["segmentation", "regression", "detection"])
def test_class_weights_need_classes(task: str):
    with pytest.raises(OptionError, match=f"--class-weights is for classes, .*{task} has none"):
        Study("x", modality="ultrasound", task=task, class_weights=True).check()


SCRATCH = Arm("scratch", "", "finetune")
ARMS = [
    SCRATCH,
    Arm("fixmatch", "", "finetune", semi=True),
    Arm("net (fine-tuned)", "", "finetune", "net"),
    Arm("mae (fine-tuned)", "mae", "finetune"),
]


@pytest.fixture(scope="module")
def bench(examples: Examples) -> Bench:
    rows, store = np.arange(24), examples.tensors.store
    labelled = replace(store, table=store.table.assign(label=rows % 2))
    return Bench(
        tensors=Tensors(labelled, examples.tensors.normalisation),
        task="classification",
        classes=2,
        target=rows % 2,
        test=rows[16:],
        val=rows[8:16],
        augment=examples.augment,
        recipe=make_recipe(examples.tensors),
        checkpoints={},
        tuning=SHORT,
        protocol=Protocol(rates=(1e-3, 1e-2)),
        seed=0,
    )


@pytest.mark.parametrize("wide", [False, True])
def test_every_trained_arm_has_as_many_tries(bench: Bench, wide: bool):
    bench = replace(bench, wide_tuning=wide)
    tries = [list_tries(bench, arm) for arm in ARMS]
    assert {len(held) for held in tries} == {6 if wide else 2}
    assert count_work(bench, ARMS, [None] * 5) == sum(map(len, tries)) + 4 * 5
    for arm, held in zip(ARMS, tries, strict=True):
        assert len(set(held.values())) == len(held)
        held_back = [t for t in held.values() if t.layer_decay < 1 or t.head_first > 0]
        assert bool(held_back) == (wide and bool(arm.method or arm.weights))
        assert next(iter(held.values())) == replace(SHORT, learning_rate=1e-3)


def test_stretched_tuning_keeps_its_limits():
    tuning = Tuning(fewest_steps=100, most_steps=400, passes=25, batch=32)
    for images in (10, 200, 1000):
        assert tuning.stretched(2).steps(images) == pytest.approx(2 * tuning.steps(images), abs=1)
    assert Tuning(1, 1, 1, 1).stretched(0.5).steps(1) == 1


def test_the_best_try_is_chosen_and_told(bench: Bench, tmp_path: Path):
    bench = replace(bench, wide_tuning=True)
    subsets = [Subset(budget, 0, np.arange(count)) for budget, count in (("1", 4), ("all", 8))]
    for name in list_tries(bench, SCRATCH):
        try_tuning(bench, SCRATCH, name, subsets, tmp_path)
    chosen = choose_tuning(bench, SCRATCH, tmp_path)
    told = json.loads((tmp_path / "tuning" / "scratch.json").read_text())
    assert told["budget"] == "all"
    assert told["steps"]["rate 0.001, twice the steps"] == 2 * told["steps"]["rate 0.001"] == 8
    assert told["validation"][told["chosen"]] == max(told["validation"].values())
    assert chosen == list_tries(bench, SCRATCH)[told["chosen"]]


def test_among_equals_the_usual_rate_and_the_plain_way_win(bench: Bench, tmp_path: Path):
    bench = replace(bench, wide_tuning=True)
    for place, name in enumerate(list_tries(bench, ARMS[-1])):
        file = tmp_path / "tuning" / "tries" / f"mae-fine-tuned_{place}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"name": name, "budget": "1", "steps": 4, "score": 0.5}))
    assert choose_tuning(bench, ARMS[-1], tmp_path) == replace(SHORT, learning_rate=1e-3)
