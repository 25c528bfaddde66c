"""What a suite is: sets, methods and seeds, and the claims that they are to test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FEWEST = "fewest"


@dataclass(frozen=True)
class Set:
    """One labelled image set and how it is run.

    Args:
        name: As it stands in tables.
        modality: Key in `MODALITIES`.
        task: Key in `HEADS`.
        methods: Keys in `METHODS`.
        choices: Other choices of a run, by the names of `tassl.study.Study`.
        path: Where the images are, "" for a phantom.
        phantom: Options of `PhantomSpec`, where the images are drawn.
        subjects: Subjects that are kept of it, all unless given.
        minutes: What a run takes, as the suite's author knows it.
    """

    name: str
    modality: str
    task: str
    methods: tuple[str, ...]
    choices: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""
    phantom: Mapping[str, Any] | None = None
    subjects: int | None = None
    minutes: float | None = None


@dataclass(frozen=True)
class Side:
    """One side of a contrast: the arms whose scores are averaged.

    Args:
        sets: Sets, one for each set of the other side.
        methods: Methods whose arms count, those that a run has; all unless given.
        budgets: Label budgets, `FEWEST` for the smallest of a run; all but "all" unless given.
        adaptation: "frozen" or "finetune"; both unless given.
        gain: Whether the baseline of the same adaptation (random features, or a network from
            scratch) is subtracted first.
    """

    sets: tuple[str, ...]
    methods: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    adaptation: str = ""
    gain: bool = False


@dataclass(frozen=True)
class Claim:
    """A statement that was declared before the runs: one side scores above the other.

    Args:
        name: Short.
        says: The statement.
        better: The side that should score higher.
        worse: The other one.
    """

    name: str
    says: str
    better: Side
    worse: Side


@dataclass(frozen=True)
class Suite:
    """Many runs that belong together.

    Args:
        name: As it stands on the page.
        about: What it is for.
        seeds: Each set is run once per seed.
        sets: By name.
        claims: What the runs are to test.
        missing: Sets that were left out because their images are not there, with the reason.
    """

    name: str
    about: str
    seeds: tuple[int, ...]
    sets: Mapping[str, Set]
    claims: tuple[Claim, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)


SHIPPED = {file.stem: file for file in sorted((Path(__file__).parent / "shipped").glob("*.yaml"))}
