"""Preprocessing that modalities share: fixed scales, robust scales, and where the patient is.

Images are (channel, *space) float32, fields and regions booleans (*space). Nothing here is random,
changes the shape, or fails on an image that is blank, tiny or holds values that are not finite.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull

MOST_SAMPLED = 2**17  # values that percentiles and histograms are taken from
COARSE = {2: 192, 3: 48}  # cells along the longest side where fields are looked for
FLAT = 1e-6  # in cells: faces that are parallel to a line, and rounding
SMALLEST_FIELD = 0.2  # share of the image; what is smaller is an object, not a field of view


def fill_missing(pixels: np.ndarray) -> np.ndarray:
    """Replace what is not finite: NaN and -inf by the lowest finite value, +inf by the highest."""
    finite = np.isfinite(pixels)
    if finite.all():
        return pixels
    known = pixels[finite] if finite.any() else np.zeros(1, pixels.dtype)
    low, high = known.min(), known.max()
    return np.nan_to_num(pixels, nan=low, neginf=low, posinf=high)


def scale_range(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Clip to [low, high] and scale to [0, 1], the same for every image."""
    return (np.clip(pixels, low, high) - low) / (high - low)


def scale_by_type(pixels: np.ndarray) -> np.ndarray:
    """Scale by the range of the type that the values were stored in, so that colours keep ratios.

    Whole numbers up to 255 are taken for 8 bits, up to 65,535 for 16 bits, and fractions up to 1
    for values that are scaled already.
    """
    pixels = fill_missing(pixels)
    highest = pixels.max()
    if highest > 255:
        return scale_range(pixels, 0, 65535)
    return scale_range(pixels, 0, 255 if highest > 1 or is_whole(pixels) else 1)


def clip_percentiles(
    pixels: np.ndarray, low: float = 0.5, high: float = 99.5, inside: np.ndarray | None = None
) -> np.ndarray:
    """Clip to two percentiles of the image, or of a region of it, and scale to [0, 1]."""
    pixels = fill_missing(pixels)
    values = sample(pixels) if inside is None else pixels[:, inside]
    bottom, top = map(float, np.percentile(values, (low, high)))
    return (np.clip(pixels, bottom, top) - bottom) / max(top - bottom, 1e-6)


def clip_channels(pixels: np.ndarray, low: float = 0.5, high: float = 99.5) -> np.ndarray:
    """Clip each channel to percentiles of its own and scale it to [0, 1]."""
    return np.stack([clip_percentiles(channel[None], low, high)[0] for channel in pixels])


