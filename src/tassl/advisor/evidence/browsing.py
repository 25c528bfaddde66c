"""Look at the evidence base: filter it, count it, find what it lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from tassl.advisor.evidence.reading import Evidence, Row
from tassl.advisor.evidence.schema import DIMS, MODALITY, REGIMES, SSL, TASKS
from tassl.errors import UnknownName


@dataclass(frozen=True)
class Filter:
    """What rows must have; None asks for nothing.

    Args:
        modality: Modality of the labelled images.
        task: Task that was scored.
        paradigm: Of the method; of any method of a comparison.
        regime: Amount of labels.
        dims: 2d, 3d or video.
        since: First year of the study.
        until: Last year of the study.
    """

    modality: str | None = None
    task: str | None = None
    paradigm: str | None = None
    regime: str | None = None
    dims: str | None = None
    since: int | None = None
    until: int | None = None

    def __post_init__(self) -> None:
        """Check the words.

        Raises:
            UnknownName: One is none of the vocabulary.
        """
        for kind, words in {
            "modality": MODALITY,
            "task": TASKS,
            "paradigm": SSL,
            "regime": REGIMES,
            "dims": DIMS,
        }.items():
            word = getattr(self, kind)
            if word is not None and word not in words:
                raise UnknownName(kind, word, words)


def select(evidence: Evidence, wanted: Filter) -> Evidence:
    """Keep findings and comparisons that fit, with their results, methods and studies."""
    years = {row["study_id"]: row["year"] for row in evidence.studies}
    shown: dict[str, set[str]] = {}
    for row in evidence.results:
        shown.setdefault(row["case_id"], set()).add(row["paradigm"])

    def fits(row: Row, paradigms: set[str]) -> bool:
        year = years[row["study_id"]]
        asked = {
            "modality": wanted.modality,
            "task": wanted.task,
            "label_regime": wanted.regime,
            "dims": wanted.dims,
        }
        return (
            all(word is None or row[name] == word for name, word in asked.items())
            and (wanted.paradigm is None or wanted.paradigm in paradigms)
            and (wanted.since is None or (year is not None and year >= wanted.since))
            and (wanted.until is None or (year is not None and year <= wanted.until))
        )

    findings = tuple(row for row in evidence.findings if fits(row, {row["paradigm"]}))
    comparisons = tuple(
        row for row in evidence.comparisons if fits(row, shown.get(row["case_id"], set()))
    )
    cases = {row["case_id"] for row in comparisons}
    results = tuple(row for row in evidence.results if row["case_id"] in cases)
    methods = {row["method"] for row in results}
    studies = {row["study_id"] for row in (*findings, *comparisons)}
    return Evidence(
        studies=tuple(row for row in evidence.studies if row["study_id"] in studies),
        methods=tuple(row for row in evidence.methods if row["method"] in methods),
        findings=findings,
        comparisons=comparisons,
        results=results,
    )


def count_cells(evidence: Evidence) -> Counter[tuple[str, str, str]]:
    """Number of studies by (modality, task, paradigm), from findings and comparisons."""
    cells = {
        (row["modality"], row["task"], row["paradigm"], row["study_id"])
        for row in evidence.findings
    }
    cases = {row["case_id"]: row for row in evidence.comparisons}
    for row in evidence.results:
        case = cases[row["case_id"]]
        cells.add((case["modality"], case["task"], row["paradigm"], case["study_id"]))
    return Counter((modality, task, paradigm) for modality, task, paradigm, _ in cells)


def find_gaps(
    evidence: Evidence, modalities: Sequence[str], tasks: Sequence[str] = TASKS
) -> list[tuple[str, str, str]]:
    """Cells of modality, task and self-supervised paradigm that no study fills."""
    counts = count_cells(evidence)
    return [cell for cell in product(modalities, tasks, SSL) if not counts[cell]]
