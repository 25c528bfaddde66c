"""Who keeps a lesion as it shrinks? Plain pretraining against that which looks for small signs.

Phantoms hold a lesion of 2, 3, 4 or 6 pixels across or none. All sizes are pretrained on together
and probed apart for whether one is there: in the features of the whole image, and in those of the
place where it is or would be. Real breast lesions are probed for malignancy, below and above their
median size.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.comparison import RANDOM_NETWORKS, Comparison
from benchmarks.probing import (
    draw_parts,
    embed_lesions,
    estimate,
    probe_images,
)
from benchmarks.studies import DATA
from tassl.adaptation import embed_rows
from tassl.checkpoint import build_encoder, load_checkpoint
from tassl.data.phantom import PhantomSpec, draw_cohort
from tassl.data.phantom.writers import quantise
from tassl.networks.base import Encoder
from tassl.optimisation import hold_memory
from tassl.study import Study

DIAMETERS = (2, 3, 4, 6)  # pixels
SUBJECTS, SIDE = 400, 48  # of each diameter, half of them without a lesion; pixels
LABELLED, REPEATS = 80, 2  # images per class to fit a probe on


@dataclass(frozen=True)
class Arm:
    """A method as it is pretrained; frozen random features where there is none."""

    method: str = ""
    keep_spot: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict)


ARMS = {
    "random": Arm(),
    "simclr": Arm("simclr"),
    "simclr, spots kept": Arm("simclr", keep_spot=1.0),
    "mae": Arm("mae"),
    "mae, guided by gradient": Arm("mae", options={"guide": "gradient"}),
    "mae, guided by entropy": Arm("mae", options={"guide": "entropy"}),
    "mae, guided by loss": Arm("mae", options={"guide": "loss"}),
    "lesions": Arm("lesions"),
}


@dataclass(frozen=True)
class Stratum:
    """Lesions of one size.

    Args:
        name: Their size.
        rows: Images, of the classes to tell apart.
        labels: Their classes, 0 or 1.
    """

    name: str
    rows: np.ndarray
    labels: np.ndarray


def measure(out: Path, share: float = 1.0) -> pd.DataFrame:
    """AUROC by size, of whole images and of the lesion's place in the coarsest map.

    Gains are over random features of the same network.

    Arms that `out/lesions.csv` has are not measured again.

    Args:
        out: Gets lesions.csv.
        share: Of the epochs that `tassl pretrain` would take, the same for every arm.
    """
    share = round(share, 4)
    hold_memory()
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    file = out / "lesions.csv"
    for name in ("phantoms", "busi"):
        done = _read_done(file, name, share)
        if waiting := [arm for arm in ARMS if arm not in done]:
            with tempfile.TemporaryDirectory() as folder:
                hunt = _open_phantoms(Path(folder)) if name == "phantoms" else _open_busi(folder)
                for arm in waiting:
                    facts = {"set": name, "share": share, "arm": arm}
                    rows = pd.DataFrame([facts | row for row in hunt.measure(ARMS[arm], share)])
                    rows.round(4).to_csv(file, mode="a", header=not file.exists(), index=False)
    return pd.read_csv(file)


def _read_done(file: Path, name: str, share: float) -> set[str]:
    if not file.exists():
        return set()
    rows = pd.read_csv(file)
    return set(rows.arm[(rows.set == name) & (rows.share == share)])


class Hunt:
    """Images on which lesions of several sizes are looked for."""

    def __init__(self, compared: Comparison, strata: list[Stratum]) -> None:
        self.compared, self.strata = compared, strata

    @cached_property
    def random(self) -> list[np.ndarray]:
        """Scores of random features, the mean over networks."""
        networks = []
        for seed in range(RANDOM_NETWORKS):
            torch.manual_seed(1000 + seed)
            networks.append(self.probe(build_encoder(self.compared.prepared.recipe)))
        return [np.mean(scores, axis=0) for scores in zip(*networks, strict=True)]

    def measure(self, arm: Arm, share: float) -> Iterator[dict[str, Any]]:
        """Pretrain an arm; one row per size, with paired differences from random features."""
        scores = self.probe(self._train(arm, share)) if arm.method else self.random
        for stratum, own, base in zip(self.strata, scores, self.random, strict=True):
            row = {"size": stratum.name, "images": len(stratum.rows)}
            for kind, found, plain in zip(("image", "place"), own, base, strict=True):
                row[f"{kind}_auroc"] = found.mean()
                row |= {f"{kind}_{part}": x for part, x in asdict(estimate(found - plain)).items()}
            yield row

    def probe(self, encoder: Encoder) -> list[np.ndarray]:
        """(whole image or lesion's place, part) AUROC for each size."""
        return [self._probe(encoder, stratum) for stratum in self.strata]

    def _train(self, arm: Arm, share: float) -> Encoder:
        with tempfile.TemporaryDirectory() as folder:
            self.compared.pretrain(
                arm.method, share, Path(folder), keep_spot=arm.keep_spot, options=arm.options
            )
            return load_checkpoint(folder).encoder

    def _probe(self, encoder: Encoder, stratum: Stratum) -> np.ndarray:
        tensors, rows = self.compared.prepared.tensors, stratum.rows
        subjects = tensors.store.table.subject.to_numpy()
        parts = draw_parts(stratum.labels, subjects[rows], few=LABELLED, repeats=REPEATS)
        features = embed_rows(encoder, tensors, rows, 64), embed_lesions(encoder, tensors, rows)
        known = stratum.labels, subjects[rows], parts
        return np.stack([probe_images(f, *known) for f in features])


def _open_phantoms(folder: Path) -> Hunt:
    study = Study(str(_draw_phantoms(folder)), "mri", "classification")
    compared = Comparison(study, folder)
    table, rows = compared.prepared.store.table, compared.rows
    labels, subjects = table.label.to_numpy(), table.subject.to_numpy()
    strata = []
    for diameter in DIAMETERS:
        own = rows[[name.startswith(f"{diameter}px") for name in subjects[rows]]]
        strata.append(Stratum(f"{diameter} px", own, labels[own]))
    return Hunt(compared, strata)


def _open_busi(folder: str) -> Hunt:
    """Benign against malignant lesions."""
    compared = Comparison(
        Study(str(DATA / "busi_seg"), "ultrasound", "classification"), Path(folder)
    )
    store = compared.prepared.store
    kinds = np.array(store.classes)[store.table.label.to_numpy()[compared.rows]]
    rows = compared.rows[kinds != "normal"]
    malignant = (kinds[kinds != "normal"] == "malignant").astype(int)
    areas = compared.prepared.tensors.masks(rows).float().flatten(1).mean(1).numpy()
    small, strata = areas < np.median(areas), []
    for name, own in (("small", small), ("large", ~small)):
        title = f"{name} ({areas[own].mean():.1%} of the image)"
        strata.append(Stratum(title, rows[own], malignant[own]))
    return Hunt(compared, strata)


def _draw_phantoms(folder: Path) -> Path:
    """Volunteers with and without a lesion, drawn at twice the size and averaged down.

    Those without have the same scene with a lesion of the organ's own level; the mask of all is
    where the lesion is or would be.
    """
    parts = {"images": [], "labels": [], "subjects": [], "masks": []}
    for diameter in DIAMETERS:
        spec = PhantomSpec(
            seed=diameter,
            subjects=SUBJECTS,
            images_per_subject=1,
            size=2 * SIDE,
            modality="mri",
            prevalence=0.0,
            lesion_diameter=(2.0 * diameter, 2.0 * diameter),
            local_signal=0.0,
        )
        seen, unseen = draw_cohort(spec), draw_cohort(replace(spec, lesion_contrast=0.0))
        present = np.arange(SUBJECTS) % 2
        chosen = np.where(present[:, None, None] == 1, quantise(seen), quantise(unseen))
        blocks = chosen.reshape(SUBJECTS, SIDE, 2, SIDE, 2)
        parts["images"].append(blocks.mean((2, 4)).round().astype(chosen.dtype))
        masks = seen.masks.reshape(SUBJECTS, SIDE, 2, SIDE, 2)
        parts["masks"].append((masks.mean((2, 4)) >= 0.5).astype(np.uint8))
        parts["labels"].append(present)
        parts["subjects"].append(np.array([f"{diameter}px-{k:03}" for k in range(SUBJECTS)]))
    file = folder / "lesions.npz"
    np.savez(file, **{name: np.concatenate(arrays) for name, arrays in parts.items()})
    return file
