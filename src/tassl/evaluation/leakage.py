"""Do features tell the site, beyond what they tell of the answer?

Sites differ in whom they see, so features that tell sick from healthy tell sites apart as well.
Every pair of site and class therefore counts alike, in fitting and in scoring: then a class says
nothing of a site, and what is left above guessing is the site's signature. Sites and classes that
cannot be told apart in this way are left out.

Sources: de Jong et al. 2025, arXiv:2501.18055, and Koemen et al. 2025, arXiv:2507.17845 (the
robustness index, here with every pair of site and class counting alike); Nadeau & Bengio, Machine
Learning 2003, 10.1023/A:1024068626366 (the variance of cross-validated scores).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tassl.evaluation.columns import divide
from tassl.evaluation.statistics import CHECK_RESAMPLES, Estimate, Scores, estimate, subject_weights

FEWEST = 10  # subjects of a site and class
FOLDS, REPEATS = 5, 3
SPREAD = (1 + FOLDS / (FOLDS - 1)) ** 0.5  # folds share what they are fitted to, so errors agree
NEIGHBOURS = 10
MOST_IMAGES = 2000


@dataclass(frozen=True)
class Cells:
    """Images by site and class, such that every site has every class.

    Args:
        rows: Rows of the table that take part.
        subject: Subject of each.
        site: Number of its site.
        group: Number of its class.
        sites: Names of the sites.
        groups: How many classes there are.
    """

    rows: np.ndarray
    subject: np.ndarray
    site: np.ndarray
    group: np.ndarray
    sites: tuple[str, ...]
    groups: int

    @property
    def number(self) -> np.ndarray:
        """Number of each image's pair of site and class."""
        return self.site * self.groups + self.group

    @property
    def weight(self) -> np.ndarray:
        """Of each image, so that every pair counts alike; 1 on average."""
        sizes = np.bincount(self.number)
        return len(self.number) / (sizes[self.number] * len(sizes))


@dataclass(frozen=True)
class Leakage:
    """What features tell of the site.

    Args:
        accuracy: Balanced accuracy of a linear probe; its p-value is against guessing.
        chance: Balanced accuracy of guessing.
        robustness: Robustness index, None with a single class: above one half nearest neighbours
            share the class rather than the site; its p-value is against one half.
    """

    accuracy: Estimate
    chance: float
    robustness: Estimate | None


def find_cells(table: pd.DataFrame, rows: np.ndarray) -> Cells | str:
    """Sites and classes with enough subjects in every pair; else why there are none.

    Args:
        table: Columns subject, site ("" where unknown), group (-1 where unknown).
        rows: Rows that may take part.
    """
    known = table.iloc[rows]
    known = known[(known.site != "") & (known.group >= 0)]
    if known.site.nunique() < 2:
        return "Fewer than two sites are known."
    counts = known.groupby(["group", "site"]).subject.nunique().unstack(fill_value=0)
    enough = counts >= FEWEST
    groups = enough.index[enough.sum(axis=1) >= 2]
    sites = enough.columns[enough.loc[groups].all(axis=0)]
    if not len(groups) or len(sites) < 2:
        return (
            f"Site and class cannot be told apart: no two sites have {FEWEST} subjects of the "
            "same classes."
        )
    kept = np.flatnonzero(known.group.isin(groups) & known.site.isin(sites))
    kept = kept[np.unique(np.linspace(0, len(kept) - 1, MOST_IMAGES).astype(int))]
    known = known.iloc[kept]
    return Cells(
        rows=table.index.get_indexer(known.index),
        subject=known.subject.to_numpy(),
        site=np.asarray(sites.get_indexer(known.site)),
        group=np.asarray(groups.get_indexer(known.group)),
        sites=tuple(map(str, sites)),
        groups=len(groups),
    )


def measure_leakage(
    features: np.ndarray, cells: Cells, confidence: float, seed: int = 0
) -> Leakage:
    """Measure what features of the images of `cells`, (image, width), tell of their sites."""
    weights = subject_weights(pd.Series(cells.subject), CHECK_RESAMPLES, seed)
    chance = 1 / len(cells.sites)
    hits = [predict_sites(features, cells, seed + k) == cells.site for k in range(REPEATS)]
    scores = [balance(cells, hit, weights) - chance for hit in hits]
    accuracy = _score([np.r_[s[0], s[0] + SPREAD * (s[1:] - s[0])] for s in scores], cells)
    robustness = None
    if cells.groups > 1:
        index = robustness_index(*weigh_neighbours(features, cells), weights)
        robustness = _raise(estimate(_score([index - 0.5], cells), confidence), 0.5)
    return Leakage(_raise(estimate(accuracy, confidence), chance), chance, robustness)


def predict_sites(features: np.ndarray, cells: Cells, seed: int) -> np.ndarray:
    """Number of the site of each image, told by a linear probe that saw other subjects alone."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.preprocessing import StandardScaler

    said = np.empty(len(cells.site), dtype=int)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for train, test in folds.split(features, cells.number, cells.subject):
        scaler = StandardScaler().fit(features[train])
        model = LogisticRegression(C=0.01, max_iter=2000)
        model.fit(scaler.transform(features[train]), cells.site[train], cells.weight[train])
        said[test] = model.predict(scaler.transform(features[test]))
    return said


def balance(cells: Cells, hits: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of hits, mean over all pairs of site and class, (1 + resample,); the plain one first.

    Args:
        cells: The images.
        hits: Whether the site of each was told, (image,).
        weights: How often each is drawn, (resample, image).
    """
    member = np.eye(len(cells.sites) * cells.groups)[cells.number]
    counted = np.vstack([np.ones(len(hits)), weights])
    return divide(counted @ (member * hits[:, None]), counted @ member).mean(1)


def weigh_neighbours(features: np.ndarray, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """What is near each image: same class of another site, and same site of another class.

    Of the 10 nearest images of other subjects, by the cosine of standardised features. On both ends
    a pair of site and class counts by the inverse of its size, so that without any order in the
    features both are equal.

    Returns:
        Weight of each neighbour, (image, neighbour) each.
    """
    scaled = (features - features.mean(0)) / (features.std(0) + 1e-6)
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True) + 1e-12
    cosine = scaled @ scaled.T
    cosine[cells.subject[:, None] == cells.subject] = -np.inf
    near = np.zeros(cosine.shape)
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :NEIGHBOURS]
    np.put_along_axis(near, nearest, 1.0, axis=1)
    near *= np.outer(cells.weight, cells.weight)
    same_group, same_site = (part[:, None] == part for part in (cells.group, cells.site))
    same = near * (same_group & ~same_site) / (len(cells.sites) - 1)
    return same, near * (~same_group & same_site) / (cells.groups - 1)


def robustness_index(same: np.ndarray, other: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the former in both, (1 + resample,); the plain one first.

    A subject that is drawn twice counts twice as neighbour as well: some are that of many.
    """
    counted = np.vstack([np.ones(len(same)), weights])
    ours, theirs = ((counted @ near * counted).sum(1) for near in (same, other))
    return divide(ours, ours + theirs)


def _score(values: list[np.ndarray], cells: Cells) -> Scores:
    """Scores of repeats whose plain value comes before their resamples."""
    both = np.stack(values, axis=1)
    return Scores(both[0], both[1:], len(set(cells.subject)))


def _raise(gap: Estimate, level: float) -> Estimate:
    """The estimate of a gap to a level as one of what is compared with it, in [0, 1]."""
    low, high = max(0.0, gap.low + level), min(1.0, gap.high + level)
    return replace(gap, value=gap.value + level, low=low, high=high)
