"""Nearly identical images of different subjects: saved anew, resized, brightened, shifted.

Candidates come from a perceptual fingerprint: the low frequencies of a small thumbnail, as in the
DCT hash pHash (Zauner 2010), but relative to the mean of the data set and not cut to bits, since
medical images of one kind share most of their low frequencies. A candidate is confirmed by the
correlation r of the two thumbnails, moved over each other: 1 - r must be at most 5% of what it is
for two images at random.

That limit was measured. Of copies in breastmnist and pneumoniamnist (28 pixels) 95% lie below 2%
(gamma 0.7), 3% (JPEG at quality 20), 5% (shift by 2 pixels), 6% (noise of 5% of the range) and 7%
(half the resolution); crops of 4% a side lie at 18% and are mostly missed. Of 12,570 candidates of
pneumoniamnist 0.1% lie below 7%; of pairs of different subjects in hc18 none lies below 5%. In
finely textured images a shift by part of a thumbnail pixel (2 of 128 pixels in hc18: 11%) goes
unseen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

from tassl.data.audit.duplicates import GUARDED
from tassl.data.audit.finding import Finding, count

CHECK = "near-duplicates"
FREQUENCIES = {2: 8, 3: 4}  # per axis: 63 numbers
LIKE = 0.8  # cosine of two fingerprints that are worth a closer look
NEAR = 0.05  # share of the usual unlikeness, 1 - r, that confirms
LEAST_USUAL = 0.03  # so that r above 0.998 counts in any case
PAIRS = 1000  # at random, to know what is usual
BLUR = 0.7  # thumbnail pixels, against noise and shifts by part of a pixel
REACH = 2  # thumbnail pixels that one image may be moved over the other
ROWS = 1024  # compared at a time: a block stays in the cache
MOST_PER_ROW = 16  # candidates of an image, on average

ADVICE = (
    "Look at the pairs: if they show the same, use --drop-near-duplicates to take the less guarded "
    "side out, or --subject where they are one subject's."
)
DROPPED = "The images on the less guarded side were taken out."
DOUBLE = "They weigh double; look whether that is meant."


@dataclass(frozen=True)
class NearDuplicate:
    """Two nearly identical images.

    Args:
        id: The one on the more guarded side of the split.
        split: Its side.
        other: The other one.
        other_split: Its side.
        likeness: Correlation of the two thumbnails.
    """

    id: str
    split: str
    other: str
    other_split: str
    likeness: float

    @property
    def crosses(self) -> bool:
        """Whether they stand on two sides of the split."""
        return self.split != self.other_split


def find_near_duplicates(
    table: pd.DataFrame, split: np.ndarray, thumbs: np.ndarray
) -> list[NearDuplicate]:
    """Find nearly identical images of different subjects, across the split first.

    Identical ones are `find_duplicates`'s; images of one subject are expected to look alike.

    Args:
        table: Columns id, subject, digest.
        split: Side of each row.
        thumbs: (row, *side).
    """
    same = np.column_stack([pd.factorize(table[name])[0] for name in ("subject", "digest")])
    pairs = find_candidates(thumbs, same)
    likeness, ids, found = compare_thumbs(thumbs, pairs), table.id.to_numpy(), []
    for k in np.flatnonzero(1 - likeness <= NEAR * usual_unlikeness(thumbs)):
        first, second = sorted(pairs[k], key=lambda row: -GUARDED[str(split[row])])
        names = str(ids[first]), str(split[first]), str(ids[second]), str(split[second])
        found.append(NearDuplicate(*names, round(float(likeness[k]), 3)))
    return sorted(found, key=lambda pair: (not pair.crosses, -pair.likeness, pair.id, pair.other))


def check_near_duplicates(
    table: pd.DataFrame, found: list[NearDuplicate], *, dropped: bool = False
) -> list[Finding]:
    """Tell of nearly identical images, across the split and within.

    Args:
        table: Columns id, label, findings.
        found: The pairs.
        dropped: Whether those on the less guarded side were taken out.
    """
    advice = DROPPED if dropped else ADVICE
    findings = [
        _tell(table, [p for p in found if p.crosses], "two sides", advice, "warning"),
        _tell(table, [p for p in found if not p.crosses], "one side", DOUBLE, "info"),
    ]
    return [finding for finding in findings if finding]


def _tell(
    table: pd.DataFrame, pairs: list[NearDuplicate], where: str, advice: str, severity: str
) -> Finding | None:
    if not pairs:
        return None
    labels = {
        row_id: (label, *findings)
        for row_id, label, findings in zip(table.id, table.label, table.findings, strict=True)
    }
    differ = [_differ(labels[p.id], labels[p.other]) for p in pairs]
    unlike = f", {sum(differ)} of them with different labels" if any(differ) else ""
    items = [
        f"{p.id} ({p.split}) ~ {p.other} ({p.other_split}), r {p.likeness:.3f}"
        + (", different labels" if other else "")
        for p, other in zip(pairs, differ, strict=True)
    ]
    return Finding(
        CHECK,
        severity,
        f"Nearly identical images on {where} of the split: {count(len(pairs), 'pair')}{unlike}",
        advice,
        tuple(items),
        tuple((p.id, p.other) for p in pairs),
    )


def _differ(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    """Whether any answer that both know is another."""
    return any(a != b and min(a, b) >= 0 for a, b in zip(first, second, strict=False))


def find_candidates(thumbs: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Rows of images that may be nearly identical, (pair, 2), the lower row first.

    All pairs are compared by matrix products, a block at a time, so none is missed and memory stays
    flat: 20,000 images take 3 seconds, 100,000 one to two minutes on one core. One of the two is
    also moved by a thumbnail pixel.

    Args:
        thumbs: (row, *side).
        same: (row, key): pairs that share a key are left out.
    """
    dims = thumbs.ndim - 1
    waves = _low_frequencies(thumbs, (0,) * dims)
    mean, spread = waves.mean(0), np.sqrt(np.maximum(waves.std(0), 1e-6))

    def fingerprint(shift: tuple[int, ...]) -> np.ndarray:
        marks = (_low_frequencies(thumbs, shift) - mean) / spread
        return marks / np.maximum(np.linalg.norm(marks, axis=1, keepdims=True), 1e-9)

    still, found = fingerprint((0,) * dims), []
    for shift in _half_of_shifts(dims):
        found += _compare_blocks(still, fingerprint(shift), same, halved=not any(shift))
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def compare_thumbs(thumbs: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Correlation of each pair of thumbnails, the best of all ways to move one over the other."""
    found = np.empty(len(pairs))
    width = (0, *[BLUR] * (thumbs.ndim - 1))
    for start in range(0, len(pairs), ROWS):
        part = pairs[start : start + ROWS].T
        found[start : start + ROWS] = _correlate(
            *(gaussian_filter(thumbs[rows], width) for rows in part)
        )
    return found


def usual_unlikeness(thumbs: np.ndarray) -> float:
    """Median of 1 - r over random pairs of images."""
    pairs = np.random.default_rng(0).integers(len(thumbs), size=(PAIRS, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    unlike = float(np.median(1 - compare_thumbs(thumbs, pairs))) if len(pairs) else 0.0
    return max(unlike, LEAST_USUAL)


def _low_frequencies(thumbs: np.ndarray, shift: tuple[int, ...]) -> np.ndarray:
    """Lowest DCT coefficients of moved thumbnails of unit deviation, no constant: (row, 63)."""
    dims, parts = thumbs.ndim - 1, []
    space, kept = tuple(range(1, dims + 1)), [slice(FREQUENCIES[dims])] * dims
    for start in range(0, len(thumbs), ROWS):
        images = thumbs[start : start + ROWS]
        images = _move(images / np.maximum(images.std(space, keepdims=True), 1e-6), shift)
        waves = np.asarray(dctn(images, axes=space, norm="ortho"))
        parts.append(waves[(slice(None), *kept)].reshape(len(images), -1)[:, 1:])
    return np.concatenate(parts)


def _half_of_shifts(dims: int) -> list[tuple[int, ...]]:
    """No shift, and one of every two opposite ones: the pair's other order is the opposite."""
    return [shift for shift in product((-1, 0, 1), repeat=dims) if shift >= (0,) * dims]


def _move(images: np.ndarray, shift: tuple[int, ...]) -> np.ndarray:
    """Move images by whole pixels; the edge is repeated."""
    for axis, (step, side) in enumerate(zip(shift, images.shape[1:], strict=True), start=1):
        images = images.take((np.arange(side) - step).clip(0, side - 1), axis)
    return images


def _compare_blocks(
    still: np.ndarray, moved: np.ndarray, same: np.ndarray, *, halved: bool
) -> Iterator[np.ndarray]:
    """Pairs of fingerprints that are alike; only those above the diagonal if halved."""
    for start in range(0, len(still), ROWS):
        band, pairs, likeness = still[start : start + ROWS], [], []
        for first in range(start if halved else 0, len(moved), ROWS):
            cosine = (band @ moved[first : first + ROWS].T).ravel()
            alike = np.flatnonzero(cosine > LIKE)
            rows, columns = np.divmod(alike, min(ROWS, len(moved) - first))
            pairs.append(np.column_stack([rows + start, columns + first]))
            likeness.append(cosine[alike])
        found, cosine = np.concatenate(pairs), np.concatenate(likeness)
        wanted = (same[found[:, 0]] != same[found[:, 1]]).all(1)
        if halved:
            wanted &= found[:, 0] < found[:, 1]
        found, cosine = found[wanted], cosine[wanted]
        spare = max(0, len(found) - MOST_PER_ROW * len(band))
        yield found[np.argpartition(cosine, spare)[spare:]] if spare else found


def _correlate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Best correlation of each pair (pair, *side) where they overlap, over all shifts."""
    best = np.full(len(first), -1.0)
    for shift in product(range(-REACH, REACH + 1), repeat=first.ndim - 1):
        a, b = (
            _unit(_cut(images, [way * step for step in shift]))
            for images, way in ((first, 1), (second, -1))
        )
        best = np.maximum(best, np.einsum("ij,ij->i", a, b))
    return best


def _cut(images: np.ndarray, shift: list[int]) -> np.ndarray:
    """What is left of images (image, *side) when another lies over them, moved by pixels."""
    sides = zip(shift, images.shape[1:], strict=True)
    return images[(slice(None), *[slice(max(n, 0), side + min(n, 0)) for n, side in sides])]


def _unit(images: np.ndarray) -> np.ndarray:
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
