"""The part of the page that tells of one pretraining."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tassl.methods import METHODS
from tassl.report.figures import draw_training
from tassl.report.loading import Pretraining, Run
from tassl.report.pictures import Picture, Plane, grey_range, show_row
from tassl.report.rendering import Figure
from tassl.report.words import duration, method_title

CURVES = (
    ("loss", "Loss"),
    ("feature_std", "Feature spread"),
    ("effective_rank", "Effective rank"),
)


@dataclass(frozen=True)
class Strip:
    """Example images under one caption of the pretext."""

    caption: str
    picture: Picture


@dataclass(frozen=True)
class MethodPart:
    """What the page says of one pretraining.

    Args:
        title: The method as the field writes it.
        keeps: What its features keep.
        source: Paper.
        facts: How it was trained, in one line.
        health: Keys verdict, healthy, action; empty where not judged.
        curves: Training curves; none before the first epoch is written.
        strips: Example images.
        cut: How volumes are laid flat, "" in 2D.
    """

    title: str
    keeps: str
    source: str
    facts: str
    health: dict[str, Any]
    curves: tuple[Figure, ...]
    strips: tuple[Strip, ...]
    cut: str


def describe_pretraining(run: Run, part: Pretraining) -> MethodPart:
    """Gather what is known of one pretraining."""
    card = METHODS.get(part.method)
    curves: tuple[Figure, ...] = ()
    if part.history is not None and len(part.history):
        curves = tuple(
            Figure(f"training-{part.method}-{column}", draw_training(part.history, column, title))
            for column, title in CURVES
        )
    plane = _plane(run, part)
    return MethodPart(
        title=method_title(part.method),
        keeps=card.keeps if card else "",
        source=card.source if card else "",
        facts=_facts(part),
        health=part.health,
        curves=curves,
        strips=_strips(part, plane) if plane else (),
        cut=f"the middle {plane.name} of each volume" if plane and plane.dims == 3 else "",
    )


def _plane(run: Run, part: Pretraining) -> Plane | None:
    """Examples tell their dimensions; the store or the audit tells whether axes are known."""
    if not part.examples:
        return None
    spacing = run.store.grid.spacing if run.store else run.audit.get("spacing")
    return Plane(next(iter(part.examples.values())).ndim - 2, tuple(spacing) if spacing else None)


def _strips(part: Pretraining, plane: Plane) -> tuple[Strip, ...]:
    """One row of images per caption; each column keeps the grey range of its first image."""
    first = next(iter(part.examples.values()))
    windows = [grey_range(image) for image in first]
    names = {"image": "stored image"}
    strips = []
    for caption, images in part.examples.items():
        name = names.get(caption, caption)
        alt = f"{len(images)} example images of {method_title(part.method)}: {name}"
        strips.append(Strip(name, show_row(images, windows, plane, alt)))
    return tuple(strips)


def _facts(part: Pretraining) -> str:
    training = part.recipe.get("training", {})
    epochs, kept = training.get("epochs"), training.get("kept")
    known = {
        "network": part.recipe.get("network"),
        "images": training.get("images"),
        "epochs": epochs,
        "weights of epoch": epochs if kept is None else kept,
        "share of them at half the size": training.get("grow") or None,
        "batch": training.get("batch"),
        "peak learning rate": training.get("learning_rate"),
        "precision": training.get("precision"),
        "seed": training.get("seed"),
    }
    said = [f"{name} {value}" for name, value in known.items() if value is not None]
    if part.history is not None:
        said.append(f"time {duration(float(np.nansum(part.history.seconds)))}")
    return ", ".join(said)
