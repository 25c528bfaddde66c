"""One page on which a person chooses a situation and sees the advice for it, offline.

The page holds the answers of `tassl.advise` to every situation it offers; it computes none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from tassl.advisor import Advice, Query, Strategy
from tassl.advisor.advice import weigh
from tassl.advisor.answering import name_arm
from tassl.advisor.evidence import Evidence, load
from tassl.advisor.evidence.browsing import walk_cells
from tassl.advisor.evidence.reading import Row
from tassl.advisor.query import TASKS
from tassl.advisor.telling import TRUST
from tassl.data.files import write_text
from tassl.errors import OptionError
from tassl.heads import HEADS
from tassl.methods import METHODS, PARADIGMS
from tassl.modality import MODALITIES
from tassl.report.rendering import render

LABELS = (10, 50, 250, 1000)
IMAGES = (500, 5_000, 50_000)


class Words:
    """Texts by number, so that a page holds each once."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        """The number of a text."""
        return self.places.setdefault(text, len(self.places))


@dataclass(frozen=True)
class Situation:
    """One choice on the page."""

    modality: str
    dims: int
    task: str
    labels: int
    images: int
    natural: bool

    @property
    def key(self) -> str:
        """Its name on the page."""
        parts = (self.modality, self.dims, self.task, self.labels, self.images, int(self.natural))
        return "|".join(map(str, parts))

    @property
    def query(self) -> Query:
        """What the advisor is asked."""
        return Query(
            self.modality,
            self.task,
            labels=self.labels,
            images=self.images,
            dims=self.dims,
            natural_weights=self.natural,
        )


def list_situations() -> Iterator[Situation]:
    """Every situation that the page offers: no more labels than images, no 2D weights in 3D."""
    for (modality, card), task in product(MODALITIES.items(), TASKS):
        for dims, labels, images, natural in product(card.dims, LABELS, IMAGES, (False, True)):
            if labels <= images and not (natural and dims == 3):
                yield Situation(modality, dims, task, labels, images, natural)


def write_advisor(file: Path) -> Path:
    """Write the page; one that is there is not overwritten.

    Raises:
        OptionError: The file exists or cannot be written.
    """
    if file.exists():
        raise OptionError(f"{file} exists. Choose another name for --html.")
    facts = json.dumps(gather_facts(), separators=(",", ":"))
    page = render("advisor.html.j2", facts=facts, trust=TRUST)
    try:
        write_text(file, page)
    except OSError as error:
        raise OptionError(f"{file} cannot be written ({error.strerror}). Choose another.") from None
    return file


def gather_facts() -> dict[str, Any]:
    """All that the page shows."""
    evidence, words = load(), Words()
    situations = {}
    for situation in list_situations():
        advice = weigh(situation.query, evidence=evidence, neighbours=False)
        situations[situation.key] = _tell_advice(advice, words)
    return {
        "modalities": {name: [card.title, list(card.dims)] for name, card in MODALITIES.items()},
        "tasks": list(TASKS),
        "runs": list(HEADS),
        "labels": LABELS,
        "images": IMAGES,
        "paradigms": PARADIGMS,
        "methods": {name: [card.title, card.paradigm] for name, card in METHODS.items()},
        "situations": situations,
        "cells": tell_cells(evidence),
        "studies": {
            row["study_id"]: [_title(row), row["source_url"] or ""] for row in evidence.studies
        },
        "words": list(words.places),
    }


def tell_cells(evidence: Evidence) -> dict[str, list[list[str]]]:
    """What the studies of each cell "modality|task|paradigm" say: study and sentence."""
    cells: dict[str, set[tuple[str, str]]] = {}
    for cell, row in walk_cells(evidence):
        if cell[-1] in PARADIGMS:
            cells.setdefault("|".join(cell), set()).add((row["study_id"], _sentence(row)))
    return {key: sorted(map(list, told)) for key, told in cells.items()}


def _sentence(row: Row) -> str:
    """What a finding or a comparison says."""
    if "finding" in row:
        return row["finding"] or ""
    metric = row["metric_printed"] or row["metric"]
    best = f"{row['winner']} best" if row["winner"] else "no winner named"
    return f"{row['dataset']}, {row['labels_printed'] or 'labels not said'}, {metric}: {best}"


def _title(row: Row) -> str:
    return ", ".join(str(part) for part in (row["first_author"], row["year"], row["title"]) if part)


def _tell_advice(advice: Advice, words: Words) -> dict[str, Any]:
    return {
        "answer": words(advice.answer),
        "because": [words(reason) for reason in advice.because],
        "baseline": words(name_arm(advice.baseline)),
        "ranking": [_tell_strategy(strategy, words) for strategy in advice.ranking],
        "vetoes": [[method, words(reason)] for method, reason in advice.vetoes.items()],
        "rules": [[key, *map(words, rule)] for key, *rule in advice.rules],
        "banned": [words(name) for name in advice.banned],
        "studies": advice.studies,
    }


def _tell_strategy(strategy: Strategy, words: Words) -> list[Any]:
    gain, options = strategy.gain, strategy.options
    how = [
        f"network {options.network}",
        f"{options.epochs} epochs of batches of {options.batch}" if options.epochs else "",
        f"views: {', '.join(options.augmentation)}" if options.augmentation else "",
        f"hide {options.mask_ratio:.0%} of the image" if options.mask_ratio else "",
        options.adaptation,
        f"about {options.minutes:g} minutes on two processor cores" if options.minutes else "",
        f"about {options.memory:g} GB of memory",
    ]
    numbers = (gain.mean, *gain.likely, *gain.wide, 100 * strategy.best)
    return [
        strategy.method,
        [round(number, 2) for number in numbers],
        [words(line) for line in how if line],
        [[move.study, round(move.points, 2)] for move in strategy.moves],
        [[key, round(points, 2)] for key, points in strategy.rules],
    ]
