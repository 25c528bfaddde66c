"""From a study's predictions to its tables and its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from tassl.data.files import write_text
from tassl.evaluation.efficiency import Saving, measure_savings, trace_areas
from tassl.evaluation.finding import Arm
from tassl.evaluation.splits import Subset
from tassl.evaluation.verdict import compare, conclude, score_all, tabulate
from tassl.heads import HEADS
from tassl.study.configuration import Study
from tassl.trials import (
    read_predictions,
)

RESULTS, AREAS, SAVINGS, FLOATS = "results.csv", "areas.csv", "savings.csv", "%.6f"


def judge_predictions(
    study: Study,
    folder: Path,
    arms: list[Arm],
    subsets: list[Subset],
    unit: str,
    labels: Mapping[str, float],
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Score the predictions in a run folder; write its tables; return results with the verdict."""
    card, predictions = HEADS[study.task], read_predictions(folder, arms, subsets)
    metrics = (*card.metrics, "kappa") if study.ordinal else card.metrics
    metric, protocol = metrics[0], study.protocol
    scores = score_all(predictions, metrics, protocol, study.seed)
    areas = trace_areas(scores, metric, labels)
    findings = compare(scores | areas, arms, metric, protocol)
    savings = measure_savings(scores, findings, metric, labels, protocol, study.seed)
    results = tabulate(scores, arms, findings, metric, protocol.confidence)
    tables = {
        RESULTS: results,
        AREAS: tabulate(areas, arms, findings, metric, protocol.confidence),
        SAVINGS: pd.DataFrame(map(asdict, savings), columns=[f.name for f in fields(Saving)]),
    }
    for name, table in tables.items():
        write_text(folder / name, table.to_csv(index=False, float_format=FLOATS))
    subjects = next(iter(scores.values())).subjects
    draws = len({subset.draw for subset in subsets})
    return results, conclude(
        findings, metric, card.unit, subjects, unit, savings=savings, draws=draws
    )
