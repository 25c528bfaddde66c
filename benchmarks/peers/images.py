"""The same phantoms for every side: pictures on disk, and our store of them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from tassl.data.layouts import index
from tassl.data.phantom import PhantomSpec, draw_cohort
from tassl.data.store import build_store, open_store
from tassl.data.tensors import Tensors, measure_normalisation

COUNT = {2: 512, 3: 16}
NAMES = {2: "{:03d}.png", 3: "{:03d}.nii.gz"}


def write_images(folder: Path, dims: int, side: int) -> Path:
    """Write grey ultrasound or MRI phantoms below `pictures` and their store into `store`."""
    place = folder / f"{dims}d-{side}"
    if place.exists():
        return place
    spec = PhantomSpec(
        modality="ultrasound" if dims == 2 else "mri",
        dims=dims,
        size=side,
        subjects=COUNT[dims],
        images_per_subject=1,
    )
    images = draw_cohort(spec).images
    (place / "pictures" / "all").mkdir(parents=True)
    for k, image in enumerate(images):
        file = place / "pictures" / "all" / NAMES[dims].format(k)
        if dims == 2:
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(file)
        else:
            nib.save(nib.Nifti1Image(image, np.eye(4)), file)
    np.savez(place / "images.npz", images=images)
    scale = np.float32(images.max())
    build_store(index(place / "images.npz"), lambda pixels: pixels / scale, place / "store")
    return place


def open_tensors(place: Path) -> Tensors:
    """Our side of the images."""
    store = open_store(place / "store")
    return Tensors(store, measure_normalisation(store, np.arange(len(store.images))))
