"""The score of each subgroup of the test subjects, and how far the worst is behind the best.

Source: Seyyed-Kalantari et al., Nature Medicine 2021, 10.1038/s41591-021-01595-0 (models that are
good on average miss more of some groups); Mitchell et al. 2019, arXiv:1810.03993 (report them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tassl.evaluation.columns import columns_of
from tassl.evaluation.metrics import METRICS
from tassl.evaluation.shared_findings import keep_shared
from tassl.evaluation.statistics import (
    CHECK_RESAMPLES,
    Estimate,
    Scores,
    estimate,
    score_draws,
    subject_weights,
)

FEWEST, FEWEST_PER_CLASS = 10, 5  # subjects
BANDS = {"under 18": 0.0, "18 to 39": 18.0, "40 to 64": 40.0, "65 and over": 65.0}
THIRDS = ("smallest third", "middle third", "largest third")


@dataclass(frozen=True)
class Group:
    """One arm on one subgroup.

    Args:
        arm: Its name.
        kind: "site", "sex", "age" or "size".
        name: Of the subgroup.
        subjects: How many were tested.
        score: Mean over draws; None where they are too few.
    """

    arm: str
    kind: str
    name: str
    subjects: int
    score: Estimate | None


@dataclass(frozen=True)
class Gap:
    """Best and worst subgroup of an arm.

    Args:
        arm: Its name.
        kind: As of a `Group`.
        best: Name of the best.
        worst: Name of the worst.
        difference: Best minus worst.
        p: Probability of groups as far apart, were they all alike; it knows that best and worst
            were picked.
    """

    arm: str
    kind: str
    best: str
    worst: str
    difference: Estimate
    p: float


def list_groups(table: pd.DataFrame, sizes: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Name of each row's subgroup, "" where unknown, by kind; kinds of one subgroup are left out.

    Args:
        table: Columns site, sex, age (years).
        sizes: Size of what each row's mask shows; NaN or zero where it shows nothing.
    """
    edges = list(BANDS.values())
    ages = table.age.to_numpy(dtype=float)
    bands = np.array(["", *BANDS], dtype=object)[np.searchsorted(edges, ages, side="right")]
    kinds = {
        "site": table.site.to_numpy(dtype=object),
        "sex": table.sex.to_numpy(dtype=object),
        "age": np.where(np.isfinite(ages), bands, ""),
    }
    if sizes is not None and (sizes > 0).any():
        shown = np.where(sizes > 0, sizes, np.nan)
        places = np.searchsorted(np.nanquantile(shown, (1 / 3, 2 / 3)), shown)
        kinds["size"] = np.where(sizes > 0, np.array(THIRDS, dtype=object)[places.clip(0, 2)], "")
    return {kind: names for kind, names in kinds.items() if len(set(names) - {""}) > 1}


def score_subgroups(
    predictions: Mapping[str, Sequence[pd.DataFrame]],
    kinds: Mapping[str, np.ndarray],
    metric: str,
    confidence: float,
    seed: int = 0,
) -> tuple[list[Group], list[Gap]]:
    """Score every arm on every subgroup.

    Args:
        predictions: Tables of every draw by arm, all of the same rows.
        kinds: Subgroup of each of these rows by kind, as from `list_groups`.
        metric: Key in `METRICS`.
        confidence: Level of the intervals.
        seed: Of the resamples.
    """
    first = next(iter(predictions.values()))[0]
    weights = subject_weights(first.subject, CHECK_RESAMPLES, seed)
    groups, gaps = [], []
    for kind, names in kinds.items():
        places = {
            str(name): np.flatnonzero(names == name)
            for name in sorted(set(names) - {""}, key=_place)
        }
        large = [rows for rows in places.values() if first.subject.iloc[rows].nunique() >= FEWEST]
        for arm, tables in keep_shared(predictions, large, FEWEST_PER_CLASS).items():
            scores = {}
            for name, rows in places.items():
                subjects, score = first.subject.iloc[rows].nunique(), None
                if is_enough(tables[0], rows):
                    own = [table.iloc[rows] for table in tables]
                    scores[name] = score_draws(own, metric, weights[:, rows])
                    score = estimate(scores[name], confidence)
                groups.append(Group(arm, kind, name, subjects, score))
            if len(scores) > 1:
                gaps.append(measure_gap(arm, kind, scores, metric, confidence))
    return groups, gaps


def is_enough(table: pd.DataFrame, rows: np.ndarray) -> bool:
    """Whether these rows of a prediction table hold enough subjects, of every class if any.

    Of several findings one must be known.
    """
    part = table.iloc[rows]
    findings = columns_of(part, "finding_")
    if part.subject.nunique() < FEWEST or (findings.size and np.isnan(findings).all()):
        return False
    if "label" not in table:
        return True
    classes = part.groupby("label").subject.nunique().reindex(table.label.unique(), fill_value=0)
    return bool((classes >= FEWEST_PER_CLASS).all())


def measure_gap(
    arm: str, kind: str, scores: Mapping[str, Scores], metric: str, confidence: float
) -> Gap:
    """How far the worst group is behind the best.

    The widest of several gaps is wide by chance as well. Resampled scores, each less the score
    observed, show how far groups drift apart that are alike.
    """
    merit = METRICS[metric].merit
    ordered = sorted(scores, key=lambda name: merit(scores[name].observed.mean()))
    worst, best = ordered[0], ordered[-1]
    means = {name: score.observed.mean() for name, score in scores.items()}
    drift = np.stack([scores[name].resampled.mean(1) - means[name] for name in scores])
    reach = drift.max(0) - drift.min(0)
    known = reach[np.isfinite(reach)]
    wider = np.sum(known >= abs(means[best] - means[worst]) - 1e-12)
    pair = Scores(
        scores[best].observed - scores[worst].observed,
        scores[best].resampled - scores[worst].resampled,
        min(scores[best].subjects, scores[worst].subjects),
    )
    return Gap(
        arm,
        kind,
        best,
        worst,
        estimate(pair, confidence),
        float((1 + wider) / (1 + len(known))),
    )


def _place(name: str) -> tuple[int, str]:
    """Bands of age and thirds of size in their order, names by the alphabet."""
    known = [*BANDS, *THIRDS]
    return (known.index(name) if name in known else 0), str(name)
