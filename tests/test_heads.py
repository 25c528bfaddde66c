"""The contract of every head, and the linear probe."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tassl.evaluation.detection import OVERLAPS, match_boxes
from tassl.heads import HEADS, probe
from tassl.heads.base import Head
from tassl.heads.probe import fit_probe
from tassl.heads.restorer import Restorer
from tassl.heads.segmenter import Segmenter
from tassl.networks import NETWORKS
from tassl.networks.decoder import Decoder
from tassl.transforms.acquired import Measurement
from tassl.transforms.degrading import Noise

CLASSES, BATCH = {"classification": 3, "multilabel": 3, "segmentation": 3, "regions": 3}, 4
CLASSES |= {"detection": 2}


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
    return HEADS[name].load()(network.sized(dims, 1, (16,) * dims), None, CLASSES.get(name, 1))


@pytest.fixture
def images(dims: int) -> torch.Tensor:
    return torch.randn(BATCH, 1, *(16,) * dims, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def target(name: str, head: Head, images: torch.Tensor) -> torch.Tensor:
    if name == "detection":  # every image has fewer boxes than the one before, the last none
        low = torch.rand(BATCH, 3, images.dim() - 2, generator=torch.Generator().manual_seed(0)) * 9
        boxes = torch.cat([torch.ones(BATCH, 3, 1), low, low + 6], 2)
        boxes[:, 1, 0] = 0
        return boxes.where((torch.arange(3) < torch.arange(3, -1, -1)[:, None])[..., None], -1)
    drawn = torch.Generator().manual_seed(0)
    if isinstance(head, Restorer):
        return torch.randn(images.shape, generator=drawn)
    shape = (BATCH, *images.shape[2:]) if head.dense else (BATCH,)
    if head.classes == 1:
        return torch.randn(shape, generator=drawn)
    if name == "multilabel":  # one answer is unknown
        answers = torch.randint(0, 2, (BATCH, head.classes), generator=drawn).float()
        return answers.index_put((torch.tensor(0), torch.tensor(1)), torch.tensor(torch.nan))
    most = 2**head.classes if name == "regions" else head.classes
    return torch.randint(0, most, shape, generator=drawn)


@pytest.fixture
def given(head: Head, images: torch.Tensor):
    """What the loss takes: images, or for restoring what was measured of them."""
    if isinstance(head, Restorer):
        return Measurement(images, torch.zeros_like(images), Noise(0.5))
    return images


def check_boxes(found: torch.Tensor, images: torch.Tensor) -> None:
    """(batch, box, score, class and corners), the surest first, filled up with class -1."""
    space = torch.tensor(images.shape[2:])
    assert found.shape[::2] == (BATCH, 2 + 2 * len(space))
    for boxes in found:
        known = boxes[boxes[:, 1] >= 0]
        low, high = known[:, 2:].chunk(2, 1)
        assert (low >= 0).all()
        assert (high <= space).all()
        assert (low < high).all()
        assert (known[:, 0].diff() <= 0).all()
        assert (boxes[len(known) :, 1] == -1).all()


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

    def test_predictions(self, name: str, head: Head, images):
        with torch.no_grad():
            found = head.predict(images)
        if HEADS[name].target == "boxes":
            return check_boxes(found, images)
        space = images.shape[2:] if head.dense else ()
        assert found.shape == (BATCH, head.classes, *space)
        assert found.dtype == torch.float32
        if head.classes > 1:
            assert (found >= 0).all()
            assert (found <= 1).all()
        if head.classes > 1 and name not in ("multilabel", "regions"):
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
        assert card.load().dense == (card.target in ("mask", "regions", "image"))


def test_a_detector_learns_to_find():
    """Bright squares on noise, of two sizes: the classes."""
    torch.manual_seed(0)
    encoder = NETWORKS["cnn"].load().sized(2, 1, (32, 30))
    head = HEADS["detection"].load()(encoder, None, 2)
    images, boxes = torch.randn(8, 1, 32, 30) * 0.3, torch.zeros(8, 2, 5)
    for k in range(8):
        for c, (side, corner) in enumerate([(6, 2 + k), (11, 15)]):
            boxes[k, c] = torch.tensor([c, corner, 3, corner + side, 3 + side])
            images[k, 0, corner : corner + side, 3 : 3 + side] += 3
    head.prime(boxes)
    torch.testing.assert_close(head.sizes, torch.tensor([[8.5, 8.5], [11.0, 11.0]]))
    optimiser = torch.optim.AdamW(head.parameters(), lr=3e-3)
    for _ in range(60):
        optimiser.zero_grad()
        head.loss(images, boxes).backward()
        optimiser.step()
    with torch.no_grad():
        found = head.predict(images)
    hits = [
        match_boxes(
            own[:2, 2:].numpy(), own[:2, 1].numpy(), truth[:, 1:].numpy(), truth[:, 0].numpy()
        )
        for own, truth in zip(found, boxes, strict=True)
    ]
    assert np.mean([hit[:, OVERLAPS.index(0.5)] for hit in hits]) > 0.8


@pytest.mark.parametrize("side", [2, 6, 12])
def test_every_box_is_learnt_by_an_anchor(side: int):
    encoder = NETWORKS["cnn"].load().sized(2, 1, (32, 32))
    head = HEADS["detection"].load()(encoder, None, 1)
    low = torch.tensor([[1.0, 2.0], [1.0, 18.5], [17.3, 3.1], [18.0, 17.0]])
    boxes = torch.cat([low, low + side], 1)
    head.prime(torch.cat([torch.zeros(4, 1), boxes], 1)[None])
    anchors = head.anchors((32, 32))
    match = head._match(boxes, torch.cat(anchors), [len(level) for level in anchors])
    assert set(match.tolist()) == {-1, 0, 1, 2, 3}


def test_anchors_are_as_large_as_boxes_along_each_axis():
    """The median at the finest level, of eight cells at most; never more than the largest."""
    encoder = NETWORKS["cnn"].load()(2, 1, widths=(8, 8, 8), stem=4)
    head = HEADS["detection"].load()(encoder, None, 1)
    sides = torch.tensor([[5.0, 30.0], [6.0, 40.0], [7.0, 80.0]])
    boxes = torch.cat([torch.zeros(3, 1), torch.ones(3, 2), 1 + sides], 1)
    head.prime(torch.cat([boxes, torch.full((1, 5), -1.0)])[None])
    most = sides.quantile(0.95, 0)
    wanted = torch.tensor([[6.0, 32.0], [most[0], 64.0], most.tolist()])
    torch.testing.assert_close(head.sizes, wanted)
    before = head.sizes.clone()
    head.prime(torch.full((1, 1, 5), -1.0))
    assert torch.equal(head.sizes, before)


def test_anchors_cover_the_image():
    encoder = NETWORKS["cnn"].load().sized(3, 1, (50, 17, 33))
    head = HEADS["detection"].load()(encoder, None, 1)
    maps = [m for m in encoder.features(torch.zeros(1, 1, 50, 17, 33)) if m.shape[2] <= 13]
    for level, anchors, stride in zip(maps, head.anchors((50, 17, 33)), head.strides, strict=True):
        assert len(anchors) == level[0, 0].numel()
        centres = (anchors[:, :3] + anchors[:, 3:]) / 2
        assert centres[0].tolist() == [stride / 2] * 3
        assert centres[1, 2] - centres[0, 2] == stride


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

        def spy(features, labels, weights, parts, strength):
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
