"""Small batches, small data and odd temperatures never break a method silently."""

from __future__ import annotations

import pytest
import torch

import tassl
from small_store import OPTIONS
from tassl.data.phantom import PhantomSpec, draw_cohort, save_npz
from tassl.errors import OptionError
from tassl.methods import METHODS
from tassl.methods.base import Batch
from tassl.methods.moco import MoCo
from tassl.modality.base import Augmentation
from tassl.networks import NETWORKS
from tassl.pretraining import fall_back
from tassl.transforms.augment import Augment
from tassl.transforms.draws import seeded

TEMPERED = ("simclr", "moco", "dense", "slices", "dino", "ibot")


def build(method: str, dims: int = 2, **options):
    encoder = NETWORKS["cnn"].load()(dims, 1, **OPTIONS["cnn"])
    return METHODS[method].load()(encoder, augment=Augment(Augmentation()), **options)


@pytest.mark.parametrize("method", METHODS)
def test_a_fallback_is_safe_with_less_and_sees_the_same_images(method):
    card = METHODS[method]
    if card.fallback:
        other = METHODS[card.fallback]
        assert other.smallest_batch < card.smallest_batch
        assert set(card.dims) <= set(other.dims)
        assert not other.known_failures
        assert not other.pretext, "it is degenerate in some modalities"
    assert fall_back(method, 1000) == method
    assert fall_back(method, 1000, card.smallest_batch) == method


def test_fallback_goes_as_far_as_it_has_to():
    assert fall_back("vicreg", 1000, 15) == "byol"
    assert fall_back("vicreg", 15) == "byol"
    assert fall_back("vicreg", 1000, 4) == "moco"
    assert fall_back("simclr", 7) == "moco"
    assert fall_back("simclr", 1000, 2) == "simclr", "nothing of its kind is safe"


@pytest.mark.parametrize("temperature", [0.0, -0.1, 0.001, 5.0, float("nan")])
@pytest.mark.parametrize("method", TEMPERED)
def test_temperatures_out_of_range_are_refused(method, temperature):
    with pytest.raises(OptionError, match=r"temperature of .* came; wanted 0.01 to 1.0"):
        build(method, max(METHODS[method].dims[0], 2), temperature=temperature)


@pytest.mark.parametrize("method", ["dino", "ibot"])
def test_the_teachers_temperature_is_guarded_too(method):
    with pytest.raises(OptionError, match="temperature of 0 came"):
        build(method, teacher_temperature=0)


def test_the_memory_holds_each_image_once_per_view():
    learner: MoCo = build("moco", queue=64)
    images = torch.randn(12, 1, 16, 16, generator=seeded(0))
    for step in range(20):
        rows = torch.randperm(12, generator=seeded(step))[:4]
        learner.loss(learner.views(Batch(images[rows], rows, seeded(step), rows // 2)))
        learner.after_step()
        held = learner.rows[learner.owners >= 0]
        assert held.bincount().max() == 2
        assert set(held.tolist()) >= set(rows.tolist())
        assert torch.equal(held // 2, learner.owners[learner.owners >= 0])
    assert len(held) == 24, "every image is remembered"


def test_a_fallback_is_said_aloud_and_bears_its_own_name(tmp_path, capsys):
    spec = PhantomSpec(subjects=20, images_per_subject=1, size=24, seed=3)
    data = save_npz(draw_cohort(spec), tmp_path / "cohort.npz")
    checkpoint = tassl.pretrain(
        data, method="simclr", modality="ultrasound", out=tmp_path / "run", batch=4, epochs=1
    )
    said = " ".join(capsys.readouterr().out.split())
    assert "SimCLR needs 8 images in a batch; MoCo is trained instead" in said
    assert checkpoint.recipe.method == "moco"
    assert [place.name for place in (tmp_path / "run" / "pretrain").iterdir()] == ["moco"]
