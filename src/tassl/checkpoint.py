"""Checkpoints: weights as safetensors, and a JSON side-car that tells how to use them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tassl.data.files import write_atomically, write_json
from tassl.data.tensors import Normalisation
from tassl.errors import InputError
from tassl.networks import NETWORKS
from tassl.networks.base import Encoder
from tassl.networks.decoder import Decoder
from tassl.registry import look_up

WEIGHTS, SIDECAR, FORMAT = "checkpoint.safetensors", "checkpoint.json", 1


@dataclass(frozen=True)
class Recipe:
    """All that is needed to rebuild the network and to prepare images for it.

    Args:
        network: Key in `NETWORKS`.
        dims: Spatial dimensions.
        channels: Channels of the images.
        network_options: Constructor options of the encoder.
        modality: Key in `MODALITIES`, which names the preprocessing.
        shape: Pixels of the images along each axis.
        spacing: Voxel size in mm, or None.
        normalisation: Mean and deviation per channel.
        method: Key in `METHODS`, or "" for random weights.
        method_options: Keyword options of the method.
        training: Epochs, batch size, rates, seed and data hash.
        decoder: Whether a decoder was trained along.
    """

    network: str
    dims: int
    channels: int
    network_options: dict[str, Any]
    modality: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...] | None
    normalisation: Normalisation
    method: str = ""
    method_options: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    decoder: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained encoder, its decoder if one was trained, and its recipe."""

    encoder: Encoder
    decoder: Decoder | None
    recipe: Recipe


def build_encoder(recipe: Recipe) -> Encoder:
    """Build the recipe's encoder with fresh weights from torch's current seed."""
    card = look_up(NETWORKS, recipe.network, "network")
    return card.load()(recipe.dims, recipe.channels, **recipe.network_options)


def save_checkpoint(
    folder: Path, encoder: Encoder, decoder: Decoder | None, recipe: Recipe
) -> None:
    """Write weights, then the side-car; the side-car's presence says that all is there."""
    state = _named(encoder, "encoder.")
    if decoder is not None:
        state |= _named(decoder, "decoder.")
    write_atomically(folder / WEIGHTS, lambda draft: save_file(state, draft))
    write_json(folder / SIDECAR, {"format": FORMAT, **asdict(recipe)})


def load_checkpoint(
    place: str | Path, *, channels: int | None = None, dims: int | None = None
) -> Checkpoint:
    """Load a checkpoint, for images with another number of channels if need be.

    Args:
        place: The folder, or the safetensors file in it.
        channels: Channels of the images at hand; weights of the first layer are summed over
            the old channels and shared among the new ones.
        dims: Spatial dimensions of the images at hand.

    Raises:
        InputError: The place holds no checkpoint, one that is damaged or one of other dimensions.
    """
    folder = Path(place)
    folder = folder.parent if folder.is_file() else folder
    for name in (SIDECAR, WEIGHTS):
        if not (folder / name).exists():
            raise InputError(
                f"{folder} holds no checkpoint ({name} is missing). "
                "Give a folder that 'tassl pretrain' wrote."
            )
    try:
        recipe = _read_recipe(json.loads((folder / SIDECAR).read_text()), folder)
        if dims and dims != recipe.dims:
            raise InputError(
                f"The checkpoint in {folder} is for {recipe.dims}D images; these are {dims}D. "
                f"Give one that was pretrained on {dims}D images."
            )
        state = load_file(folder / WEIGHTS)
        if channels and channels != recipe.channels:
            state, recipe = _change_channels(state, recipe, channels)
        return _rebuild(state, recipe)
    except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0].rstrip(":.")
        raise InputError(
            f"The checkpoint in {folder} is damaged ({type(error).__name__}: {reason}). "
            "Copy it again, or pretrain anew."
        ) from None


def _rebuild(state: dict[str, Tensor], recipe: Recipe) -> Checkpoint:
    with torch.random.fork_rng(devices=[]):
        encoder = build_encoder(recipe)
        decoder = Decoder(encoder) if recipe.decoder else None
    encoder.load_state_dict(_part(state, "encoder."))
    if decoder is not None:
        decoder.load_state_dict(_part(state, "decoder."))
    return Checkpoint(encoder, decoder, recipe)


def _named(module: torch.nn.Module, prefix: str) -> dict[str, Tensor]:
    return {prefix + k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}


def _part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _read_recipe(facts: dict[str, Any], folder: Path) -> Recipe:
    if facts.pop("format", None) != FORMAT:
        raise InputError(f"The checkpoint in {folder} is of another format; wanted {FORMAT}.")
    norm = facts["normalisation"]
    facts["normalisation"] = Normalisation(tuple(norm["mean"]), tuple(norm["deviation"]))
    facts["shape"] = tuple(facts["shape"])
    facts["spacing"] = tuple(facts["spacing"]) if facts["spacing"] else None
    return Recipe(**facts)


def _change_channels(
    state: dict[str, Tensor], recipe: Recipe, channels: int
) -> tuple[dict[str, Tensor], Recipe]:
    old = recipe.channels
    for key in ("encoder.stem.0.0.weight", "encoder.embed.weight", "decoder.last.0.0.weight"):
        if key in state:
            kept, image = state[key][:, :-old], state[key][:, -old:]
            shared = image.sum(1, keepdim=True) / channels
            wide = shared.expand(-1, channels, *[-1] * recipe.dims)
            state = state | {key: torch.cat([kept, wide], 1)}
    mean = sum(recipe.normalisation.mean) / old
    deviation = sum(recipe.normalisation.deviation) / old
    norm = Normalisation((mean,) * channels, (deviation,) * channels)
    return state, replace(recipe, channels=channels, normalisation=norm)
