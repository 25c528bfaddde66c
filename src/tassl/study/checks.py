"""What a run measures beside its verdict: leaking sites, subgroups, and changed test images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tassl.data.files import write_json, write_text
from tassl.evaluation.leakage import find_cells
from tassl.evaluation.robustness import measure_drops
from tassl.evaluation.splits import Subset
from tassl.evaluation.statistics import Estimate
from tassl.evaluation.subgroups import list_groups, score_subgroups
from tassl.evaluation.verdict import Arm
from tassl.heads import HEADS
from tassl.study.preparation import Prepared
from tassl.trials import Bench, read_predictions
from tassl.trials.leaking import measure_sites
from tassl.trials.varying import read_variants

REFERENCE = "scratch"


def write_checks(
    prepared: Prepared, bench: Bench, arms: Sequence[Arm], subsets: Sequence[Subset], folder: Path
) -> None:
    """Measure what can be measured; what cannot is said in notes.json.

    Args:
        prepared: The data.
        bench: What the trials shared.
        arms: That were tried.
        subsets: That they were tried on.
        folder: The run folder; gets checks/{leakage,subgroups,gaps,changes}.csv and notes.json.
    """
    whole = [subset for subset in subsets if subset.budget == "all"]
    plain = {arm: tables for (arm, _), tables in read_predictions(folder, arms, whole).items()}
    place, notes = folder / "checks", {}
    for name, measure in MEASURES.items():
        found = measure(prepared, bench, arms, folder, plain)
        if isinstance(found, str):
            notes[name] = found
            continue
        for file, rows in found.items():
            table = pd.DataFrame([_flatten(row) for row in rows])
            write_text(place / f"{file}.csv", table.to_csv(index=False, float_format="%.6f"))
    write_json(place / "notes.json", notes)


Plain = Mapping[str, Sequence[pd.DataFrame]]  # predictions of every arm with all labels, by draw
Found = dict[str, list[dict[str, Any]]] | str


def _leakage(
    prepared: Prepared, bench: Bench, arms: Sequence[Arm], folder: Path, plain: Plain
) -> Found:
    store = prepared.store
    table = store.table.assign(group=bench.kind.groups(store))
    cells = find_cells(table, prepared.rows("train", "val", "test"))
    if isinstance(cells, str):
        return cells
    facts = {"sites": len(cells.sites), "subjects": len(set(cells.subject))}
    leaks = measure_sites(bench, cells)
    return {"leakage": [{"arm": arm, **vars(leak), **facts} for arm, leak in leaks.items()]}


def _subgroups(
    prepared: Prepared, bench: Bench, arms: Sequence[Arm], folder: Path, plain: Plain
) -> Found:
    store = prepared.store
    rows = pd.Index(store.table.id).get_indexer(next(iter(plain.values()))[0].id)
    kinds = list_groups(store.table.iloc[rows], store.measure_masks()[rows])
    if not kinds:
        return "Neither site, sex nor age of the test subjects is known, nor do masks tell a size."
    groups, gaps = score_subgroups(
        plain, kinds, HEADS[bench.task].metrics[0], bench.protocol.confidence, bench.seed
    )
    return {"subgroups": list(map(vars, groups)), "gaps": list(map(vars, gaps))}


def _changes(
    prepared: Prepared, bench: Bench, arms: Sequence[Arm], folder: Path, plain: Plain
) -> Found:
    if not bench.variants:
        return "A negative control is not tried on changed images."
    drops = measure_drops(
        {arm: tables[0] for arm, tables in plain.items()},
        read_variants(folder, arms, bench.variants),
        HEADS[bench.task].metrics[0],
        bench.protocol.confidence,
        reference=REFERENCE,
        seed=bench.seed,
    )
    return {"changes": list(map(vars, drops))}


MEASURES: dict[str, Callable[..., Found]] = {
    "leakage": _leakage,
    "subgroups": _subgroups,
    "changes": _changes,
}


def _flatten(row: dict[str, Any]) -> dict[str, Any]:
    """A row whose estimates are spread over columns, as "accuracy", "accuracy_low"."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Estimate):
            flat[name] = value.value
            flat |= {f"{name}_{end}": getattr(value, end) for end in ("low", "high", "p")}
        else:
            flat[name] = np.nan if value is None else value
    return flat
