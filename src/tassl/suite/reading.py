"""Read a suite file, and refuse what cannot be run before anything runs.

    name: two hospitals          # optional, with `about`
    seeds: [0, 1]
    methods: [simclr, mae]       # of every set that names none
    defaults: {epochs: 20}       # any choice of `tassl run`
    sets:
      breast: {path: breast.npz, modality: ultrasound, task: classification, subjects: 200}
      drawn: {phantom: {size: 48}, modality: ultrasound, task: segmentation, methods: [mae]}
    claims:                      # optional
      first: {says: ..., better: {methods: [simclr]}, worse: {methods: [mae]}, sets: [breast]}

TOML says the same. A path is relative to --data, else to the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from tassl.data.phantom import PhantomSpec
from tassl.data.remote import is_remote
from tassl.errors import InputError, OptionError, UnknownName
from tassl.evaluation.metrics import METRICS
from tassl.heads import HEADS
from tassl.methods import METHODS
from tassl.registry import look_up
from tassl.study.choices import make_study
from tassl.suite.declaring import FEWEST, SHIPPED, Claim, Set, Side, Suite
from tassl.suite.schema import (
    CHOICES,
    CLAIM,
    SET,
    SIDE,
    SUITE,
    check_keys,
    check_list,
    show,
    within,
)

FILES = {"csv", "subsets"}


def read_suite(place: str, data: Path | None = None) -> Suite:
    """Read and check a suite.

    Args:
        place: A YAML or TOML file, or the name of a shipped suite.
        data: Folder that paths are relative to; that of the file unless given.

    Raises:
        TasslError: In one line, with the key at fault.
    """
    file = Path(place)
    if not file.suffix:
        file = look_up(SHIPPED, place, "shipped suite")
    facts = _parse(file)
    with within(file.name):
        check_keys(facts, SUITE)
        sets, missing = _read_sets(facts, data or file.parent)
        seeds = check_list(facts.get("seeds", [0]), int, "seeds")
        claims = _read_claims(facts.get("claims", {}), {**sets, **missing})
    return Suite(
        str(facts.get("name", file.stem)),
        str(facts.get("about", "")),
        tuple(seeds),
        sets,
        tuple(claims),
        missing,
    )


def _parse(file: Path) -> Any:
    try:
        text = file.read_text(encoding="utf-8")
        facts = tomllib.loads(text) if file.suffix == ".toml" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise InputError(
            f"{file} cannot be read ({reason}). Give a YAML or TOML file, or one of: "
            f"{', '.join(SHIPPED)}."
        ) from None
    except (yaml.YAMLError, tomllib.TOMLDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file} is no sound YAML or TOML: {reason}. Mend it there.") from None
    return facts


def _read_sets(facts: dict[str, Any], root: Path) -> tuple[dict[str, Set], dict[str, str]]:
    shared = facts.get("defaults", {})
    with within("defaults"):
        check_keys(shared, CHOICES)
    if not facts.get("sets"):
        raise OptionError("sets is empty or missing; name at least one.")
    sets, missing = {}, {}
    for name, told in facts["sets"].items():
        with within(f"sets.{name}"):
            if not str(name).replace("-", "").replace("_", "").isalnum():
                raise OptionError("the name is part of a folder's; use letters, digits, - and _.")
            check_keys(told, SET, ("modality", "task"))
            found = _read_set(str(name), told, shared, facts.get("methods", []), root)
            if _is_there(found):
                sets[found.name] = found
            elif told.get("optional"):
                missing[found.name] = f"{found.path} is not there; --data names its root"
            else:
                raise InputError(
                    f"path {found.path} does not exist. Mend it, or give --data with its root."
                )
    if not sets:
        raise InputError(f"No set is there: {', '.join(missing.values())}. Give --data ROOT.")
    return sets, missing


def _is_there(found: Set) -> bool:
    return found.phantom is not None or is_remote(found.path) or Path(found.path).exists()


def _read_set(
    name: str, told: dict[str, Any], shared: dict[str, Any], methods: list[str], root: Path
) -> Set:
    if ("path" in told) == ("phantom" in told):
        raise OptionError("give either path or phantom.")
    if "phantom" in told and "subjects" in told:
        raise OptionError("subjects cuts a path; give a phantom as many, as an option of its own.")
    methods = check_list(told.get("methods", methods), str, "methods")
    for key in ("subjects", "minutes"):
        if told.get(key, 1) <= 0:
            raise OptionError(f"{key} is {told[key]}; wanted more than zero.")
    choices = shared | {key: value for key, value in told.items() if key in CHOICES}
    for key in FILES & choices.keys():
        choices[key] = _join(root, choices[key])
    found = Set(
        name,
        told["modality"],
        told["task"],
        tuple(methods),
        choices,
        _join(root, told["path"]) if "path" in told else "",
        told.get("phantom"),
        told.get("subjects"),
        told.get("minutes"),
    )
    if found.phantom is not None:
        with within("phantom"):
            make_phantom(found)
    _check_study(found)
    return found


def _join(root: Path, place: str) -> str:
    return place if is_remote(place) else str(root / place)


def make_phantom(found: Set) -> PhantomSpec:
    """What to draw for a set.

    Raises:
        OptionError: An option is unknown or makes no sense.
    """
    facts = dict(found.phantom or {})
    names = [field.name for field in fields(PhantomSpec)]
    for key, value in facts.items():
        if key not in names:
            raise UnknownName("option of a phantom", key, names)
        facts[key] = tuple(value) if isinstance(value, list) else value
    try:
        return PhantomSpec(**facts)
    except TypeError as error:
        raise OptionError(
            f"{show(facts)} cannot be drawn: {error}. Give the options of PhantomSpec by name."
        ) from None


def _check_study(found: Set) -> None:
    """Refuse choices that no run takes, before any set is read."""
    choices = dict(found.choices)
    for key in (key for key in choices if CHOICES[key] is list):
        choices[key] = tuple(check_list(choices[key], int if key == "budgets" else str, key))
    if any(type(value) not in (int, float) for value in choices.get("augment", {}).values()):
        raise OptionError(f"augment is {show(choices['augment'])}; wanted numbers by name.")
    study = make_study(
        found.path or "phantom",
        modality=found.modality,
        task=found.task,
        methods=found.methods,
        **choices,
    )
    study.check()
    for method in found.methods:
        if reason := METHODS[method].known_failures.get(study.chosen_network):
            raise OptionError(
                f"{method} does not work with {study.chosen_network}: {reason}. Leave it out, or "
                "give another network."
            )


def _read_claims(facts: dict[str, Any], known: Mapping[str, Any]) -> list[Claim]:
    claims = []
    for name, told in facts.items():
        with within(f"claims.{name}"):
            check_keys(told, CLAIM, ("says", "better", "worse"))
            sides = [_read_side(told, key, known) for key in ("better", "worse")]
            if len(sides[0].sets) != len(sides[1].sets):
                raise OptionError(
                    f"better has {len(sides[0].sets)} sets and worse {len(sides[1].sets)}; "
                    "wanted one for each."
                )
            claims.append(Claim(str(name), told["says"], *sides))
    return claims


def _read_side(told: dict[str, Any], key: str, known: Mapping[str, Any]) -> Side:
    facts = told[key]
    with within(key):
        check_keys(facts, SIDE)
        sets = check_list(facts.get("sets", told.get("sets")), str, "sets")
        for name in sets:
            _check_scale(look_up(known, name, "set"))
        for method in facts.get("methods", []):
            look_up(METHODS, method, "method")
        budgets = tuple(str(budget) for budget in facts.get("budgets", []))
        for budget in budgets:
            if budget not in (FEWEST, "all") and not budget.isdigit():
                raise OptionError(f"budgets has {budget!r}; wanted {FEWEST}, all or a number.")
        if facts.get("adaptation", "frozen") not in ("frozen", "finetune"):
            raise OptionError(f"adaptation is {facts['adaptation']!r}; wanted frozen or finetune.")
        return Side(
            tuple(sets),
            tuple(facts.get("methods", ())),
            budgets,
            facts.get("adaptation", ""),
            facts.get("gain", False),
        )


def _check_scale(found: Set | str) -> None:
    """Refuse a set whose metric cannot be averaged with that of others."""
    if isinstance(found, Set):
        metric = METRICS[HEADS[found.task].metrics[0]]
        if metric.bounds != (0.0, 1.0) or metric.best != 1.0:
            raise OptionError(
                f"set {found.name} is judged by {metric.title}, which has no scale from 0 to 1 "
                "to average. Leave it out of the claim."
            )
