"""Open data sets that tassl can fetch: the MedMNIST v2 sets, in all their sizes.

Addresses and MD5 sums are those of the `medmnist` package 3.0.2 (INFO), of the Zenodo record
10519652. Source: Yang et al., Sci Data 2023, arXiv:2110.14795.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from tassl.errors import OptionError


@dataclass(frozen=True)
class KnownSet:
    """An open data set.

    Args:
        modality: Key in `tassl.modality.MODALITIES`.
        task: Key in `tassl.heads.HEADS`.
        labels: What is labelled, as "9 classes".
        dims: Spatial dimensions.
        channels: Channels of each image.
        images: Number of images.
        licence: Terms of use.
        source: The data set that it was made from.
        files: Address and MD5 sum by pixels along a side.
    """

    modality: str
    task: str
    labels: str
    dims: int
    channels: int
    images: int
    licence: str
    source: str
    files: Mapping[int, Mapping[str, str]]

    def locate(self, size: int) -> tuple[str, str]:
        """Return address and MD5 sum of the file of this size.

        Raises:
            OptionError: The set does not come in this size.
        """
        if size not in self.files:
            sizes = ", ".join(map(str, self.files))
            raise OptionError(f"--size is {size}; this set comes in {sizes}. Choose one of these.")
        return self.files[size]["url"], self.files[size]["md5"]

    def megabytes(self, size: int) -> float:
        """MB of the images unpacked; the file is compressed, and so smaller."""
        return self.images * self.channels * size**self.dims / 1e6


@cache
def read_catalogue() -> dict[str, KnownSet]:
    """Read the known sets by name."""
    entries = json.loads((files("tassl.data") / "catalogue.json").read_text(encoding="utf-8"))
    return {name: _known_set(entry) for name, entry in entries.items()}


def _known_set(entry: dict) -> KnownSet:
    sizes = {int(size): file for size, file in entry.pop("files").items()}
    return KnownSet(**entry, files=sizes)
