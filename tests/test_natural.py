"""Natural-image weights as a baseline; weights here are random, so that no network is needed."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tassl.errors import InputError, OptionError, UnknownName
from tassl.networks import natural
from tassl.networks.natural import check_natural, load_natural
from tassl.trials import list_arms

NAMES = ("resnet10t", "vit_tiny_patch16_224")


def test_without_timm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(natural, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"pip install 'tassl\[natural\]'"):
        check_natural("resnet18")


def test_natural_arms_are_baselines():
    arms = list_arms("classification", ["mae"], ["resnet18=w.safetensors"])
    found = {arm.name: (arm.method, arm.adaptation) for arm in arms if arm.weights}
    assert found == {"resnet18 (frozen)": ("", "frozen"), "resnet18 (fine-tuned)": ("", "finetune")}


@pytest.fixture(scope="module", params=NAMES)
def spec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    timm = pytest.importorskip("timm", reason="timm is an extra: natural")
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_file(timm.create_model(request.param).state_dict(), file)
    return f"{request.param}={file}"


class TestWithTimm:
    @pytest.mark.parametrize("channels", [1, 2, 3])
    def test_maps_are_as_promised(self, spec: str, channels: int):
        encoder = load_natural(spec, channels, (64, 48)).eval()
        with torch.no_grad():
            maps = encoder.features(torch.randn(2, channels, 64, 48))
        assert tuple(level.shape[1] for level in maps) == encoder.widths
        assert all(max(level.shape[2:]) <= 64 for level in maps)
        assert list(encoder.strides) == sorted(encoder.strides)

    def test_one_channel_is_the_same_as_three_alike(self, spec: str):
        """But for the normalisation, which differs between the colours."""
        images = torch.randn(1, 1, 32, 32)
        one, three = (load_natural(spec, channels, (32, 32)).eval() for channels in (1, 3))
        three.mean, three.deviation = (torch.full((1, 3, 1, 1), v) for v in (0.45, 0.22))
        one.mean, one.deviation = (torch.full((1, 1, 1, 1), v) for v in (0.45, 0.22))
        with torch.no_grad():
            found, wanted = one(images), three(images.expand(1, 3, 32, 32))
        assert torch.allclose(found, wanted, atol=1e-3)

    def test_training_leaves_batch_statistics_alone(self, spec: str):
        encoder = load_natural(spec, 1, (32, 32)).train()
        before = {name: value.clone() for name, value in encoder.named_buffers()}
        encoder(torch.randn(2, 1, 32, 32)).sum().backward()
        assert all(torch.equal(before[name], value) for name, value in encoder.named_buffers())
        assert any(weight.grad is not None for weight in encoder.parameters())

    def test_every_weight_belongs_to_one_stage(self, spec: str):
        encoder = load_natural(spec, 1, (32, 32))
        held = [weight for stage in encoder.stages for weight in stage.parameters()]
        assert len(held) == len(set(held))
        assert len(encoder.stages) > 3

    def test_what_cannot_be_used_ends_in_one_line(self, spec: str, tmp_path: Path):
        name = spec.partition("=")[0]
        with pytest.raises(UnknownName, match="timm model"):
            check_natural("resnet1888")
        with pytest.raises(InputError, match="is not a file"):
            check_natural(f"{name}=missing.pth")
        with pytest.raises(OptionError, match="volumes"):
            load_natural(spec, 1, (32, 32, 32))
        broken = tmp_path / "broken.safetensors"
        broken.write_bytes(b"no weights")
        with pytest.raises(InputError, match="holds no weights"):
            load_natural(f"{name}={broken}", 1, (32, 32))
        other = tmp_path / "other.safetensors"
        save_file({"weight": torch.zeros(3)}, other)
        with pytest.raises(InputError, match=r"lacks \d+ of the"):
            load_natural(f"{name}={other}", 1, (32, 32))
        pickled = tmp_path / "objects.pth"
        pickled.write_bytes(pickle.dumps(Path("elsewhere"), protocol=2))
        with pytest.raises(InputError, match="holds no weights"):
            load_natural(f"{name}={pickled}", 1, (32, 32))

    def test_a_failed_download_ends_in_one_line(self, spec: str, monkeypatch: pytest.MonkeyPatch):
        import timm

        def fail(*args: object, **options: object) -> None:
            raise ConnectionError("no route\nto host")

        monkeypatch.setattr(timm, "create_model", fail)
        with pytest.raises(InputError, match=r"cannot be fetched \(ConnectionError: no route\)"):
            load_natural("resnet10t", 1, (32, 32))
