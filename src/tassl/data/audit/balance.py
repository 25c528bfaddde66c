"""Classes by side of the split: absent, rare, uneven; and what that means for label budgets.

Of findings, which an image may show several of, those are told that all subjects of a side show or
none does, and those that few tested subjects show.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tassl.data.audit.finding import Finding, count, join_all
from tassl.data.findings import ask_subjects
from tassl.data.manifest import SPLITS

CHECK = "class balance"
FEWEST_TESTED = 10
UNEVEN = 10
ONE_SIDED = (
    "Of the test it is left out of the scores, on the training side it cannot be learnt: "
    "add some, or use --own-splits."
)


def check_balance(
    table: pd.DataFrame, split: np.ndarray, classes: Sequence[str], budgets: Sequence[int] = ()
) -> list[Finding]:
    """Tell where a class is absent, rare or far larger than another.

    Args:
        table: Columns subject, label (-1 where unknown), findings.
        split: Split of each row.
        classes: Names of the labels.
        budgets: Label budgets of the study, in subjects per class.
    """
    labelled = table.assign(split=split).query("label >= 0")
    if labelled.empty:
        answered = table.findings.map(len) > 0
        return _check_findings(table.assign(split=split, answered=answered), classes)
    counts = (
        labelled.groupby(["split", "label"])
        .subject.nunique()
        .unstack(fill_value=0)
        .reindex(index=SPLITS, columns=range(len(classes)), fill_value=0)
    )
    counts.columns = list(classes)
    findings = [
        _absent(counts),
        find_rare(counts, "class"),
        _uneven(counts),
        _short(counts, budgets),
    ]
    findings += [_single(classes), _mixed(labelled)]
    return [finding for finding in findings if finding]


def _absent(counts: pd.DataFrame) -> Finding | None:
    sides, places = np.nonzero(counts.to_numpy() == 0)
    missing = [
        f"{counts.columns[place]} in {counts.index[side]}"
        for side, place in zip(sides, places, strict=True)
    ]
    if not missing:
        return None
    return Finding(
        CHECK,
        "error",
        "A class has no subject on a side of the split",
        "Add some, or use --own-splits to split anew with every class on every side.",
        tuple(missing),
    )


def _check_findings(table: pd.DataFrame, classes: Sequence[str]) -> list[Finding]:
    shown, lacking = {}, {}
    for side in ("train", "test"):
        own = table.query("split == @side and answered")
        if own.empty:
            return []
        shown[side], lacking[side] = (state.sum(0) for state in ask_subjects(own))
    one_sided = [
        f"{name} in {side}: {count(int(shown[side][k]), 'subject')} with, "
        f"{lacking[side][k]} without"
        for side in shown
        for k, name in enumerate(classes)
        if not (shown[side][k] and lacking[side][k])
    ]
    counts = pd.DataFrame(shown, index=list(classes)).T
    findings = [find_rare(counts, "finding")]
    if one_sided:
        told = "A finding is shown by every subject or by none on a side of the split"
        findings.append(Finding(CHECK, "warning", told, ONE_SIDED, tuple(one_sided)))
    return [finding for finding in findings if finding]


def find_rare(counts: pd.DataFrame, kind: str, check: str = CHECK) -> Finding | None:
    """Tell what few tested subjects show.

    Args:
        counts: Subjects by side of the split (row) and what they show (column).
        kind: What that is, as in "class".
        check: Of which this is a finding.
    """
    tested = counts.loc["test"]
    rare = tested[(tested > 0) & (tested < FEWEST_TESTED)]
    if rare.empty:
        return None
    return Finding(
        check,
        "warning",
        f"Fewer than {FEWEST_TESTED} subjects of a {kind} are tested",
        "One subject more or less right moves its score by a tenth or more: test on more.",
        tuple(f"{name}: {count(number, 'subject')}" for name, number in rare.items()),
    )


def _uneven(counts: pd.DataFrame) -> Finding | None:
    totals = counts.sum()
    if not totals.min() or totals.max() < UNEVEN * totals.min():
        return None
    ratio = totals.max() / totals.min()
    return Finding(
        CHECK,
        "warning",
        f"{totals.idxmax()} has {ratio:.0f} times the subjects of {totals.idxmin()}",
        "Do not read accuracy here; AUROC and balanced accuracy tell more.",
    )


def _short(counts: pd.DataFrame, budgets: Sequence[int]) -> Finding | None:
    """Budgets that take every subject of one class but not of another."""
    train = counts.loc["train"]
    beyond = [budget for budget in budgets if train.min() < budget < train.max()]
    if not beyond or not train.min():
        return None
    return Finding(
        CHECK,
        "info",
        f"Only {count(int(train.min()), 'subject')} of {train.idxmin()} can be trained on, fewer "
        f"than the budget of {join_all(map(str, beyond))} per class",
        "There this class gives all it has and the others more: the balance changes with the "
        "budget.",
    )


def _single(classes: Sequence[str]) -> Finding | None:
    if len(classes) != 1:
        return None
    told = f"All labels are of one class ({classes[0]}), so none can be told from another"
    return Finding(CHECK, "error", told, "Add images of another class, or other labels as --csv.")


def _mixed(labelled: pd.DataFrame) -> Finding | None:
    kinds = labelled.groupby("subject").label.nunique()
    mixed = kinds.index[kinds > 1]
    if mixed.empty:
        return None
    return Finding(
        CHECK,
        "info",
        f"Images of several classes: {count(len(mixed), 'subject')}",
        "Each counts for the class of its highest number when subjects are drawn per class.",
        tuple(map(str, mixed)),
    )
