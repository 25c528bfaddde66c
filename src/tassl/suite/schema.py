"""The keys of a suite file, and the kind of value that each takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from tassl.errors import OptionError, TasslError, UnknownName
from tassl.study import Study

FIXED = ("data", "modality", "task", "methods", "seed", "protocol", "checkpoints")
PRETRAINED = ("devices", "nodes", "strategy", "course")  # of `tassl pretrain` alone
KINDS: dict[str, Any] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "Mapping[str, float]": dict,
    "tuple[str, ...]": list,
}
WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    list: "a list",
    dict: "names with values",
}
CHOICES = {
    field.name: KINDS[kind]
    for field in fields(Study)
    if field.name not in (*FIXED, *PRETRAINED)
    and (kind := str(field.type).removesuffix(" | None")) in KINDS
} | {"budgets": list, "draws": int}
SUITE = {
    "name": str,
    "about": str,
    "seeds": list,
    "methods": list,
    "defaults": dict,
    "sets": dict,
    "claims": dict,
}
SET = {
    "path": str,
    "phantom": dict,
    "modality": str,
    "task": str,
    "methods": list,
    "subjects": int,
    "minutes": float,
    "optional": bool,
    **CHOICES,
}
CLAIM = {"says": str, "better": dict, "worse": dict, "sets": list}
SIDE = {"sets": list, "methods": list, "budgets": list, "adaptation": str, "gain": bool}


def check_keys(facts: Any, known: Mapping[str, Any], needed: Sequence[str] = ()) -> None:
    """Refuse unknown keys, values of another kind, and what lacks a key.

    Args:
        facts: As the file gives them.
        known: Kind of value by key.
        needed: Keys that must be there.

    Raises:
        OptionError: With the key at fault.
    """
    if not isinstance(facts, dict):
        raise OptionError(f"holds {show(facts)}; wanted names with values.")
    for key, value in facts.items():
        if key not in known:
            raise UnknownName("key", key, known)
        kind = known[key]
        fits = isinstance(value, (int, float) if kind is float else kind)
        if not fits or (isinstance(value, bool) and kind is not bool):
            raise OptionError(f"{key} is {show(value)}; wanted {WORDS[kind]}.")
    for key in needed:
        if key not in facts:
            raise OptionError(f"{key} is missing; add it.")


def check_list(values: Any, kind: type, key: str) -> list[Any]:
    """A list without repetition whose items are of one kind.

    Raises:
        OptionError: It is another.
    """
    sound = isinstance(values, list) and all(type(item) is kind for item in values)
    if not sound or not values or len(set(values)) < len(values):
        wanted = "whole numbers" if kind is int else "names"
        raise OptionError(f"{key} is {show(values)}; wanted a list of {wanted}, none twice.")
    return values


@contextmanager
def within(place: str) -> Iterator[None]:
    """Say where an error arose: "file, sets.name: ..."."""
    try:
        yield
    except TasslError as error:
        raise OptionError(f"{place}: {error}") from None


def show(value: Any) -> str:
    """A value in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
