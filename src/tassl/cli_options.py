"""The options that commands share, in groups, and how what is given is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from tassl.errors import OptionError
from tassl.heads import HEADS
from tassl.methods import METHODS
from tassl.modality import MODALITIES
from tassl.networks import NETWORKS
from tassl.transforms.degradations import DEGRADATIONS


def list_names(registry: Mapping[str, Any]) -> str:
    """The names of a registry, for a help text."""
    return ", ".join(registry)


def _offer(kind: Any, told: str) -> Any:
    """An option that may be left out."""
    return Annotated[kind | None, typer.Option(help=told)]


def _flag(name: str, told: str) -> Any:
    """A switch without its contrary."""
    return Annotated[bool, typer.Option(name, help=told)]


Data = Annotated[
    str, typer.Argument(help="File or folder of images, table or manifest; or its address.")
]
Modality = Annotated[str, typer.Option(help=f"One of: {list_names(MODALITIES)}.")]
Task = Annotated[str, typer.Option(help=f"One of: {list_names(HEADS)}.")]
Out = Annotated[Path, typer.Option(help="New folder; an unfinished run is taken up.")]
Method = Annotated[str, typer.Option(help=f"One of: {list_names(METHODS)}.")]
Seed = Annotated[int, typer.Option(help="Same seed, same results.")]

Offered = dict[str, tuple[Any, Any]]  # an option's default and what typer needs to know of it

READING: Offered = {
    "layout": (None, _offer(str, "Layout, where recognition guesses wrong.")),
    "subject": (None, _offer(str, "Regular expression: subject in file name.")),
    "csv": (None, _offer(str, "Table that tells more of the images, by file name.")),
    "label": (None, _offer(str, "Its column of the class, or of findings: A,B.")),
    "value": (None, _offer(str, "Its column of the number to predict.")),
    "regions": (None, _offer(str, "Regions of masks: whole=1+2+3,core=2+3.")),
    "own_splits": (False, _flag("--own-splits", "Forget the splits given.")),
}
PREPARING: Offered = READING | {
    "seed": (0, Seed),
    "degrade": (None, _offer(str, f"What to undo, as noise:0.5: {list_names(DEGRADATIONS)}.")),
    "clean": (None, _offer(str, "none: reconstruction learns from degraded images alone.")),
    "size": (None, _offer(int, "Most pixels along a side.")),
    "external": ("", Annotated[str, typer.Option(help="Test this site, and no other.")]),
    "drop_near_duplicates": (
        False,
        _flag("--drop-near-duplicates", "Take copies across the split out."),
    ),
}
PRETRAINING: Offered = {
    "network": (None, _offer(str, f"One of: {list_names(NETWORKS)}.")),
    "locality": (None, _offer(str, "Where the sign sits: global or local.")),
    "epochs": (None, _offer(int, "Passes of each pretraining.")),
    "batch": (None, _offer(int, "Images per pretraining step.")),
    "memory": (None, _offer(str, "Most memory of each pretraining: 8GB.")),
    "time": (None, _offer(str, "Most time of each pretraining: 30m, 2h.")),
    "grow": (
        0.0,
        Annotated[float, typer.Option(help="Share of the epochs on images of half the size.")],
    ),
    "augment": (None, _offer(list[str], "As crop=0.6; repeat.")),
    "allow": (None, _offer(list[str], "Permit a banned augmentation; repeat.")),
}
SCOUTING: Offered = {
    name: option for name, option in PRETRAINING.items() if name not in ("memory", "time", "grow")
}
COURSE: Offered = {
    "course": (
        "cosine",
        Annotated[
            str, typer.Option(help="constant: the same command with more --epochs goes on later.")
        ],
    ),
}
SHARING: Offered = {
    "devices": (
        1,
        Annotated[int, typer.Option(help="Devices that share each batch, one process each.")],
    ),
    "nodes": (
        1,
        Annotated[int, typer.Option(help="Machines that do; start the command on each.")],
    ),
    "strategy": (
        "ddp",
        Annotated[str, typer.Option(help="ddp copies the weights, fsdp shares them out.")],
    ),
}
SITUATION: Offered = {
    "labels": (None, _offer(int, "Labelled images.")),
    "images": (None, _offer(int, "Images in all.")),
    "size": PREPARING["size"],
    "dims": (None, _offer(int, "2 or 3.")),
    "locality": PRETRAINING["locality"],
    "multi_image": (False, _flag("--multi-image", "Several images show the same thing.")),
    "time": PRETRAINING["time"],
    "memory": PRETRAINING["memory"],
    "natural_weights": (False, _flag("--natural-weights", "Natural-image weights are at hand.")),
    "network": PRETRAINING["network"],
}
STEPS: Offered = {
    "steps": (None, _offer(int, "Optimiser steps of each trained arm.")),
    "class_weights": (False, _flag("--class-weights", "Every class counts alike in fitting.")),
}
BUDGETS: Offered = {"budgets": (None, _offer(str, "Labelled subjects, as in 5,10,25 or 1%,10%."))}
DRAWS: Offered = {"draws": (None, _offer(int, "Label subsets per budget."))}
JUDGING: Offered = {
    **STEPS,
    **BUDGETS,
    **DRAWS,
    "subsets": (None, _offer(str, "Label subsets of another run: its subsets.json.")),
    "ordinal": (False, _flag("--ordinal", "Classes are grades: score kappa too.")),
    "wide_tuning": (False, _flag("--wide-tuning", "Tune more than the rate: nine tries each.")),
    "natural": (None, _offer(list[str], "Natural-image baseline: timm name or NAME=FILE; repeat.")),
    "fixmatch": (False, _flag("--fixmatch", "Semi-supervised baseline too.")),
    "shuffle_labels": (False, _flag("--shuffle-labels", "Negative control.")),
    "shuffle_pixels": (False, _flag("--shuffle-pixels", "Negative control of all shapes.")),
    "plant_confounder": (
        False,
        _flag("--plant-confounder", "Mark the class in all images but the tested: who falls?"),
    ),
}


def takes(*groups: Offered) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these groups of options; it gets what was chosen as `**choices`, parsed."""
    offered = {name: option for group in groups for name, option in group.items()}
    shared = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (default, kind) in offered.items()
    ]

    def give(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def parse(**given: Any) -> None:
            for name, read in PARSED.items():
                if name in given:
                    given[name] = read(given[name])
            command(**given)

        own = signature(command, eval_str=True).parameters.values()
        kept = [p.replace(kind=Parameter.KEYWORD_ONLY) for p in own if p.kind != p.VAR_KEYWORD]
        parse.__signature__ = Signature([*kept, *shared])  # type: ignore[attr-defined]
        del parse.__wrapped__, parse.__annotations__
        return parse

    return give


def read_budgets(text: str | None) -> tuple[float, ...] | None:
    """Numbers or shares of subjects; 100% is left out, since all labels are always tried."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    try:
        if not any(part.endswith("%") for part in parts):
            return tuple(map(int, parts))
        shares = [float(part.removesuffix("%")) / 100 for part in parts if part.endswith("%")]
        if len(shares) == len(parts) and all(0 < share <= 1 for share in shares):
            return tuple(share for share in shares if share < 1)
    except ValueError:
        pass
    raise OptionError(
        f"--budgets {text!r}: wanted whole numbers, as in 5,10,25, or shares, as in 1%,10%."
    )


def _strengths(items: list[str] | None) -> dict[str, float]:
    pairs = dict(split_pair(item, "--augment NAME=NUMBER") for item in items or [])
    try:
        return {name: float(value) for name, value in pairs.items()}
    except ValueError:
        raise OptionError(f"--augment {items}: wanted numbers, as in crop=0.6.") from None


PARSED: dict[str, Callable[[Any], Any]] = {
    "budgets": read_budgets,
    "augment": _strengths,
    "allow": lambda names: tuple(names or ()),
    "natural": lambda names: tuple(names or ()),
}


def split_pair(item: str, wanted: str) -> tuple[str, str]:
    """Name and value of NAME=VALUE."""
    name, equals, value = item.partition("=")
    if not (name and equals and value):
        raise OptionError(f"{item!r} came; wanted {wanted}.")
    return name, value