def clear_outside(pixels: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Set what lies outside a region to zero."""
    return np.where(region, pixels, np.zeros((), pixels.dtype))


def is_whole(pixels: np.ndarray) -> bool:
    """Whether all values are whole numbers, as those of cameras and monitors are."""
    return bool((sample(pixels) % 1 == 0).all())


def sample(pixels: np.ndarray) -> np.ndarray:
    """Every n-th pixel along each axis of space, so that large images cost no more than small."""
    space = pixels.shape[1:]
    step = int(np.ceil((pixels.size / MOST_SAMPLED) ** (1 / len(space))))
    return pixels[(slice(None), *[slice(None, None, max(1, step))] * len(space))]


def threshold_otsu(values: np.ndarray) -> float:
    """The level that parts values into two classes with the least variance within them.

    Args:
        values: Of any shape, finite; a constant is its own threshold.

    Source:
        Otsu, IEEE Trans. SMC 1979, 10.1109/TSMC.1979.4310076, on 256 levels.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low
    levels = ((values - low) * (255 / (high - low))).astype(np.uint8)
    counts = np.bincount(levels.ravel(), minlength=256).astype(np.float64)
    below, moment = counts.cumsum(), (counts * np.arange(256)).cumsum()
    above = below[-1] - below
    gap = moment[-1] * below - moment * below[-1]
    between = np.divide(gap**2, below * above, out=np.zeros(256), where=below * above > 0)
    return low + (int(between.argmax()) + 1) * (high - low) / 255


def largest_component(region: np.ndarray) -> np.ndarray:
    """The connected part with the most pixels; nothing where nothing is."""
    labels, count = _label(region)
    if count < 2:
        return region
    sizes = np.bincount(labels.ravel())
    return labels == 1 + sizes[1:].argmax()


def fill_holes(region: np.ndarray) -> np.ndarray:
    """Add what a region encloses; in volumes slice by slice along the last axis.

    Lungs open to the neck would stay empty if they were filled in three dimensions.
    """
    plane = ndimage.generate_binary_structure(2, 1)
    joined = plane if region.ndim == 2 else np.pad(plane[..., None], ((0, 0), (0, 0), (1, 1)))
    labels, count = _label(~region, joined)
    reached = np.zeros(count + 1, dtype=bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        reached[edge] = True
    reached[0] = False
    return ~reached[labels]


def _label(region: np.ndarray, joined: np.ndarray | None = None) -> tuple[np.ndarray, int]:
    """Number the connected parts of a region from 1."""
    labels = np.empty(region.shape, np.int32)
    return labels, ndimage.label(region, joined, output=labels)  # type: ignore[return-value]


def find_body(image: np.ndarray, level: float) -> np.ndarray:
    """The largest connected part (*space) above a level, with what it encloses; else everything."""
    body = fill_holes(largest_component(image > level))
    return body if body.any() else np.ones_like(body)


def find_field(image: np.ndarray, level: float) -> np.ndarray:
    """The field of view of a scope, camera or probe on a dark screen.

    It is the convex hull of the largest connected lit part. Dark vessels, cysts and shadows inside
    belong to it, text and scale bars beside it do not. Of each block of a coarse image the
    brightest pixel counts: shadows are noisy, screens are not. An image without a dark surround is
    all field.

    Args:
        image: (*space), between 0 and 1.
        level: What is brighter than this share of the 99th percentile is lit.
    """
    step = max(1, -(-max(image.shape) // COARSE[image.ndim]))
    coarse = shrink(image, step)
    lit = largest_component(coarse > level * np.percentile(coarse, 99))
    if lit.mean() < SMALLEST_FIELD or lit.all():
        return np.ones(image.shape, dtype=bool)
    places = np.ogrid[tuple(slice(size) for size in image.shape)]
    return inside_hull(outline(lit), [(place + 0.5) / step for place in places])


def shrink(image: np.ndarray, step: int) -> np.ndarray:
    """Brightest of each block of `step` pixels a side; the last block of an axis may be cut."""
    for axis, size in enumerate(image.shape):
        image = np.maximum.reduceat(image, np.arange(0, size, step), axis=axis)
    return image


def inside_hull(points: np.ndarray, places: Sequence[np.ndarray]) -> np.ndarray:
    """Which places of an open grid lie in the convex hull of points (n, dims).

    Each face bounds every line along the last axis at one end, so that faces are met with lines
    rather than with pixels.
    """
    *across, along = places
    low, high = -np.inf, np.inf
    for *normal, slope, offset in ConvexHull(points).equations:
        room = -offset - sum(n * place for n, place in zip(normal, across, strict=True))
        if abs(slope) < FLAT:
            high = np.where(room < -FLAT, -np.inf, high)
        elif slope > 0:
            high = np.minimum(high, room / slope)
        else:
            low = np.maximum(low, room / slope)
    return (along >= low - FLAT) & (along <= high + FLAT)


def outline(region: np.ndarray) -> np.ndarray:
    """Corners of the first and last cell of a region on every line along its last axis."""
    lines = np.argwhere(region.any(-1))
    held = region[tuple(lines.T)]
    first, last = held.argmax(1), region.shape[-1] - held[:, ::-1].argmax(1)
    ends = [np.column_stack([lines, first]), np.column_stack([lines, last])]
    shifts = np.stack(np.meshgrid(*[[0, 1]] * lines.shape[1], [0]), -1).reshape(-1, region.ndim)
    return np.concatenate([end[:, None] + shifts for end in ends]).reshape(-1, region.ndim)
