"""Several findings per image, each shown, not shown or unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tassl.data.findings import stack_findings
from tassl.data.store import Store
from tassl.errors import InputError
from tassl.evaluation.finding_splits import draw_finding_subsets, number_rarest
from tassl.evaluation.splits import Subset, split_halves
from tassl.heads.base import Head
from tassl.heads.findings_probe import FindingsProbe, fit_findings
from tassl.trials.targets.base import Answers, Target, add_columns, name_rows, predict_whole

if TYPE_CHECKING:
    from tassl.trials.bench import Bench


class Findings(Target):
    """(finding,) of 1, 0, or NaN where unknown."""

    words = "findings"

    def known(self, table: pd.DataFrame) -> pd.Series:
        return table.findings.map(len) > 0

    def count(self, store: Store, rows: Mapping[str, np.ndarray]) -> int:
        """Number of findings."""
        findings = stack_findings(store.table)
        for side in ("train", "test"):
            own = findings[rows[side]]
            if not ((own == 1).any(0) & (own == 0).any(0)).any():
                raise InputError(
                    f"No finding is shown by some {side} images and not by others. Add some, or "
                    "use --own-splits."
                )
        return findings.shape[1]

    def values(self, store: Store) -> np.ndarray:
        """(row, finding)."""
        return stack_findings(store.table).astype(np.float32)

    def groups(self, store: Store) -> np.ndarray:
        """1 where more findings are shown than in most images, else 0."""
        known = self.known(store.table).to_numpy()
        return split_halves(np.where(known, np.nansum(self.values(store), axis=1), np.nan))

    def strata(self, table: pd.DataFrame) -> pd.DataFrame:
        known = self.known(table).any()
        return table.assign(label=number_rarest(table)) if known else table

    def subsets(
        self,
        table: pd.DataFrame,
        usable: np.ndarray,
        budgets: Sequence[float],
        draws: int,
        seed: int,
    ) -> list[Subset]:
        return draw_finding_subsets(table, usable, budgets, draws, seed)

    def tally(self, table: pd.DataFrame) -> dict[int, int]:
        if not self.known(table).any():
            return {}
        return dict(enumerate((stack_findings(table) == 1).sum(0).tolist()))

    def predict(self, bench: Bench, head: Head, rows: np.ndarray, *, fully: bool = True) -> Answers:
        return _tabulate(bench, rows, predict_whole(bench, head, rows))

    def fit_linear(
        self, bench: Bench, features: np.ndarray, rows: np.ndarray, seed: int
    ) -> FindingsProbe:
        subjects = bench.tensors.store.table.subject.to_numpy()[rows]
        return fit_findings(features[rows], bench.target[rows], subjects, seed)

    def probe(self, bench: Bench, model: FindingsProbe, features: np.ndarray) -> Answers:
        return _tabulate(bench, bench.test, model.predict_proba(features))


def _tabulate(bench: Bench, rows: np.ndarray, scores: np.ndarray) -> Answers:
    """The answers of the store, which a control may have shuffled in the bench, and the scores."""
    answers = stack_findings(bench.tensors.store.table.iloc[rows])
    table = add_columns(name_rows(bench, rows), answers, "finding_")
    return Answers(add_columns(table, scores, "score_"))
