"""The first pass: look at every image, and learn what all must agree on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tassl.data.readers import is_grey
from tassl.data.store.rows import Row, Sample, read_row
from tassl.data.store.signature import hash_pixels
from tassl.errors import InputError, UnreadableFile

MOST_SAMPLED = 2**16  # pixels of an image that its percentiles are taken from
MOST_VALUES = 32  # classes of masks
NAMED = 3  # bad pairs that an error names
HOLES = "some pixels hold no finite number: they count as the darkest, +inf as the brightest"


@dataclass(frozen=True)
class Look:
    """What is seen of one image in its file.

    Args:
        reason: Why it is set aside, "" where it can be used.
        refusal: Why the whole run must stop, "" where it need not.
        shape: Of its space.
        spacing: Voxel size in mm, None where unknown.
        channels: How many it has.
        grey: Whether all of them hold the same.
        dtype: Type of its values.
        digest: Hash of its pixels.
        mask_digest: Hash of its mask, "" where it has none.
        values: Class numbers in its mask.
        percentiles: 1, 50 and 99, in the file's own units.
        notes: What its reader did to the pixels.
    """

    reason: str = ""
    refusal: str = ""
    shape: tuple[int, ...] = ()
    spacing: tuple[float, ...] | None = None
    channels: int = 0
    grey: bool = False
    dtype: str = ""
    digest: str = ""
    mask_digest: str = ""
    values: tuple[int, ...] = ()
    percentiles: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()


def look_at_rows(root: Path, marks: str, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Read rows and say of each the fields of a `Look`."""
    return [asdict(_look_at(root, marks, row)) for row in rows]


def recall_look(facts: dict[str, Any]) -> Look:
    """Make a look from its fields as JSON gives them back."""
    tuples = {k: tuple(v) for k, v in facts.items() if isinstance(v, list)}
    return replace(Look(**facts), **tuples)


def count_channels(looks: Sequence[Look]) -> int:
    """Channels of the store: as most colour images have; 1 where no image holds colour."""
    colour = Counter(look.channels for look in looks if not _looks_grey(look))
    if not colour:
        return 1
    return max(colour, key=lambda channels: (colour[channels], channels))


def set_channels_aside(looks: Sequence[Look]) -> list[Look]:
    """Set images aside whose channels are neither one nor as many as those of most others."""
    most = count_channels([look for look in looks if not look.reason])
    return [
        look
        if look.reason or most == 1 or look.channels in (1, most)
        else replace(look, reason=f"has {look.channels} channels, most others {most}")
        for look in looks
    ]


def check_looks(looks: Sequence[Look], files: Sequence[str], root: Path) -> None:
    """Refuse what can only be a mix-up.

    Raises:
        InputError: Nothing can be read, dimensions are mixed, a mask has another shape than its
            image, or masks hold more values than there can be classes.
    """
    if refusals := [look.refusal for look in looks if look.refusal]:
        more = f" {len(refusals) - NAMED} more pairs are like this." * (len(refusals) > NAMED)
        raise InputError(" ".join(refusals[:NAMED]) + more)
    usable = [look for look in looks if not look.reason]
    if not usable:
        pairs = zip(files[:NAMED], looks, strict=False)
        reasons = "; ".join(f"{file}: {look.reason}" for file, look in pairs)
        raise InputError(f"No image of {root} can be read. {reasons}")
    if len(kinds := {len(look.shape) for look in usable}) > 1:
        raise InputError(
            f"{root} mixes images of {sorted(kinds)} dimensions; wanted all 2D or all 3D."
        )
    if len(values := {value for look in usable for value in look.values}) > MOST_VALUES:
        raise InputError(
            f"The masks hold {len(values)} distinct values; wanted at most {MOST_VALUES} "
            "class numbers. Were they saved as JPEG? Save label maps without loss."
        )


def _look_at(root: Path, marks: str, row: Row) -> Look:
    try:
        return _describe(read_row(root, row, marks))
    except UnreadableFile as error:
        return Look(reason=str(error))
    except InputError as error:
        return Look(refusal=str(error))


def _describe(sample: Sample) -> Look:
    pixels, mask = sample.picture.pixels, sample.mask
    return Look(
        shape=pixels.shape[1:],
        spacing=sample.picture.spacing,
        channels=len(pixels),
        grey=is_grey(pixels),
        dtype=str(pixels.dtype),
        digest=hash_pixels(pixels),
        mask_digest="" if mask is None else hash_pixels(mask),
        values=() if mask is None else tuple(np.unique(mask).tolist()),
        percentiles=_measure_percentiles(pixels),
        notes=(*sample.picture.notes, *([] if np.isfinite(pixels).all() else [HOLES])),
    )


def _measure_percentiles(pixels: np.ndarray) -> tuple[float, ...]:
    sampled = pixels.reshape(-1)[:: max(1, pixels.size // MOST_SAMPLED)].astype(np.float64)
    known = sampled[np.isfinite(sampled)]
    if not known.size:  # the few finite pixels were not met
        known = pixels[np.isfinite(pixels)].astype(np.float64)
    return tuple(np.percentile(known, (1, 50, 99)).tolist())


def _looks_grey(look: Look) -> bool:
    """Grey, also where it was saved as colour; channels of a volume that agree stay apart."""
    return look.channels == 1 or (look.grey and look.channels == 3)
