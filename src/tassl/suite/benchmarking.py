"""From a suite file to its tables and pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import yaml

from tassl.data.files import write_text
from tassl.errors import RunFolderError
from tassl.suite.cells import Cell, check_kept, list_cells
from tassl.suite.declaring import Suite
from tassl.suite.gathering import gather_results, gather_states
from tassl.suite.judging import Judgement, judge_claims, tabulate_claims
from tassl.suite.page import render_pages
from tassl.suite.running import State, run_cells

DECLARED, FLOATS = "declared.yaml", "%.6f"


@dataclass(frozen=True)
class Benchmark:
    """What a suite ends with.

    Args:
        out: Its folder, with suite.csv, runs.csv, claims.csv, suite.md and suite.html.
        states: One row per run.
        results: One row per set, seed, arm, budget and metric.
        judgements: One per claim.
    """

    out: Path
    states: pd.DataFrame
    results: pd.DataFrame
    judgements: list[Judgement]


def run_suite(
    suite: Suite,
    out: Path,
    jobs: int = 1,
    on_cell: Callable[[Cell, State], None] = lambda cell, state: None,
) -> Benchmark:
    """Run what is not finished of a suite, and write its tables and pages.

    Args:
        suite: What to run.
        out: Folder of the runs and tables; a suite that was cut short is taken up.
        jobs: Runs at a time.
        on_cell: Called as soon as a run has ended.

    Raises:
        RunFolderError: The folder holds another suite's claims or runs, or something else.
    """
    cells = list_cells(suite, out)
    _claim(suite, out)
    check_kept(cells)
    states = gather_states(cells, run_cells(cells, out, jobs, on_cell))
    results, judgements = gather_results(cells), judge_claims(suite, cells)
    tables = {"suite.csv": results, "runs.csv": states}
    if suite.claims:
        tables["claims.csv"] = tabulate_claims(judgements)
    for name, table in tables.items():
        write_text(out / name, table.to_csv(index=False, float_format=FLOATS))
    for name, page in zip(
        ("suite.md", "suite.html"),
        render_pages(suite, states, results, judgements),
        strict=True,
    ):
        write_text(out / name, page)
    return Benchmark(out, states, results, judgements)


def _claim(suite: Suite, out: Path) -> None:
    """Keep the claims as they were before the first run; they may not change after it."""
    declared = json.loads(json.dumps([asdict(claim) for claim in suite.claims]))
    facts, file = {"name": suite.name, "claims": declared}, out / DECLARED
    try:
        if not file.exists():
            if out.exists() and (not out.is_dir() or any(out.iterdir())):
                raise RunFolderError(f"{out} exists and holds no suite. Choose an empty --out.")
            write_text(file, yaml.safe_dump(facts, sort_keys=False))
        elif yaml.safe_load(file.read_text(encoding="utf-8")) != facts:
            raise RunFolderError(
                f"{out} holds a suite of another name or with other claims; claims are declared "
                "before the runs. Choose another --out."
            )
    except OSError as error:
        raise RunFolderError(
            f"{out} cannot be written ({error.strerror}). Choose an --out that can."
        ) from None
