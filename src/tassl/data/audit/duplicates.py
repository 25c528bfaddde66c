"""Images with identical pixels, within a side of the split and across."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tassl.data.audit.finding import Finding, count

CHECK = "identical images"
GUARDED = {"test": 2, "val": 1, "train": 0}


@dataclass(frozen=True)
class Duplicate:
    """An image that leaves its split because identical pixels stand in a more guarded one."""

    kept: str
    kept_split: str
    removed: str
    removed_split: str


def find_duplicates(table: pd.DataFrame, split: np.ndarray) -> list[Duplicate]:
    """Find images with identical pixels on two sides of a split.

    The copy in the more guarded split stays (test before val before train).

    Args:
        table: Columns id, digest.
        split: Split of each row.
    """
    found = []
    for group in _copies(table.assign(split=split)):
        ranked = group.sort_values("split", key=lambda s: -s.map(GUARDED), kind="stable")
        (kept, kept_split), *others = ranked[["id", "split"]].to_numpy()
        found += [Duplicate(kept, kept_split, *row) for row in others if row[1] != kept_split]
    return found


def check_duplicates(
    table: pd.DataFrame, split: np.ndarray, classes: tuple[str, ...] = ()
) -> list[Finding]:
    """Tell of identical images: across the split, labelled differently, within a side.

    Args:
        table: Columns id, digest, label.
        split: Split of each row.
        classes: Names of the labels.
    """
    groups = _copies(table.assign(split=split))
    findings = [_across(find_duplicates(table, split)), _conflicts(groups, classes)]
    findings.append(_within([group for group in groups if group.split.nunique() == 1]))
    return [finding for finding in findings if finding]


def _across(found: list[Duplicate]) -> Finding | None:
    if not found:
        return None
    return Finding(
        CHECK,
        "warning",
        f"Identical pixels on two sides of the split: {count(len(found), 'image')}",
        "The copy on the less guarded side is left out; look how it came about.",
        tuple(
            f"{pair.removed} has the same pixels as {pair.kept} in {pair.kept_split}: "
            f"taken out of {pair.removed_split}"
            for pair in found
        ),
        tuple((pair.kept, pair.removed) for pair in found),
    )


def _conflicts(groups: list[pd.DataFrame], classes: tuple[str, ...]) -> Finding | None:
    """One picture, two labels: at least one of them is wrong."""
    clashing = [g for g in groups if g.label[g.label >= 0].nunique() > 1]
    if not clashing:
        return None

    def tell(row_id: str, label: int) -> str:
        return f"{row_id} is {classes[label] if label < len(classes) else label}"

    return Finding(
        CHECK,
        "error",
        f"The same pixels with different labels: {count(len(clashing), 'picture')}",
        "At least one label of each is wrong: correct it, or take these images out.",
        tuple(" but ".join(map(tell, g.id, g.label)) for g in clashing),
        tuple(tuple(g.id[:2]) for g in clashing),
    )


def _within(groups: list[pd.DataFrame]) -> Finding | None:
    if not groups:
        return None
    spare = pd.concat([group.iloc[1:] for group in groups]).split.value_counts()
    sides = ", ".join(f"{number} in {side}" for side, number in spare.items())
    several = sum(group.subject.nunique() > 1 for group in groups)
    whose = f"; {several} of them under different subjects" if several else ""
    return Finding(
        CHECK,
        "info",
        f"Identical pixels on one side of the split: {sides}{whose}",
        "They weigh double in training and in scores; remove them from the data if that is not "
        "meant.",
        tuple(" = ".join(group.id) for group in groups),
    )


def _copies(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Groups of rows with the same pixels."""
    repeated = table.loc[table.digest.duplicated(keep=False)]
    return [group for _, group in repeated.groupby("digest", sort=False)]
