"""Sizes, voxel sizes and levels of the images, and the ones that stand out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tassl.data.audit.finding import Finding, count
from tassl.data.audit.sketches import Sketches

CHECK = "sizes and levels"
FAR = 8.0  # robust standard deviations
BLANK = 0.01  # of the usual contrast
CLIPPED = 0.1  # share of an image's pixels at its maximum, and five times the usual share
FEWEST = 20  # images that say what is usual
CAUSES = {
    "p50": ("darker", "brighter"),
    "contrast": ("flatter", "harder"),
    "detail": ("smoother", "noisier"),
}


def check_intensity(table: pd.DataFrame, sketches: Sketches) -> list[Finding]:
    """Tell of blank and clipped images, of levels that stand out, and of files of another size.

    Args:
        table: Columns id, and shape and spacing (of the file) where known.
        sketches: Of the same rows.
    """
    ids, levels = table.id.to_numpy(), sketches.levels
    blank = find_blank(levels)
    findings = [_blank(ids[blank]), _clipped(ids, levels, ~blank), _outliers(ids, levels, ~blank)]
    for column in ("shape", "spacing"):
        if column in table:
            findings.append(_sizes(table, column))
    return [finding for finding in findings if finding]


def find_blank(levels: pd.DataFrame) -> np.ndarray:
    """Which images hold next to nothing: their contrast is a hundredth of the usual."""
    return levels.contrast.to_numpy() <= BLANK * float(np.median(levels.contrast))


def robust_z(values: np.ndarray) -> np.ndarray:
    """Distance from the median in robust standard deviations (1.4826 times the MAD).

    Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993.
    """
    away = values - np.median(values)
    spread = 1.4826 * np.median(np.abs(away))
    return away / max(float(spread), 1e-9)


def list_ranges(table: pd.DataFrame, sketches: Sketches) -> list[dict[str, Any]]:
    """Median percentiles 1, 50 and 99 of the images, overall and per site.

    Of the files as they were where the table says so (columns p1, p50, p99), else of the prepared
    images.
    """
    raw = {"p1", "p50", "p99"} <= set(table.columns)
    values = (table if raw else sketches.levels)[["p1", "p50", "p99"]].to_numpy(dtype=float)
    groups = {"all": np.ones(len(table), bool)}
    sites = sorted(set(table.site) - {""})
    if len(sites) > 1:
        groups |= {str(site): (table.site == site).to_numpy() for site in sites}
    return [
        {"site": name, "images": int(rows.sum()), "of": "files" if raw else "prepared images"}
        | dict(zip(("p1", "p50", "p99"), np.median(values[rows], 0).round(4).tolist(), strict=True))
        for name, rows in groups.items()
    ]


def _blank(ids: np.ndarray) -> Finding | None:
    if not len(ids):
        return None
    return Finding(
        CHECK,
        "warning",
        f"Blank or nearly so: {count(len(ids), 'image')}",
        "Nothing can be learnt from them: take them out, or look why they came out empty.",
        tuple(ids),
        tuple((name,) for name in ids),
    )


def _clipped(ids: np.ndarray, levels: pd.DataFrame, usable: np.ndarray) -> Finding | None:
    """Images with large areas at the maximum, where others have none."""
    full = levels.full.to_numpy()
    clipped = usable & (full > max(CLIPPED, 5 * float(np.median(full))))
    if not clipped.any():
        return None
    named = ids[clipped][np.argsort(-full[clipped], kind="stable")]
    return Finding(
        CHECK,
        "info",
        f"A tenth of the image or more at full brightness: {count(len(named), 'image')}",
        "What was brighter is lost there: look whether they were overexposed or clipped on export.",
        tuple(named),
        tuple((name,) for name in named),
    )


def _outliers(ids: np.ndarray, levels: pd.DataFrame, usable: np.ndarray) -> Finding | None:
    """Images whose level, contrast or detail is far from that of the others."""
    if usable.sum() < FEWEST:
        return None
    kept = levels[usable]
    scores = pd.DataFrame(
        {
            "p50": robust_z(kept.p50.to_numpy()),
            "contrast": robust_z(np.log(kept.contrast.to_numpy())),
            "detail": robust_z(np.log(kept.detail.to_numpy() + 1e-6)),
        }
    )
    worst = scores.abs().max(axis=1).to_numpy()
    order = np.argsort(-worst, kind="stable")
    far = order[worst[order] > FAR]
    if not len(far):
        return None
    named = ids[usable][far]
    causes = scores.abs().idxmax(axis=1).to_numpy()[far]
    words = [
        CAUSES[cause][int(scores[cause].iloc[row] > 0)]
        for row, cause in zip(far, causes, strict=True)
    ]
    return Finding(
        CHECK,
        "info",
        f"Far from the usual level, contrast or detail: {count(len(far), 'image')}",
        "Look whether they are what the others are: wrong files, other sequences, inverted grey.",
        tuple(f"{name} ({word})" for name, word in zip(named, words, strict=True)),
        tuple((name,) for name in named),
    )


def _sizes(table: pd.DataFrame, column: str) -> Finding | None:
    """Files whose size or voxel size is more than twice, or less than half, the median."""
    known = table[[np.size(value) > 1 for value in table[column]]]
    if len(known) < FEWEST:
        return None
    values = np.array([list(value) for value in known[column]], dtype=float)
    ratio = values / np.median(values, axis=0)
    odd = (ratio.max(1) > 2) | (ratio.min(1) < 0.5)
    if not odd.any():
        return None
    words = {"shape": "pixels", "spacing": "mm per pixel"}[column]
    return Finding(
        CHECK,
        "info",
        f"More than twice or less than half the usual {words}: {count(int(odd.sum()), 'file')}",
        "They are brought to the common grid; look whether they belong here and whether units "
        "are right.",
        tuple(
            f"{name} ({' x '.join(f'{v:g}' for v in value)})"
            for name, value in zip(known.id[odd], values[odd], strict=True)
        ),
    )
