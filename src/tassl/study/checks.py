"""What a run measures beside its verdict: findings, regions, sites, subgroups, changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tassl.data.files import write_json, write_text
from tassl.evaluation.finding import Arm
from tassl.evaluation.leakage import find_cells
from tassl.evaluation.per_finding import score_findings
from tassl.evaluation.per_region import score_regions
from tassl.evaluation.robustness import measure_drops
from tassl.evaluation.splits import Subset
from tassl.evaluation.statistics import Estimate, estimate
from tassl.evaluation.subgroups import list_groups, score_subgroups
from tassl.evaluation.verdict import SIDE_RESAMPLES, score_all
from tassl.heads import HEADS
from tassl.study.configuration import Study
from tassl.study.controls import ABSENT, AS_TRAINED
from tassl.study.preparation import Prepared
from tassl.study.serving import check_floors, check_service
from tassl.trials import Bench, read_predictions
from tassl.trials.leaking import measure_sites
from tassl.trials.neighbouring import read_neighbours
from tassl.trials.varying import read_variants

REFERENCE = "scratch"

Plain = Mapping[str, Sequence[pd.DataFrame]]  # predictions of every arm with all labels, by draw
Found = dict[str, list[dict[str, Any]]] | str  # rows by file, or why there are none


def write_checks(
    study: Study,
    prepared: Prepared,
    bench: Bench,
    arms: Sequence[Arm],
    subsets: Sequence[Subset],
    folder: Path,
) -> None:
    """Measure what can be measured; what cannot is said in notes.json.

    Args:
        study: The configuration.
        prepared: The data.
        bench: What the trials shared.
        arms: That were tried.
        subsets: That they were tried on.
        folder: The run folder; gets checks/, a table per question and notes.json.
    """
    whole = [subset for subset in subsets if subset.budget == "all"]
    plain = {arm: tables for (arm, _), tables in read_predictions(folder, arms, whole).items()}
    answers = {
        "per_finding": check_findings(bench, plain),
        "per_region": check_regions(bench, plain),
        "leakage": check_sites(prepared, bench),
        "subgroups": check_subgroups(bench, plain),
        "changes": check_changes(bench, arms, folder, plain),
        "floors": check_floors(bench, arms, subsets, folder),
        "service": check_service(study, prepared, bench, arms, whole, folder),
        "neighbours": check_neighbours(bench, arms, subsets, folder),
    }
    for found in answers.values():
        for file, rows in found.items() if isinstance(found, dict) else ():
            table = pd.DataFrame([_flatten(row) for row in rows])
            text = table.to_csv(index=False, float_format="%.6f")
            write_text(folder / "checks" / f"{file}.csv", text)
    notes = {name: found for name, found in answers.items() if isinstance(found, str)}
    write_json(folder / "checks" / "notes.json", notes)


def check_findings(bench: Bench, plain: Plain) -> Found:
    """The score of every arm on each finding, where the task has several."""
    if HEADS[bench.task].target != "findings":
        return {}
    names = bench.tensors.store.classes
    found = score_findings(plain, names, bench.protocol.confidence, bench.seed)
    return {"per_finding": list(map(vars, found))}


def check_regions(bench: Bench, plain: Plain) -> Found:
    """The scores of every arm on each region, where the task has regions."""
    if HEADS[bench.task].target != "regions":
        return {}
    names = list(bench.tensors.store.regions)
    found = score_regions(plain, names, bench.protocol.confidence, bench.seed)
    return {"per_region": list(map(vars, found))}


def check_sites(prepared: Prepared, bench: Bench) -> Found:
    """What fixed features tell of the site."""
    if prepared.tensors.changes:
        return "Not asked of a negative control, nor of images that are degraded already."
    store = prepared.store
    table = store.table.assign(group=bench.kind.groups(store))
    cells = find_cells(table, prepared.rows("train", "val", "test"))
    if isinstance(cells, str):
        return cells
    facts = {"sites": len(cells.sites), "subjects": len(set(cells.subject))}
    leaks = measure_sites(bench, cells)
    return {"leakage": [{"arm": arm, **vars(leak), **facts} for arm, leak in leaks.items()]}


def check_subgroups(bench: Bench, plain: Plain) -> Found:
    """The score of every arm on the subgroups of the test subjects."""
    store = bench.tensors.store
    rows = pd.Index(store.table.id).get_indexer(next(iter(plain.values()))[0].id)
    kinds = list_groups(store.table.iloc[rows], store.measure_masks()[rows])
    if not kinds:
        return "Neither site, sex nor age of the test subjects is known, nor do masks tell a size."
    groups, gaps = score_subgroups(
        plain, kinds, HEADS[bench.task].metrics[0], bench.protocol.confidence, bench.seed
    )
    found = {"subgroups": list(map(vars, groups))}
    return found | {"gaps": list(map(vars, gaps))} if gaps else found


def check_changes(bench: Bench, arms: Sequence[Arm], folder: Path, plain: Plain) -> Found:
    """How scores move where test images are changed."""
    if not bench.variants:
        return "Not asked of a negative control, nor of images that are degraded already."
    changed = read_variants(folder, arms, bench.variants)
    ids = next(iter(changed[arms[0].name].values())).id
    before = {
        arm: tables[0].set_index("id").loc[ids].reset_index() for arm, tables in plain.items()
    }
    planted = bench.variants[0].kind == AS_TRAINED
    if planted:
        for arm, tables in changed.items():
            tables[ABSENT, 1], before[arm] = before[arm], tables.pop((AS_TRAINED, 1))
    drops = measure_drops(
        before,
        changed,
        HEADS[bench.task].metrics[0],
        bench.protocol.confidence,
        reference=REFERENCE,
        means=not planted,
        seed=bench.seed,
    )
    return {"confounder" if planted else "changes": list(map(vars, drops))}


def check_neighbours(
    bench: Bench, arms: Sequence[Arm], subsets: Sequence[Subset], folder: Path
) -> Found:
    """What nearest neighbours make of fixed features, beside the linear model of the verdict."""
    tables = read_neighbours(folder, arms, subsets)
    asked = [arm for arm in arms if (arm.name, subsets[0].budget) in tables]
    if not asked:
        return {}
    metric, level = HEADS[bench.task].metrics[0], bench.protocol.confidence
    protocol = replace(bench.protocol, resamples=SIDE_RESAMPLES)
    near, linear = (
        score_all(held, (metric,), protocol, bench.seed)
        for held in (tables, read_predictions(folder, asked, subsets))
    )
    rows = [
        {
            "arm": arm,
            "budget": budget,
            "score": estimate(scores, level, skewed=True),
            "linear": linear[arm, budget, metric].observed.mean(),
            "gain": estimate(scores.minus(linear[arm, budget, metric]), level),
            "fewest": min(table.neighbours[0] for table in tables[arm, budget]),
            "most": max(table.neighbours[0] for table in tables[arm, budget]),
        }
        for (arm, budget, _), scores in near.items()
    ]
    return {"neighbours": rows}


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
