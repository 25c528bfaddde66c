"""FixMatch: its formula, and that it learns from images without labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from small_store import make_recipe, make_tensors
from tassl.checkpoint import build_encoder
from tassl.data.tensors import Tensors
from tassl.errors import OptionError
from tassl.heads.classifier import Classifier
from tassl.heads.segmenter import Segmenter
from tassl.modality.base import Augmentation
from tassl.study.choices import make_study
from tassl.transforms.augment import Augment
from tassl.transforms.draws import seeded
from tassl.trials import list_arms
from tassl.trials.fixmatch import PASTED, FixMatch, consistency, paste_blocks
from tassl.trials.targets.masks import Masks


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


def dense(tensors: Tensors) -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(build_encoder(make_recipe(tensors, "unet")), None, 2)


def test_every_sure_pixel_is_taught_and_no_other():
    rng = torch.Generator().manual_seed(0)
    guesses = (4 * torch.randn(2, 3, 4, 5, generator=rng)).softmax(1)
    scores = torch.randn(2, 3, 4, 5, generator=rng)
    total = 0.0
    for image in range(2):
        for place in np.ndindex(4, 5):
            guess, score = (
                guesses[(image, slice(None), *place)],
                scores[(image, slice(None), *place)],
            )
            if float(guess.max()) >= 0.95:
                total -= float(score.log_softmax(0)[int(guess.argmax())])
    assert float(consistency(guesses, scores)) == pytest.approx(total / 40, rel=1e-5)


def test_blocks_carry_their_guesses_along():
    images = torch.arange(4.0).view(-1, 1, 1, 1).expand(4, 1, 16, 18)
    guesses = torch.cat([images, -images], 1)
    mixed, told = paste_blocks(images, guesses, seeded(0))
    assert torch.equal(torch.cat([mixed, -mixed], 1), told)
    assert mixed[0].unique().tolist() == [0.0, 3.0]
    taken = (mixed != images).flatten(1).float().mean(1)
    assert (taken <= PASTED + 0.1).all()
    assert taken.max() > 0


def test_pixels_stay_where_they_were_guessed(tmp_path: Path):
    tensors = make_tensors(tmp_path)
    images = tensors.images(np.arange(4))
    still = Masks().strong_views(Augmentation(
        crop=0.3, rotate_degrees=30, flip_lr=0.5, flip_ud=0.5, quarter_turns=0.5, elastic=0.05,
        cutout=0.5,
    ))  # fmt: skip
    assert torch.allclose(Augment(still)(images, seeded(0)), images, atol=1e-4)
    assert Masks().strong_views(Augmentation(noise=0.5)).noise == 0.5


def test_masks_are_learnt_from_images_without_any(tmp_path: Path):
    """A head that is sure of what it sees is taught it under noise; nothing else is moved."""
    tensors = make_tensors(tmp_path)
    head = dense(tensors)
    with torch.no_grad():
        head.head.bias.copy_(torch.tensor([9.0, 0.0]))
    more = FixMatch(
        tensors, np.arange(24), Augment(Augmentation()), Augment(Augmentation(noise=0.5)), batch=8
    )
    first, again = (more(head, seeded(1, 0)) for _ in range(2))
    assert torch.equal(first, again)
    first.backward()
    assert all(weight.grad is not None for weight in head.parameters())


def test_it_is_a_baseline_that_must_be_asked_for():
    assert "fixmatch" not in {arm.name for arm in list_arms("classification", [])}
    (arm,) = (a for a in list_arms("classification", [], fixmatch=True) if a.semi)
    assert (arm.name, arm.method, arm.adaptation) == ("fixmatch", "", "finetune")


def test_it_is_refused_where_there_are_no_classes():
    study = make_study("images", modality="mri", task="regression", fixmatch=True)
    with pytest.raises(OptionError, match="--fixmatch is for classes"):
        study.check()
