"""What is saved comes back; what is damaged is refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from small_store import OPTIONS, SPACES
from tassl.checkpoint import Checkpoint, Recipe, build_encoder, load_checkpoint, save_checkpoint
from tassl.data.tensors import Normalisation
from tassl.errors import InputError
from tassl.networks import NETWORKS
from tassl.networks.decoder import Decoder
from tassl.transforms.draws import seeded

every_network = pytest.mark.parametrize(
    ("network", "dims"), [(name, dims) for name, card in NETWORKS.items() for dims in card.dims]
)


def save(folder: Path, network: str = "cnn", dims: int = 2, channels: int = 1) -> Checkpoint:
    recipe = Recipe(
        network=network,
        dims=dims,
        channels=channels,
        network_options=OPTIONS[network],
        modality="ct",
        shape=SPACES[dims],
        spacing=(1.5,) * dims if dims == 3 else None,
        normalisation=Normalisation((0.25,) * channels, (2.0,) * channels),
        method="mae",
        method_options={"ratio": 0.6, "block": 4},
        training={"epochs": 3, "seed": 1},
        decoder=True,
    )
    torch.manual_seed(1)
    encoder = build_encoder(recipe)
    decoder = Decoder(encoder)
    save_checkpoint(folder, encoder, decoder, recipe)
    return Checkpoint(encoder, decoder, recipe)


def run(checkpoint: Checkpoint, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Feature vectors and decoded maps of raw images."""
    norm, shape = checkpoint.recipe.normalisation, (1, -1, *[1] * (pixels.dim() - 2))
    images = (pixels - torch.tensor(norm.mean).view(shape)) / torch.tensor(norm.deviation).view(
        shape
    )
    assert checkpoint.decoder is not None
    with torch.no_grad():
        maps = checkpoint.encoder.features(images)
        return checkpoint.encoder(images), checkpoint.decoder(maps, images)


def draw(dims: int, channels: int) -> Tensor:
    return torch.randn(2, channels, *SPACES[dims], generator=seeded(0))


@every_network
def test_round_trip_gives_equal_outputs(tmp_path, network, dims):
    saved = save(tmp_path, network, dims)
    loaded = load_checkpoint(tmp_path)
    assert loaded.recipe == saved.recipe
    for before, after in zip(run(saved, draw(dims, 1)), run(loaded, draw(dims, 1)), strict=True):
        assert torch.equal(before, after)


def test_the_file_itself_is_a_place_too(tmp_path):
    saved = save(tmp_path)
    loaded = load_checkpoint(str(tmp_path / "checkpoint.safetensors"))
    assert torch.equal(run(saved, draw(2, 1))[0], run(loaded, draw(2, 1))[0])


def test_without_a_decoder_there_is_none(tmp_path):
    saved = save(tmp_path)
    recipe = Recipe(**{**vars(saved.recipe), "decoder": False})
    save_checkpoint(tmp_path, saved.encoder, None, recipe)
    assert load_checkpoint(tmp_path).decoder is None


def test_folder_holds_weights_and_side_car_only(tmp_path):
    save(tmp_path)
    assert sorted(f.name for f in tmp_path.iterdir()) == [
        "checkpoint.json",
        "checkpoint.safetensors",
    ]


def test_loading_leaves_random_numbers_alone(tmp_path):
    save(tmp_path)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_checkpoint(tmp_path)
    assert torch.equal(torch.rand(3), expected)


@every_network
def test_grey_images_repeated_over_channels_give_the_same_output(tmp_path, network, dims):
    saved = save(tmp_path, network, dims, channels=1)
    loaded = load_checkpoint(tmp_path, channels=3)
    assert loaded.encoder.channels == loaded.recipe.channels == 3
    assert loaded.recipe.normalisation == Normalisation((0.25,) * 3, (2.0,) * 3)
    grey = draw(dims, 1)
    wide = grey.expand(-1, 3, *[-1] * dims)
    for before, after in zip(run(saved, grey), run(loaded, wide), strict=True):
        torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-4)


@every_network
def test_colour_weights_read_grey_images_as_equal_channels(tmp_path, network, dims):
    saved = save(tmp_path, network, dims, channels=3)
    loaded = load_checkpoint(tmp_path, channels=1)
    grey = draw(dims, 1)
    wide = grey.expand(-1, 3, *[-1] * dims)
    for before, after in zip(run(saved, wide), run(loaded, grey), strict=True):
        torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-4)


def test_dimensions_of_another_kind_are_refused(tmp_path):
    save(tmp_path, dims=3)
    assert load_checkpoint(tmp_path, dims=3).recipe.dims == 3
    with pytest.raises(InputError, match="is for 3D images; these are 2D"):
        load_checkpoint(tmp_path, dims=2)


def cut_weights(folder: Path) -> None:
    file = folder / "checkpoint.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def change_side_car(folder: Path, **changes: object) -> None:
    file = folder / "checkpoint.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def drop_fact(folder: Path) -> None:
    file = folder / "checkpoint.json"
    facts = json.loads(file.read_text())
    del facts["normalisation"]
    file.write_text(json.dumps(facts))


DAMAGES = {
    "no folder": (shutil.rmtree, "holds no checkpoint .checkpoint.json is missing"),
    "no side-car": (lambda f: (f / "checkpoint.json").unlink(), "checkpoint.json is missing"),
    "no weights": (
        lambda f: (f / "checkpoint.safetensors").unlink(),
        "checkpoint.safetensors is missing",
    ),
    "cut weights": (cut_weights, "is damaged"),
    "empty weights": (lambda f: (f / "checkpoint.safetensors").write_bytes(b""), "is damaged"),
    "cut side-car": (lambda f: (f / "checkpoint.json").write_text('{"format": 1,'), "is damaged"),
    "side-car of another kind": (lambda f: (f / "checkpoint.json").write_text("[]"), "is damaged"),
    "missing fact": (drop_fact, "is damaged"),
    "strange fact": (lambda f: change_side_car(f, colour="red"), "is damaged"),
    "other network": (
        lambda f: change_side_car(f, network="vit", network_options={}),
        "is damaged",
    ),
    "other format": (lambda f: change_side_car(f, format=99), "another format; wanted 1"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused_in_one_line(tmp_path, damage):
    folder = tmp_path / "run"
    save(folder)
    harm, words = DAMAGES[damage]
    harm(folder)
    with pytest.raises(InputError, match=words) as caught:
        load_checkpoint(folder)
    message = str(caught.value)
    assert str(folder) in message
    assert "\n" not in message
    assert len(message) < 400
