"""Draw a cohort: subjects, their classes and sites, their images and every truth about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tassl.data.phantom.anatomy import draw_anatomy
from tassl.data.phantom.draws import Draws, Floats, draw_even
from tassl.data.phantom.formation import SCANNERS
from tassl.data.phantom.scene import draw_views, paint_scene
from tassl.data.phantom.shapes import take
from tassl.data.phantom.sites import sign_sites
from tassl.data.phantom.spec import PhantomSpec

CHUNK_PIXELS = 2**19  # drawn at a time: small enough for the cache, large enough for numpy


@dataclass(frozen=True)
class Cohort:
    """n images and every truth about them; the images of a subject stand together.

    Args:
        spec: What was drawn.
        images: (n, *space) float32: display units 0..255 (ultrasound), HU (CT), arbitrary and
            positive (MRI).
        clean: The same images without noise.
        labels: (n,) class as recorded: `classes`, but for the label noise.
        classes: (n,) true class of the subject's lesion.
        masks: (n, *space) uint8, 1 in the lesion.
        organs: (n, *space) uint8, 1 in the organ, its lesion and its vessels.
        boxes: (n, 2 * dims) half-open box of the lesion in pixels: starts, then ends, axis by
            axis in the order of the image's axes.
        volumes_ml: (n,) lesion volume in ml: pixels of the mask times their size.
        diameters_px: (n,) diameter in pixels of the circle or sphere of the mask's content.
        subjects: (n,) such as "P0007".
        sites: (n,) such as "site-A".
        spacing_mm: Pixel size along each axis.
    """

    spec: PhantomSpec
    images: NDArray[np.float32]
    clean: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: NDArray[np.int64]
    masks: NDArray[np.uint8]
    organs: NDArray[np.uint8]
    boxes: NDArray[np.int64]
    volumes_ml: Floats
    diameters_px: Floats
    subjects: NDArray[np.str_]
    sites: NDArray[np.str_]
    spacing_mm: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.images)


def draw_cohort(spec: PhantomSpec) -> Cohort:
    """Draw the cohort of a spec; the same spec gives the same bits."""
    spread = draw_even(spec.seed, spec.subjects)
    size = max(1, CHUNK_PIXELS // (spec.images_per_subject * spec.size**spec.dims))
    starts = range(0, spec.subjects, size)
    chunks = [_draw_chunk(spec, first, spread[first : first + size]) for first in starts]
    images, clean, masks, organs, labels, classes, sites = (
        np.concatenate(parts) for parts in zip(*chunks, strict=True)
    )
    numbers = np.repeat(np.arange(spec.subjects), spec.images_per_subject)
    content = masks.reshape(len(masks), -1).sum(1, dtype=np.int64)
    return Cohort(
        spec=spec,
        images=images,
        clean=clean,
        labels=labels,
        classes=classes,
        masks=masks,
        organs=organs,
        boxes=_find_boxes(masks),
        volumes_ml=content * _pixel_ml(spec),
        diameters_px=_diameter(content, spec.dims),
        subjects=np.array([f"P{number:04d}" for number in numbers]),
        sites=np.array([f"site-{chr(ord('A') + site)}" for site in sites]),
        spacing_mm=spec.spacing_mm,
    )


def _draw_chunk(spec: PhantomSpec, first: int, spread: Floats) -> tuple[NDArray, ...]:
    """Draw the images and truths of the subjects from `first` on; spread is (subjects, 2)."""
    draws = Draws(spec.seed, first, len(spread))
    classes = _choose_classes(spec, spread[:, 0])
    labels = _mislabel(spec, classes, draws)
    sites = _choose_sites(spec, classes, spread[:, 1], draws)
    grades = 2 * classes / max(1, spec.classes - 1) - 1
    subject = np.repeat(np.arange(len(spread)), spec.images_per_subject)
    anatomy = take(draw_anatomy(spec, grades, draws), subject)
    scene = paint_scene(spec, anatomy, draw_views(spec, draws))
    images, clean = SCANNERS[spec.modality](spec, scene, sign_sites(spec, sites[subject]), draws)
    masks = scene.lesion.astype(np.uint8), scene.organ.astype(np.uint8)
    return images, clean, *masks, labels[subject], classes[subject], sites[subject]


def _choose_classes(spec: PhantomSpec, place: Floats) -> NDArray[np.int64]:
    """Cut the places in [0, 1) at 1 - prevalence, and what lies above into equal parts."""
    if spec.classes == 1:
        return np.zeros(len(place), np.int64)
    shares = np.r_[1 - spec.prevalence, [spec.prevalence / (spec.classes - 1)] * (spec.classes - 2)]
    return np.searchsorted(np.cumsum(shares), place, side="right").astype(np.int64)


def _mislabel(spec: PhantomSpec, classes: NDArray[np.int64], draws: Draws) -> NDArray[np.int64]:
    """Give a share of the subjects another class."""
    wrong = draws.uniform(0, 1) < spec.label_noise
    step = 1 + (draws.uniform(0, 1) * (spec.classes - 1)).astype(np.int64)
    return np.where(wrong, (classes + step) % spec.classes, classes)


def _choose_sites(
    spec: PhantomSpec, classes: NDArray[np.int64], place: Floats, draws: Draws
) -> NDArray[np.int64]:
    """Send each subject to a site: any, or with the planted correlation one of its class.

    The sites of class c are c, c + classes, c + 2 * classes and so on.
    """
    linked = draws.uniform(0, 1) < spec.site_label_correlation
    own = np.maximum(1, -((classes - spec.sites) // spec.classes))
    of_class = classes + spec.classes * (place * own).astype(np.int64)
    return np.where(linked, of_class, (place * spec.sites).astype(np.int64))


def _find_boxes(masks: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Half-open boxes (n, 2 * dims) around masks (n, *space), starts then ends."""
    starts, ends = [], []
    for axis in range(1, masks.ndim):
        others = tuple(a for a in range(1, masks.ndim) if a != axis)
        profile = np.max(masks, axis=others)
        starts.append(profile.argmax(1))
        ends.append(profile.shape[1] - profile[:, ::-1].argmax(1))
    return np.stack(starts + ends, axis=1).astype(np.int64)


def _pixel_ml(spec: PhantomSpec) -> float:
    """Volume of one pixel in ml; in 2D a pixel is as deep as the slice."""
    depth = spec.slice_mm if spec.dims == 2 else 1.0
    return float(np.prod(spec.spacing_mm)) * depth / 1000


def _diameter(content: NDArray[np.int64], dims: int) -> Floats:
    """Diameter of the circle or sphere of this area or volume."""
    return 2 * np.sqrt(content / np.pi) if dims == 2 else 2 * np.cbrt(0.75 * content / np.pi)
