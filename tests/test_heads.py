"""The contract of every head, and the linear probe."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tassl.heads import HEADS, probe
from tassl.heads.base import Head
from tassl.heads.probe import fit_probe
from tassl.heads.restorer import Restorer
from tassl.heads.segmenter import Segmenter
from tassl.networks import NETWORKS
from tassl.networks.decoder import Decoder
from tassl.transforms.acquired import Measurement
from tassl.transforms.degrading import Noise

CLASSES, BATCH = {"classification": 3, "segmentation": 3, "regression": 1, "reconstruction": 1}, 4


@pytest.fixture(params=[2, 3], ids=["2d", "3d"])
def dims(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(params=list(HEADS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def head(name: str, dims: int) -> Head:
    torch.manual_seed(0)
    network = NETWORKS[HEADS[name].network].load()
    return HEADS[name].load()(network.sized(dims, 1, (16,) * dims), None, CLASSES[name])


@pytest.fixture
def images(dims: int) -> torch.Tensor:
    return torch.randn(BATCH, 1, *(16,) * dims, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def target(head: Head, images: torch.Tensor) -> torch.Tensor:
    drawn = torch.Generator().manual_seed(0)
    if isinstance(head, Restorer):
        return torch.randn(images.shape, generator=drawn)
    shape = (BATCH, *images.shape[2:]) if head.dense else (BATCH,)
    if head.classes == 1:
        return torch.randn(shape, generator=drawn)
    return torch.randint(0, head.classes, shape, generator=drawn)


@pytest.fixture
def given(head: Head, images: torch.Tensor):
    """What the loss takes: images, or for restoring what was measured of them."""
    if isinstance(head, Restorer):
        return Measurement(images, torch.zeros_like(images), Noise(0.5))
    return images


class TestContract:
    def test_loss_is_a_finite_scalar(self, head: Head, given, target):
        loss = head.loss(given, target)
        assert loss.shape == ()
        assert torch.isfinite(loss)

    def test_every_parameter_gets_gradient(self, head: Head, given, target):
        head.loss(given, target).backward()
        silent = [
            name
            for name, weight in head.named_parameters()
            if weight.grad is None or not weight.grad.abs().sum() > 0
        ]
        assert silent == []

    def test_predictions(self, head: Head, images):
        with torch.no_grad():
            found = head.predict(images)
        space = images.shape[2:] if head.dense else ()
        assert found.shape == (BATCH, head.classes, *space)
        assert found.dtype == torch.float32
        if head.classes > 1:
            assert (found >= 0).all()
            assert torch.allclose(found.sum(1), torch.ones(()), atol=1e-5)

    def test_a_few_steps_lower_the_loss(self, head: Head, given, target):
        first = head.loss(given, target).item()
        optimiser = torch.optim.AdamW(head.parameters(), lr=3e-3)
        for _ in range(8):
            optimiser.zero_grad()
            loss = head.loss(given, target)
            loss.backward()
            optimiser.step()
        assert head.loss(given, target).item() < first

    def test_card_names_what_exists(self, name: str):
        from tassl.evaluation.metrics import METRICS

        card = HEADS[name]
        assert set(card.metrics) <= set(METRICS)
        assert card.network in NETWORKS
        assert card.unit.startswith("subjects")
        assert card.load().dense == (card.target in ("mask", "image"))


def test_segmenter_starts_from_the_decoder_given():
    encoder = NETWORKS["unet"].load().sized(2, 1, (16, 16))
    decoder = Decoder(encoder)
    assert HEADS["segmentation"].load()(encoder, decoder, 2).decoder is decoder


def test_segmenter_learns_from_an_empty_mask():
    encoder = NETWORKS["unet"].load().sized(2, 1, (16, 16))
    head = HEADS["segmentation"].load()(encoder, None, 2)
    loss = head.loss(torch.randn(2, 1, 16, 16), torch.zeros(2, 16, 16, dtype=torch.int64))
    loss.backward()
    assert torch.isfinite(loss)


class TestProbe:
    @staticmethod
    def blobs(subjects: int, images: int = 1, classes: int = 2, seed: int = 0):
        rng = np.random.default_rng(seed)
        labels = np.repeat(np.arange(subjects) % classes, images)
        names = np.repeat([f"s{k}" for k in range(subjects)], images)
        features = rng.normal(0, 1, (len(labels), 6)) + 3 * np.eye(6)[labels]
        return features, labels, names

    def test_learns(self):
        features, labels, subjects = self.blobs(40, classes=3)
        model = fit_probe(features, labels, subjects, 0)
        assert (model.predict(features) == labels).mean() > 0.9
        assert model.predict_proba(features).sum(1) == pytest.approx(1)

    def test_one_image_per_class(self):
        features, labels, subjects = self.blobs(2)
        model = fit_probe(features, labels, subjects, 0)
        assert (model.predict(features) == labels).all()

    @pytest.mark.parametrize("subjects", [4, 7, 30])
    def test_no_subject_stands_in_two_folds(self, subjects: int, monkeypatch: pytest.MonkeyPatch):
        features, labels, names = self.blobs(subjects, images=5)
        seen = []

        def spy(features, labels, parts, strength):
            seen.extend(parts)
            return strength

        monkeypatch.setattr(probe, "_loss", spy)
        fit_probe(features, labels, names, 0)
        assert seen
        assert all(set(names[train]).isdisjoint(names[test]) for train, test in seen)

    def test_strength_is_chosen_by_subject(self):
        """Images that give away their subject, and labels that are noise: strength must be low."""
        rng = np.random.default_rng(0)
        names = np.repeat([f"s{k}" for k in range(40)], 6)
        labels = np.repeat(rng.permutation(np.arange(40) % 2), 6)
        features = np.repeat(rng.normal(0, 1, (40, 30)), 6, axis=0)
        features += rng.normal(0, 0.01, features.shape)
        chosen = fit_probe(features, labels, names, 0)[-1].C
        leaky = fit_probe(features, labels, np.arange(len(names)).astype(str), 0)[-1].C
        assert chosen < leaky

    def test_seeded(self):
        features, labels, subjects = self.blobs(30)
        first, again = (fit_probe(features, labels, subjects, 3) for _ in range(2))
        assert np.array_equal(first[-1].coef_, again[-1].coef_)


def test_a_segmenter_starts_at_the_prevalence_of_its_classes():
    head = Segmenter(NETWORKS["unet"].load().sized(2, 1, (16, 16)), None, 3)
    target = torch.zeros(4, 16, 16, dtype=torch.long)
    target[0, :2] = 1
    head.prime(target)
    chances = head.head.bias.detach().softmax(0)
    counts = torch.tensor([993.0, 33.0, 1.0])  # one more each, for the class that is absent
    assert torch.allclose(chances, counts / counts.sum())
