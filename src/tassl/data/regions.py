"""Regions of masks: named unions of classes, which may lie inside one another.

The regions that a pixel is part of are bits of one number, its code: the first region is bit 0.

Source: Isensee et al., BrainLes 2020, arXiv:2011.00848 (region-based training).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tassl.errors import InputError, OptionError

MOST = 8  # bits of a code
EXAMPLE = '"whole=1+2+3,core=2+3"'


def parse_regions(text: str) -> dict[str, tuple[str, ...]]:
    """Read names of regions, and the classes that each joins, as they are written.

    Args:
        text: As in "whole=1+2+3,core=2+3".

    Raises:
        OptionError: It is not of this form, or a name stands twice.
    """
    regions: dict[str, tuple[str, ...]] = {}
    for part in text.split(","):
        name, equals, joined = part.partition("=")
        name, classes = name.strip(), tuple(own.strip() for own in joined.split("+"))
        if not (name and equals and all(classes)):
            raise OptionError(f"--regions {text!r}: {part!r} came; wanted NAME=CLASS+CLASS, as in "
                              f"{EXAMPLE}.")  # fmt: skip
        if name in regions:
            raise OptionError(f"--regions {text!r} names {name!r} twice. Join its classes with +.")
        regions[name] = classes
    return regions


def find_values(
    regions: Mapping[str, Sequence[int | str]], values: Sequence[int], names: Sequence[str] = ()
) -> dict[str, tuple[int, ...]]:
    """The values of masks that each region joins.

    Args:
        regions: Classes of each region: numbers as the data set gives them, of which some may be in
            no mask, or numbers and names as a user wrote them; none where masks hold codes.
        values: All that the masks hold, rising.
        names: Of these values; () where they have none.

    Raises:
        InputError: A class that was written is the background or in no mask, or there are too many
            regions.
    """
    if len(regions) > MOST:
        raise InputError(f"{len(regions)} regions came; wanted at most {MOST}. Leave some out.")
    if not any(regions.values()):
        return {
            name: tuple(value for value in values if value >> bit & 1)
            for bit, name in enumerate(regions)
        }
    numbers = {str(value): value for value in values if value}
    named = {name: value for name, value in zip(names, values, strict=False) if value} | numbers
    for region, classes in regions.items():
        for own in classes:
            if isinstance(own, str) and own not in named:
                raise InputError(
                    f"Region {region!r} joins class {own!r}; the masks hold "
                    f"{_list_classes(numbers, named)}. Name those, as in --regions {EXAMPLE}."
                )
    return {
        name: tuple(sorted({named[own] if isinstance(own, str) else own for own in classes}))
        for name, classes in regions.items()
    }


def list_codes(regions: Mapping[str, Sequence[int]], values: Sequence[int]) -> np.ndarray:
    """Code of each class of a mask, (class,) uint8.

    Args:
        regions: Values of masks that each region joins.
        values: Value that each class stands for.
    """
    joined = [[value in own for own in regions.values()] for value in values]
    return np.array(joined, dtype=np.uint8).reshape(len(values), len(regions)) @ bits(len(regions))


def split_codes(codes: np.ndarray, count: int) -> np.ndarray:
    """Whether each pixel is part of each region, (region, ...) from codes (...)."""
    return (codes[None] & bits(count).reshape(-1, *[1] * codes.ndim)) > 0


def stack_regions(masks: Iterable[np.ndarray]) -> np.ndarray:
    """Codes of pixels from a mask per region: whatever is not zero is part of it."""
    parts = np.stack([mask != 0 for mask in masks])
    return np.tensordot(bits(len(parts)), parts.astype(np.uint8), 1)


def bits(count: int) -> np.ndarray:
    """The code of each region alone, (region,) uint8."""
    return (1 << np.arange(count)).astype(np.uint8)


def _list_classes(numbers: Mapping[str, int], named: Mapping[str, int]) -> str:
    """The classes that are there: "1 (Anterior), 2 (Posterior)"."""
    titles = {value: name for name, value in named.items() if name not in numbers}
    told = [f"{n} ({titles[v]})" if v in titles else n for n, v in numbers.items()]
    return ", ".join(told) or "none"
