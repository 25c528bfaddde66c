"""Views per second beside other libraries, and what reading and drawing views cost of a step.

Times are of the processor on one thread, so that other programs do not count.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from benchmarks.figures import Figure
from tassl.data.layouts import index
from tassl.data.store import build_store
from tassl.data.tensors import Tensors, measure_normalisation
from tassl.methods.base import Batch
from tassl.methods.simclr import SimCLR
from tassl.modality import MODALITIES
from tassl.modality.base import Augmentation
from tassl.networks import NETWORKS
from tassl.optimisation import autocast, hold_memory
from tassl.transforms.augment import Augment
from tassl.transforms.draws import seeded

CASES = (("ultrasound", "global"), ("ct", "global"), ("mri", "local"))
SIZES = (((64, 64), 128), ((64, 64, 64), 4))
STEPS = (("ultrasound", (64, 64), 128), ("ct", (64, 64, 64), 4), ("mri", (64, 64, 64), 4))
ROUNDS = 7
Draw = Callable[[], object]


def measure() -> Iterator[Figure]:
    """Our views against those of MONAI and torchvision, then their share of a training step."""
    hold_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for space, batch in SIZES:
        for modality, locality in CASES:
            ranges = MODALITIES[modality].load().augmentation(locality)
            yield from _compare(f"{modality}, {locality}", ranges, space, batch)
    for modality, space, batch in STEPS:
        yield from _measure_step(modality, space, batch)
    torch.set_num_threads(threads)


def _compare(
    title: str, ranges: Augmentation, space: tuple[int, ...], batch: int
) -> Iterator[Figure]:
    """Images per second of each library, all on the same images in the same rounds."""
    images = torch.randn(batch, 1, *space, generator=seeded(0))
    augment, rng = Augment(ranges), seeded(1)
    rivals: dict[str, Draw] = {
        "tassl": lambda: augment(images, rng),
        "MONAI": _per_item(_compose_monai(ranges, len(space)), images),
    }
    if find_spec("torchvision") and len(space) == 2:
        pictures = _to_pictures(images)
        rivals["torchvision"] = _per_item(_compose_torchvision(ranges, space), pictures)
        if find_spec("lightly"):
            from lightly.transforms import SimCLRViewTransform

            coloured = [picture.convert("RGB") for picture in pictures]
            rivals["lightly SimCLR"] = _per_item(SimCLRViewTransform(input_size=space[0]), coloured)
    seconds = _race(rivals)
    title = f"{title}, {' x '.join(map(str, space))}"
    for name, taken in seconds.items():
        yield Figure(f"{title}: {name}", batch / taken, "images/s")
    ours = seconds.pop("tassl")
    for name, taken in seconds.items():
        yield Figure(f"{title}: time beside {name}", ours / taken, "", 1 / 3)


def _race(rivals: dict[str, Draw]) -> dict[str, float]:
    """Shortest time of each in seconds; they take turns, so that a busy moment hits all."""
    best = dict.fromkeys(rivals, float("inf"))
    for _ in range(ROUNDS):
        for name, draw in rivals.items():
            start = time.process_time()
            draw()
            best[name] = min(best[name], time.process_time() - start)
    return best


def _per_item(transform: Callable, items: Iterable) -> Draw:
    return lambda: torch.stack([torch.as_tensor(transform(item)) for item in items])


def _compose_monai(r: Augmentation, dims: int) -> Callable:
    """The same operations, each on every image; MONAI has no speckle, so it is spared that."""
    from monai import transforms as m

    least = r.crop ** (1 / dims)
    steps = [
        m.RandAffine(
            prob=1,
            rotate_range=[np.radians(r.rotate_degrees)] * (1 if dims == 2 else 3),
            scale_range=[(least - 1, 0)] * dims,
            translate_range=[16 * (1 - least)] * dims,
            padding_mode="border",
        )
    ]
    if r.flip_lr:
        steps.append(m.RandFlip(prob=r.flip_lr, spatial_axis=dims - 1))
    if r.bias_field:
        steps.append(m.RandBiasField(prob=1, coeff_range=(0, r.bias_field)))
    if r.contrast:
        steps.append(m.RandScaleIntensity(prob=1, factors=r.contrast))
    if r.brightness:
        steps.append(m.RandShiftIntensity(prob=1, offsets=r.brightness))
    if r.gamma:
        steps.append(m.RandAdjustContrast(prob=1, gamma=(1 - r.gamma, 1 + r.gamma)))
    if r.blur:
        sigmas = {f"sigma_{axis}": (0.01, r.blur) for axis in "xyz"[:dims]}
        steps.append(m.RandGaussianSmooth(prob=1, **sigmas))
    if r.noise:
        steps.append(m.RandGaussianNoise(prob=1, std=r.noise))
    return m.Compose(steps).set_random_state(0)


def _compose_torchvision(r: Augmentation, space: tuple[int, ...]) -> Callable:
    """The same operations as far as torchvision has them, on PIL images as SimCLR is often fed."""
    from torchvision import transforms as t

    return t.Compose(
        [
            t.RandomResizedCrop(space, scale=(r.crop, 1)),
            t.RandomHorizontalFlip(r.flip_lr),
            t.RandomRotation(r.rotate_degrees),
            t.ColorJitter(r.brightness, r.contrast),
            *([t.GaussianBlur(5, (0.01, r.blur))] if r.blur else []),
            t.ToTensor(),
            t.Normalize([0.5], [0.25]),
        ]
    )


def _to_pictures(images: torch.Tensor) -> list:
    from PIL import Image

    grey = (images[:, 0] * 40 + 128).clamp(0, 255).byte().numpy()
    return [Image.fromarray(picture) for picture in grey]


def _measure_step(modality: str, space: tuple[int, ...], batch: int) -> Iterator[Figure]:
    """Reading from disk and drawing views, as a share of a whole step of SimCLR."""
    profile = MODALITIES[modality].load()
    with tempfile.TemporaryDirectory() as folder:
        tensors = _write_store(Path(folder), space, 2 * batch)
        encoder = NETWORKS["cnn"].load().sized(len(space), 1, space)
        method = SimCLR(encoder, augment=Augment(profile.augmentation("global")))
        optimizer = torch.optim.AdamW(method.parameters())
        rows = np.random.default_rng(0).permutation(2 * batch)[:batch]
        rows.sort()
        best = [float("inf")] * 3
        for step in range(ROUNDS):
            marks = [time.process_time()]
            images = tensors.images(rows)
            marks.append(time.process_time())
            with torch.no_grad():
                views = method.views(Batch(images, torch.from_numpy(rows), seeded(0, step)))
            marks.append(time.process_time())
            with autocast():
                loss = method.loss(views)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            marks.append(time.process_time())
            best = [min(b, float(d)) for b, d in zip(best, np.diff(marks), strict=True)]
    title, whole = f"SimCLR step, {modality}, {' x '.join(map(str, space))}", sum(best)
    yield Figure(f"{title}: throughput", batch / whole, "images/s")
    yield Figure(f"{title}: share of reading", best[0] / whole, "")
    yield Figure(f"{title}: share of reading and views", (best[0] + best[1]) / whole, "", 0.1)


def _write_store(folder: Path, space: tuple[int, ...], count: int) -> Tensors:
    pixels = np.random.default_rng(0).integers(0, 256, (count, *space), dtype=np.uint8)
    np.savez(folder / "images.npz", images=pixels)
    store = build_store(
        index(folder / "images.npz"), lambda x: x / np.float32(255), folder / "store"
    )
    return Tensors(store, measure_normalisation(store, np.arange(count)))
