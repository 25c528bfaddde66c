"""Read a run folder; parts that are missing or damaged are left out and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import yaml

from tassl.data.store import Store, open_store
from tassl.errors import InputError
from tassl.report.readers import DAMAGED, read_arrays, read_history, read_json, read_results

Content = TypeVar("Content")
READERS = {".csv": pd.read_csv, ".json": read_json}


@dataclass(frozen=True)
class Pretraining:
    """What one pretraining left behind.

    Args:
        method: Key in `METHODS`.
        recipe: The checkpoint's side-car, empty where training is not finished.
        history: One row per epoch, None where there is none.
        health: Keys verdict, healthy and action; empty where it was not judged.
        examples: Images by caption, (image, channel, *space) each.
    """

    method: str
    recipe: dict[str, Any]
    history: pd.DataFrame | None
    health: dict[str, Any]
    examples: dict[str, np.ndarray]


@dataclass(frozen=True)
class Run:
    """A run folder as far as it got; a part that is not there is empty or None.

    Args:
        folder: Where it lies.
        study: The configuration.
        study_text: The configuration as it stands in the file.
        audit: How the data were understood.
        advice: Methods in the order of the advice.
        scout: What pilots found, empty where none were tried.
        pretrainings: One per method.
        tuning: Chosen learning rate and validation scores by arm.
        results: The results table.
        verdict: The verdict.
        environment: Versions, machine, times and command.
        checks: What was measured beside the verdict: tables by name, and notes on what was not.
        store: The images.
        damaged: Files that are there but cannot be read, with the reason.
    """

    folder: Path
    study: dict[str, Any]
    study_text: str
    audit: dict[str, Any]
    advice: list[dict[str, Any]]
    scout: dict[str, Any]
    pretrainings: tuple[Pretraining, ...]
    tuning: dict[str, dict[str, Any]]
    results: pd.DataFrame | None
    verdict: dict[str, Any]
    environment: dict[str, Any]
    checks: dict[str, Any]
    store: Store | None
    damaged: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the study, else that of its folder."""
        return str(self.study.get("name") or self.folder.resolve().name)


def load_run(folder: Path) -> Run:
    """Read what a run folder holds.

    Raises:
        InputError: The folder does not exist or holds no readable study.yaml.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist. Give the folder of a run, as in runs/NAME.")
    study_text, study = _read_study(folder / "study.yaml")
    damaged: list[str] = []

    def read(name: str, reader: Callable[[Path], Content], empty: Content) -> Content:
        if not (folder / name).exists():
            return empty
        try:
            return reader(folder / name)
        except (*DAMAGED, InputError) as error:
            damaged.append(f"{name} cannot be read and is left out ({error})")
            return empty

    advice = read("advice.json", read_json, {}).get("ranking", [])
    named = list(study.get("methods") or [item.get("method") for item in advice])
    methods = [part.name for part in _list(folder / "pretrain", "*/")]
    methods.sort(key=lambda name: named.index(name) if name in named else len(named))
    return Run(
        folder=folder,
        study=study,
        study_text=study_text,
        audit=read("audit.json", read_json, {}),
        advice=advice,
        scout=read("scout.json", read_json, {}),
        pretrainings=tuple(_read_pretraining(method, read) for method in methods),
        tuning={
            file.stem: read(f"tuning/{file.name}", read_json, {})
            for file in _list(folder / "tuning", "*.json")
        },
        results=read("results.csv", read_results, None),
        verdict=read("verdict.json", read_json, {}),
        environment=read("environment.json", read_json, {}),
        checks={
            file.stem: read(f"checks/{file.name}", READERS[file.suffix], None)
            for file in _list(folder / "checks", "*.*")
            if file.suffix in READERS
        },
        store=read("store", open_store, None),
        damaged=tuple(damaged),
    )


def read_predictions(
    run: Run, arm: str, budget: str, draw: int = 0
) -> tuple[pd.DataFrame | None, Path | None]:
    """Predictions of an arm in one draw, and the file of its predicted masks.

    Returns:
        None for what is not there.
    """
    for file in _list(run.folder / "predictions", f"*_{budget}_{draw}.parquet"):
        try:
            table = pd.read_parquet(file)
        except DAMAGED:
            continue
        if len(table) and str(table.arm.iloc[0]) == arm:
            masks = file.with_suffix(".npz")
            return table, masks if masks.exists() else None
    return None, None


def _read_study(file: Path) -> tuple[str, dict[str, Any]]:
    if not file.exists():
        raise InputError(
            f"{file.parent} holds no study.yaml, so it is no run folder. "
            "Give the folder that a run wrote, as in runs/NAME."
        )
    try:
        text = file.read_text(encoding="utf-8")
        study = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file} is not readable YAML ({reason}). Run the study again.") from None
    if not isinstance(study, dict):
        raise InputError(f"{file} holds no settings. Run the study again.")
    return text, study


def _read_pretraining(method: str, read: Callable[..., Any]) -> Pretraining:
    place = f"pretrain/{method}"
    return Pretraining(
        method=method,
        recipe=read(f"{place}/checkpoint.json", read_json, {}),
        history=read(f"{place}/history.csv", read_history, None),
        health=read(f"{place}/health.json", read_json, {}),
        examples=read(f"{place}/examples.npz", read_arrays, {}),
    )


def _list(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern)) if folder.is_dir() else []
