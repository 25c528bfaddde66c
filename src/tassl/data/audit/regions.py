"""Regions of masks: how large each is, and whether every side of the split shows it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tassl.data.audit.balance import ONE_SIDED, find_rare
from tassl.data.audit.finding import Finding
from tassl.data.manifest import SPLITS
from tassl.data.regions import split_codes
from tassl.data.store import Store

CHECK = "regions"


def check_regions(store: Store, split: np.ndarray) -> list[Finding]:
    """Tell the share of the pixels that each region takes, and where it is not shown.

    Args:
        store: The images; without named regions there is nothing to tell.
        split: Side of each row.
    """
    if not store.regions:
        return []
    rows = np.flatnonzero(store.table.masked)
    shares, subjects = measure_shares(store, rows), store.table.subject.to_numpy()[rows]
    sides, told, missing, counts = split[rows], [], [], {}
    for name, own in zip(store.regions, shares, strict=True):
        shown = {side: len(set(subjects[(own > 0) & (sides == side)])) for side in SPLITS}
        size = f"{own[own > 0].mean():.2%}" if own.any() else "nothing"
        told.append(", ".join([f"{name}: {size}", *(f"{side} {n}" for side, n in shown.items())]))
        missing += [f"{name} in {side}" for side in ("train", "test") if not shown[side]]
        counts[name] = shown
    what = "Share of the pixels that each region takes where it is shown, and subjects that show it"
    findings = [Finding(CHECK, "info", what, "", tuple(told))]
    if missing:
        what = "A region is shown by no subject on a side of the split"
        findings.append(Finding(CHECK, "warning", what, ONE_SIDED, tuple(missing)))
    if rare := find_rare(pd.DataFrame(counts), "region", CHECK):
        findings.append(rare)
    return findings


def measure_shares(store: Store, rows: np.ndarray) -> np.ndarray:
    """Share of the pixels that each region takes in the masks of these rows, (region, row)."""
    assert store.masks is not None
    joined = split_codes(store.codes, len(store.regions))
    counts = [np.bincount(store.masks[row].ravel(), minlength=len(store.codes)) for row in rows]
    return joined @ np.transpose(counts) / np.prod(store.grid.shape)
