"""Spots that give a group away: burned-in text, markers, frames, blanked boxes.

Anatomy moves from subject to subject; what a scanner or a person draws stays where it is. So at
every pixel the share of images that are at full brightness there (or black) is compared between a
class, a side of the split or a site and the rest, with one image per subject.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.stats import norm

from tassl.data.audit.finding import Finding, count
from tassl.data.audit.groups import Kind, list_kinds, pick_independent
from tassl.data.audit.sketches import READ_AT_ONCE
from tassl.data.store import Store

CHECK = "markers"
FEWEST = 20  # images of a group
LEAST_GAP = 0.4  # between the shares of a group and of the rest
MARGIN = 0.02  # of its image's range: how near to an end a pixel must be
LEVEL = 0.001  # chance of one false alarm in a data set, after Bonferroni
ENDS = ("at full brightness", "black")
SAMPLE = 50  # images looked through for an example


@dataclass(frozen=True)
class Spot:
    """Connected pixels that are alike in one group and not in the others.

    Args:
        mask: Where it is, (*space).
        peak: The pixel that tells most.
        share: Share of the group's images at this end, at the peak.
        rest: The same of the other groups.
    """

    mask: np.ndarray
    peak: tuple[int, ...]
    share: float
    rest: float


def check_markers(store: Store, split: np.ndarray) -> list[Finding]:
    """Tell of spots that give a class, a side of the split or a site away."""
    rows = pick_independent(store.table, split)
    kinds = list_kinds(store.table.iloc[rows], split[rows], store.classes, FEWEST)
    tests = len(ENDS) * sum(len(kind.groups) for kind in kinds) * int(np.prod(store.grid.shape))
    limit = float(norm.isf(LEVEL / max(tests, 1)))
    findings = []
    for kind in kinds:
        shares, sizes = _measure_shares(store, rows, kind)
        told = np.zeros(store.grid.shape, dtype=bool)
        for end, place in product(range(len(ENDS)), range(len(kind.groups))):
            spot = find_spot(shares[end], sizes, place, limit)
            if spot and not np.any(spot.mask & told):  # bright in one is often black in another
                told |= spot.mask
                findings.append(_tell(store, rows, kind, place, end, spot))
    return findings


def find_spot(shares: np.ndarray, sizes: np.ndarray, place: int, limit: float) -> Spot | None:
    """Find where one group differs from the rest, by the test of two proportions.

    Args:
        shares: Of the images of each group that are at one end, (group, *space).
        sizes: Images of each group.
        place: The group.
        limit: Least standard score.
    """
    size, others = sizes[place], sizes.sum() - sizes[place]
    share = shares[place]
    total = np.tensordot(sizes, shares, 1)
    rest, pooled = (total - size * share) / others, total / sizes.sum()
    error = np.sqrt(pooled * (1 - pooled) * (1 / size + 1 / others))
    gap = share - rest
    telling = (gap >= LEAST_GAP) & (gap > limit * error)
    if not telling.any():
        return None
    peak = tuple(int(k) for k in np.unravel_index(np.where(telling, gap, 0).argmax(), gap.shape))
    parts: Any = ndimage.label(telling)[0]  # type: ignore[index]
    return Spot(parts == parts[peak], peak, float(share[peak]), float(rest[peak]))


def find_ends(images: np.ndarray) -> np.ndarray:
    """Which pixels are at the top, and which at the bottom, of their image's range.

    Args:
        images: (image, channel, *space).

    Returns:
        (2, image, *space) booleans.
    """
    space = tuple(range(1, images.ndim - 1))
    bright, dark = images.max(1), images.min(1)  # over channels: coloured text counts as bright
    top, bottom = bright.max(space, keepdims=True), dark.min(space, keepdims=True)
    margin = MARGIN * (top - bottom)
    return np.stack([(bright >= top - margin), (dark <= bottom + margin)]) & (top > bottom)


def _measure_shares(store: Store, rows: np.ndarray, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """Shares (end, group, *space) of the images at each end, and the size of each group."""
    member = (kind.number == np.arange(len(kind.groups))[:, None]).astype(np.float32)
    totals = np.zeros((len(ENDS), len(member), *store.grid.shape), np.float32)
    step = max(1, READ_AT_ONCE // (store.channels * int(np.prod(store.grid.shape))))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        ends = find_ends(store.images[rows[part]])
        totals += np.stack([np.tensordot(member[:, part], end, 1) for end in ends])
    sizes = member.sum(1)
    return totals / sizes.reshape(-1, *[1] * store.dims), sizes


def _tell(store: Store, rows: np.ndarray, kind: Kind, place: int, end: int, spot: Spot) -> Finding:
    pair = [
        _example(store, rows[inside][:SAMPLE], end, spot.peak, wanted)
        for inside, wanted in (
            (kind.number == place, True),
            ((kind.number >= 0) & (kind.number != place), False),
        )
    ]
    centre = ", ".join(
        f"{100 * (where.mean() + 0.5) / size:.0f}%"
        for where, size in zip(np.nonzero(spot.mask), store.grid.shape, strict=True)
    )
    return Finding(
        CHECK,
        "warning",
        f"A spot of {count(int(spot.mask.sum()), 'pixel')} around ({centre}) of the image is "
        f"{ENDS[end]} in {spot.share:.0%} of the images of {kind.name} {kind.groups[place]} and "
        f"in {spot.rest:.0%} of the others",
        "A marker, text or frame gives the answer away: look at the pair, then crop or blank it "
        "in every image.",
        pictures=(tuple(pair),),
    )


def _example(store: Store, rows: np.ndarray, end: int, peak: tuple[int, ...], wanted: bool) -> str:
    """Id of the first image that is, or is not, at this end at the peak."""
    there = find_ends(store.images[rows])[(end, slice(None), *peak)]
    return str(store.table.id.iloc[rows[int((there == wanted).argmax())]])
