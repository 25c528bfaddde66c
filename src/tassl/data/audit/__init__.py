"""What is wrong with the data, before a minute is spent on training: one check per file.

A check looks at the store and the side of the split of each row, and gives findings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tassl.data.audit.balance import check_balance
from tassl.data.audit.duplicates import Duplicate, check_duplicates, find_duplicates
from tassl.data.audit.finding import SEVERITIES, Finding
from tassl.data.audit.intensity import check_intensity, list_ranges
from tassl.data.audit.leaks import check_leaks
from tassl.data.audit.markers import check_markers
from tassl.data.audit.near import NearDuplicate, check_near_duplicates, find_near_duplicates
from tassl.data.audit.regions import check_regions
from tassl.data.audit.shortcuts import check_shortcuts
from tassl.data.audit.sketches import sketch_images
from tassl.data.store import Store

__all__ = [
    "SEVERITIES",
    "Audit",
    "Duplicate",
    "Finding",
    "NearDuplicate",
    "find_duplicates",
    "run_audit",
]

REMOVED = "removed"


@dataclass(frozen=True)
class Audit:
    """What was found.

    Args:
        findings: The most severe first.
        duplicates: Images that leave their side, because identical pixels stand on another.
        near_duplicates: Pairs of nearly identical images of different subjects.
        ranges: Levels of the images, overall and per site.
        split: Side of each row after this: "train", "val", "test" or "removed".
    """

    findings: tuple[Finding, ...]
    duplicates: tuple[Duplicate, ...]
    near_duplicates: tuple[NearDuplicate, ...]
    ranges: tuple[dict[str, Any], ...]
    split: np.ndarray


def run_audit(
    store: Store,
    split: np.ndarray,
    *,
    budgets: Sequence[int] = (),
    seed: int = 0,
    drop_near_duplicates: bool = False,
) -> Audit:
    """Look at every image once, and at the table.

    Args:
        store: The prepared images.
        split: Side of each row, "train", "val" or "test".
        budgets: Label budgets of the study, in subjects per class.
        seed: Of the folds and shuffles of the tests.
        drop_near_duplicates: Let nearly identical images leave the less guarded side as well.
    """
    table, sketches = store.table, sketch_images(store)
    duplicates = find_duplicates(table, split)
    near = find_near_duplicates(table, split, sketches.thumbs)
    leaving = {pair.removed for pair in duplicates}
    if drop_near_duplicates:
        leaving |= {pair.other for pair in near if pair.crosses}
    left = np.where(table.id.isin(leaving), REMOVED, split).astype(object)
    copies = table.digest.duplicated() | table.id.isin([pair.other for pair in near])
    single = np.where(copies, REMOVED, left)  # a copy in another fold would be told by heart
    findings = [
        *check_leaks(table, split),
        *check_duplicates(table, split, store.classes),
        *check_near_duplicates(table, near, dropped=drop_near_duplicates),
        *check_balance(table, left, store.classes, budgets),
        *check_regions(store, left),
        *check_intensity(table, sketches),
        *check_markers(store, single),
        *check_shortcuts(store, single, sketches, seed),
    ]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    ranges = list_ranges(table, sketches)
    return Audit(tuple(findings), tuple(duplicates), tuple(near), tuple(ranges), left)
