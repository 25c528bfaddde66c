"""Cases of masks or their regions, by their Dice, beside those of the baseline from scratch."""

from __future__ import annotations

import numpy as np

from tassl.evaluation.columns import columns_of
from tassl.evaluation.segmentation import dice_per_image
from tassl.report.cases.base import MEDIAN, Case, Gallery, Predicted, rank_cases
from tassl.report.loading import Run
from tassl.report.pictures import class_colour
from tassl.report.readers import read_masks
from tassl.report.shots import Shots
from tassl.report.words import number

CAPTIONS = {
    "Worst by Dice": "One test image per row: as it is, with the outline of the reference "
    "segmentation, and with those predicted with and without pretraining. Volumes show the slice "
    "with most reference foreground; Dice counts the whole image.",
    MEDIAN: "Test images from the middle of the ranking, shown in the same way: what to expect as "
    "a rule.",
    "Best by Dice": "The test images with the highest Dice, shown in the same way.",
}


def show_masks(found: Predicted) -> Gallery:
    """Worst, median and best."""
    arms, scratch = {"pretrained": found}, found.baseline()
    if scratch:
        arms["scratch"] = scratch
    masks = {who: read_masks(arm.file) for who, arm in arms.items()}
    dice = {
        who: dict(zip(arm.table.id.astype(str), dice_per_image(arm.table), strict=True))
        for who, arm in arms.items()
    }
    table, run, shots = found.table, found.run, Shots(found.run.store)
    regions = _list_regions(run)
    single = columns_of(table, "dice_")[:, : len(regions)]

    def tell(row: int) -> Case:
        name = str(table.id.iloc[row])
        facts = [f"Dice {who}: {number(own[name])}" for who, own in dice.items() if name in own]
        pairs = zip(regions, single[row], strict=True)
        facts += [f"{region} pretrained: {number(own)}" for region, own in pairs]
        return Case(name, tuple(facts), shots.outlined(name, masks, regions=bool(regions)))

    summary = f"{found.where}, over {len(table)} test images."
    if not masks["pretrained"]:
        summary += " Its predicted masks are not in the run folder, so they cannot be shown."
    order = np.argsort(dice_per_image(table), kind="stable")
    groups = rank_cases(order, tell, CAPTIONS)
    return Gallery(summary, groups, _list_colours(run) if run.store else ())


def _list_regions(run: Run) -> list[str]:
    """Names of the regions that are scored one by one; none where classes are."""
    return list(run.audit.get("regions", {})) if run.study.get("task") == "regions" else []


def _list_colours(run: Run) -> tuple[tuple[str, str], ...]:
    """Names are known where the label maps come with theirs, background first."""
    if regions := _list_regions(run):
        return tuple((name, class_colour(k)) for k, name in enumerate(regions, 1))
    values, names = run.audit.get("mask_values", []), run.audit.get("classes", [])
    if run.audit.get("layout") != "volume-pairs" or len(names) != len(values):
        names = [f"mask value {value}" for value in values]
    return tuple((str(name), class_colour(k)) for k, name in enumerate(names) if k)
