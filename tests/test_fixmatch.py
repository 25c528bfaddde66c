"""FixMatch: its formula, and that it learns from images without labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from small_store import make_recipe, make_tensors
from tassl.checkpoint import build_encoder
from tassl.errors import OptionError
from tassl.heads.classifier import Classifier
from tassl.modality.base import Augmentation
from tassl.steps import make_study
from tassl.transforms.augment import Augment
from tassl.transforms.draws import seeded
from tassl.trials import list_arms
from tassl.trials.fixmatch import FixMatch, consistency


def test_the_loss_is_that_of_algorithm_1():
    rng = torch.Generator().manual_seed(0)
    guesses = (4 * torch.randn(32, 3, generator=rng)).softmax(1)
    scores = torch.randn(32, 3, generator=rng)
    total, sure = 0.0, 0
    for guess, score in zip(guesses, scores, strict=True):
        if float(guess.max()) >= 0.95:
            sure += 1
            total -= float(score.log_softmax(0)[int(guess.argmax())])
    assert 0 < sure < 32
    assert float(consistency(guesses, scores)) == pytest.approx(total / 32, rel=1e-5)


def test_nothing_is_learnt_from_unsure_guesses():
    scores = torch.randn(8, 2, requires_grad=True)
    consistency(torch.full((8, 2), 0.5), scores).backward()
    assert scores.grad is not None
    assert not scores.grad.any()


def test_only_the_strong_view_gets_gradient_and_the_seed_decides(tmp_path: Path):
    tensors = make_tensors(tmp_path)
    torch.manual_seed(0)
    head = Classifier(build_encoder(make_recipe(tensors)), None, 2)
    head.head[1].bias.data.copy_(torch.tensor([9.0, 0.0]))  # sure of the first class
    mild, strong = Augment(Augmentation()), Augment(replace(Augmentation(), noise=0.5))
    more = FixMatch(tensors, np.arange(24), mild, strong, batch=16)
    first, again, other = (more(head, seeded(seed, 0)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    first.backward()
    assert all(weight.grad is not None for weight in head.parameters())


def test_it_is_a_baseline_that_must_be_asked_for():
    assert "fixmatch" not in {arm.name for arm in list_arms("classification", [])}
    (arm,) = (a for a in list_arms("classification", [], fixmatch=True) if a.semi)
    assert (arm.name, arm.method, arm.adaptation) == ("fixmatch", "", "finetune")


def test_it_is_refused_where_there_are_no_classes():
    study = make_study("images", modality="mri", task="segmentation", fixmatch=True)
    with pytest.raises(OptionError, match="--fixmatch is for classes"):
        study.check()
