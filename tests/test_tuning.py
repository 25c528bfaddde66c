"""How the adaptation loop moves the parts of a head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from small_store import make_recipe, make_tensors
from tassl.adaptation import Examples, Tuning, _groups, fit_head
from tassl.checkpoint import build_encoder
from tassl.heads.classifier import Classifier
from tassl.modality.base import Augmentation
from tassl.transforms.augment import Augment

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
