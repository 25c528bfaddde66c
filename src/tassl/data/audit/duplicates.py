"""Images with identical pixels, within a side of the split and across."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tassl.data.audit.finding import Finding, count
from tassl.data.findings import stack_findings

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
        table: Columns id, digest, label, findings.
        split: Split of each row.
        classes: Names of the labels or findings.
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
    """One picture, two answers: at least one of them is wrong."""
    told = {tuple(g.id): text for g in groups if (text := _tell_conflict(g, classes))}
    if not told:
        return None
    return Finding(
        CHECK,
        "error",
        f"The same pixels with different labels: {count(len(told), 'picture')}",
        "At least one label of each is wrong: correct it, or take these images out.",
        tuple(told.values()),
        tuple(ids[:2] for ids in told),
    )


def _tell_conflict(group: pd.DataFrame, classes: tuple[str, ...]) -> str:
    """In which class or findings copies of one picture disagree; "" where they do not."""

    def name(k: int) -> str:
        return classes[k] if k < len(classes) else str(k)

    known = group.loc[group.label >= 0]
    if known.label.nunique() > 1:
        pairs = zip(known.id, known.label, strict=True)
        return " but ".join(f"{row_id} is {name(label)}" for row_id, label in pairs)
    ids, answers = group.id.to_numpy(), stack_findings(group)
    return "; ".join(
        f"{name(k)}: in {' and '.join(ids[own == 1])}, not in {' and '.join(ids[own == 0])}"
        for k, own in enumerate(answers.T)
        if (own == 1).any() and (own == 0).any()
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
