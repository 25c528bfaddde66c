"""Cases of restored images, by their PSNR, beside what the baselines made of them."""

from __future__ import annotations

import numpy as np

from tassl.report.cases.base import MEDIAN, Case, Gallery, Predicted, rank_cases
from tassl.report.readers import read_images
from tassl.report.shots import Shots
from tassl.report.words import number

CAPTION = (
    "One test image per row, all in the window of the clean image, then the errors of each "
    "restored image, white where any of them is furthest off. Volumes show the middle slice; "
    "PSNR counts the whole image, and does not tell whether small signs are kept."
)
CAPTIONS: dict[str, str] = dict.fromkeys(("Worst by PSNR", MEDIAN, "Best by PSNR"), CAPTION)
BASELINES = {"degraded": "input", "filter": "filter", "scratch": "finetune"}  # by adaptation


def show_images(found: Predicted) -> Gallery:
    """Worst, median and best of the images that were kept."""
    shown = {who: found.baseline(adaptation) for who, adaptation in BASELINES.items()}
    shown = {who: own for who, own in shown.items() if own} | {"pretrained": found}
    images = {who: read_images(own.file) for who, own in shown.items()}
    scores = {
        who: dict(zip(own.table.id.astype(str), own.table.psnr, strict=True))
        for who, own in shown.items()
    }
    table, shots = found.table, Shots(found.run.store)

    def tell(row: int) -> Case:
        name = str(table.id.iloc[row])
        facts = tuple(f"PSNR {who}: {number(own[name])} dB" for who, own in scores.items())
        kept = {who: own[name] for who, own in images.items() if name in own}
        return Case(name, facts, shots.restored(name, kept))

    order = np.argsort(table.psnr.to_numpy(), kind="stable")
    kept = order[[str(table.id.iloc[row]) in images["pretrained"] for row in order]]
    degradation = found.run.audit.get("degradation", "")
    return Gallery(
        f"{found.where}, over {len(table)} test images. Degradation: {degradation}.",
        rank_cases(kept, tell, CAPTIONS),
    )
