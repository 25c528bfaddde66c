"""Networks with weights from natural images, by timm: the baseline that a reviewer asks for.

Source: Raghu et al., NeurIPS 2019, arXiv:1902.07208; Woerner & Baumgartner, 2024,
arXiv:2408.08058 (fine-tuned ImageNet weights are hard to beat with few labels).
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from tassl.errors import InputError, OptionError, UnknownName
from tassl.networks.base import Encoder

GREY, SPREAD = 0.449, 0.226  # mean and deviation of ImageNet's pixels, over the three colours
LARGEST = 224  # pixels; also the size at which most weights were trained


class NaturalEncoder(Encoder):
    """A timm model as an encoder: images enlarged to the size that its weights are used to.

    Images come with zero mean and unit deviation. They are put where pixels of natural images
    lie, then normalised as the model was trained. Its first layer is summed over the colours
    where images have one channel. Batch statistics stay as they were.

    Args:
        model: A timm model that gives its maps, made for `channels`.
        channels: Channels of the images.
        space: Pixels of the images along each axis.
        size: Pixels of the model's images along each axis.
        mean: Mean that the model was trained with, per channel.
        deviation: Deviation that it was trained with, per channel.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        model: nn.Module,
        channels: int,
        space: tuple[int, ...],
        size: tuple[int, ...],
        mean: tuple[float, ...],
        deviation: tuple[float, ...],
    ) -> None:
        super().__init__()
        self.dims, self.channels, self.options = len(space), channels, {}
        self.model, self.size = model, size
        facts: Any = model.feature_info
        cells = [stride * max(space) / max(size) for stride in facts.reduction()]
        self.kept = [k for k, cell in enumerate(cells) if cell >= 1] or [len(cells) - 1]
        self.widths = tuple(facts.channels()[k] for k in self.kept)
        self.strides = tuple(max(2, round(cells[k])) for k in self.kept)
        for name, values in (("mean", mean), ("deviation", deviation)):
            evened = values if channels == len(values) else (sum(values) / len(values),) * channels
            self.register_buffer(name, torch.tensor(evened).view(1, -1, 1, 1), persistent=False)

    @classmethod
    def sized(cls, dims: int, channels: int, space: tuple[int, ...]) -> Self:
        """Not made by size alone: `load_natural` gives one."""
        raise NotImplementedError("an encoder with natural-image weights is made by load_natural")

    @property
    def stages(self) -> list[nn.Module]:
        """The model's own parts, blocks one by one."""
        parts = []
        for part in self.model.modules():
            listed = isinstance(part, nn.ModuleList | nn.Sequential)
            parts += part.children() if listed and len(part) > 1 else []
        return parts

    def train(self, mode: bool = True) -> Self:
        """Train, but leave the statistics of batch normalisation as they were."""
        super().train(mode)
        for part in self.model.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.eval()
        return self

    def features(self, images: Tensor) -> list[Tensor]:
        """The model's maps that are no finer than the images."""
        enlarged = F.interpolate(images, self.size, mode="bilinear")
        maps = self.model((enlarged * SPREAD + GREY - self.mean) / self.deviation)
        return [maps[k] for k in self.kept]


def load_natural(spec: str, channels: int, space: tuple[int, ...]) -> NaturalEncoder:
    """Load natural-image weights.

    Args:
        spec: Name of a timm model, whose weights are fetched once, or NAME=FILE with weights of
            that model in a safetensors or PyTorch file.
        channels: Channels of the images.
        space: Pixels of the images along each axis.

    Raises:
        InputError: The weights cannot be fetched or read, or are of another model.
        OptionError: timm is missing, it knows no such model, or images are volumes.
    """
    name, file = check_natural(spec)
    if len(space) != 2:
        raise OptionError("--natural is for 2D images; these are volumes. Leave it out.")
    import timm  # type: ignore[import-not-found]

    facts: Any = timm.get_pretrained_cfg(name)
    size = tuple(min(side, LARGEST) for side in facts.input_size[1:])
    changes: dict[str, Any] = {"in_chans": channels, "features_only": True, "pretrained": True}
    if facts.fixed_input_size:
        changes["img_size"] = size
    if file:
        state = _read(file)
        wanted = timm.create_model(name, num_classes=0).state_dict().keys()
        if missing := len(wanted - state.keys()):  # which timm would leave at random
            raise InputError(
                f"{file} lacks {missing} of the {len(wanted)} tensors of {name}. Give weights of "
                "that model, by timm's names."
            )
        changes["pretrained_cfg_overlay"] = {"state_dict": state}
    try:
        model = timm.create_model(name, **changes)
    except Exception as error:  # whatever timm, the hub or the network raise
        reason = (str(error).strip().splitlines() or [""])[0].rstrip(":.")
        told = f"{type(error).__name__}: {reason}"
        if file:
            raise InputError(
                f"{file} does not fit {name} ({told}). Give weights of that model."
            ) from None
        raise InputError(
            f"The weights of {name} cannot be fetched ({told}). Go online once, or give a file: "
            f"--natural {name}=FILE."
        ) from None
    return NaturalEncoder(model, channels, space, size, facts.mean, facts.std)


def check_natural(spec: str) -> tuple[str, Path | None]:
    """Name and file of a choice of natural-image weights, without loading them.

    Raises:
        InputError: The file is not there.
        OptionError: timm is missing, or knows no such model.
    """
    if find_spec("timm") is None:
        raise OptionError("--natural needs timm, which is not here: pip install 'tassl[natural]'.")
    import timm  # type: ignore[import-not-found]

    name, _, place = spec.partition("=")
    if not timm.is_model_pretrained(name):
        nearest = get_close_matches(name, timm.list_models(), n=3, cutoff=0)
        raise UnknownName("timm model", name, nearest)
    if place and not Path(place).is_file():
        raise InputError(f"{place} is not a file. Give weights as --natural {name}=FILE.")
    return name, Path(place) if place else None


def _read(file: Path) -> dict[str, Tensor]:
    """Weights by name, from safetensors or from a PyTorch file without other objects."""
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
        return state.get("state_dict", state) if isinstance(state, dict) else {}
    except (SafetensorError, UnpicklingError, OSError, RuntimeError, ValueError, EOFError) as error:
        raise InputError(
            f"{file} holds no weights that can be read ({type(error).__name__}). Give a "
            "safetensors file, or a PyTorch file of tensors alone."
        ) from None
