"""The runs of a suite, one per set and seed: their commands, and the time they take.

All methods and budgets of a set and seed share one run, so that its baselines are trained once and
every method meets them on the same subjects.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from tassl.data.layouts import index
from tassl.data.manifest import Manifest, write_manifest
from tassl.data.phantom import draw_cohort, save_nifti, save_npz
from tassl.data.remote import is_remote
from tassl.errors import RunFolderError
from tassl.evaluation.finding_splits import number_rarest
from tassl.evaluation.splits import subject_strata
from tassl.heads import HEADS
from tassl.study.choices import make_study
from tassl.suite.declaring import Set, Suite
from tassl.suite.reading import make_phantom

INDEXED = ("layout", "subject", "csv", "label", "value", "regions")  # a manifest has them settled


@dataclass(frozen=True)
class Cell:
    """One run of a suite.

    Args:
        set: What is run.
        seed: Of the run.
        data: File or folder of its images, which `gather_data` makes where it is drawn or cut.
        folder: The run folder.
    """

    set: Set
    seed: int
    data: str
    folder: Path

    @property
    def name(self) -> str:
        """Set and seed."""
        return self.folder.name

    @property
    def finished(self) -> bool:
        """Whether the run has a verdict."""
        return (self.folder / "verdict.json").exists()

    @property
    def choices(self) -> dict[str, Any]:
        """Choices of the run beside data, modality, task, methods and seed."""
        settled = INDEXED if self.set.subjects else ()
        return {key: value for key, value in self.set.choices.items() if key not in settled}

    @property
    def words(self) -> list[str]:
        """The run as words of the command line."""
        named = {"modality": self.set.modality, "task": self.set.task, "out": self.folder}
        named |= {"method": self.set.methods, "seed": self.seed}
        return ["run", self.data, *list_words(named | self.choices)]


def list_cells(suite: Suite, out: Path) -> list[Cell]:
    """Every run of a suite, set by set."""
    return [
        Cell(found, seed, _place(found, out), out / f"{name}-{seed}")
        for name, found in suite.sets.items()
        for seed in suite.seeds
    ]


def _place(found: Set, out: Path) -> str:
    if found.phantom is not None:
        single = make_phantom(found).dims == 2 or _finds(found)
        return str(out / "data" / (f"{found.name}.npz" if single else found.name))
    return str(out / "data" / f"{found.name}.parquet") if found.subjects else found.path


@dataclass(frozen=True)
class Cost:
    """Seconds that a run will take, None where nothing tells, and what tells."""

    seconds: float | None
    source: str


def estimate_cost(cell: Cell, cells: Sequence[Cell]) -> Cost:
    """What a run will take: as earlier ones of its set, its plans, or the suite's author say."""
    kin = [c for c in cells if c.set.name == cell.set.name and c.finished]
    if kin:
        return Cost(mean(_read_seconds(c.folder) for c in kin), "earlier runs of the set")
    if cell.set.minutes:
        return Cost(60 * cell.set.minutes, "the suite")
    plans = list(cell.folder.glob("pretrain/*/plan.json"))
    if plans:
        seconds = sum(json.loads(file.read_text())["seconds"] for file in plans)
        return Cost(seconds, "plans of its pretrainings alone")
    return Cost(None, "nothing")


def _read_seconds(folder: Path) -> float:
    facts = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    return sum(facts["seconds"].values())


def check_kept(cells: Sequence[Cell]) -> None:
    """Refuse a folder whose runs were of another suite.

    Raises:
        RunFolderError: A run that is there was made with other choices.
    """
    for cell in cells:
        file = cell.folder / "study.yaml"
        if not file.exists():
            continue
        known, facts = yaml.safe_load(file.read_text(encoding="utf-8")) or {}, _facts(cell)
        if changed := sorted(key for key in facts if known.get(key) != facts[key]):
            raise RunFolderError(
                f"{cell.folder} holds a run with another {', '.join(changed)}. Choose another "
                "--out, or remove that folder to run it anew."
            )


def _facts(cell: Cell) -> dict[str, Any]:
    """The configuration as the run writes it down."""
    given: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in cell.choices.items()
    }
    given |= {"modality": cell.set.modality, "task": cell.set.task, "methods": cell.set.methods}
    return make_study(cell.data, seed=cell.seed, **given).facts()


def gather_data(cell: Cell) -> None:
    """Draw or cut the images of a run, where they are not there yet."""
    found, place = cell.set, Path(cell.data)
    if cell.finished or is_remote(cell.data) or place.exists():
        return
    if found.phantom is not None:
        cohort = draw_cohort(make_phantom(found))
        if place.suffix:
            save_npz(cohort, place, findings=_finds(found))
        else:
            save_nifti(cohort, place)
    elif found.subjects:
        told = {key: found.choices[key] for key in INDEXED if key in found.choices}
        write_manifest(cut_subjects(index(found.path, **told), found.subjects), place)


def cut_subjects(manifest: Manifest, wanted: int) -> Manifest:
    """Keep about as many subjects, an even share of each split and class or rarest finding.

    Args:
        manifest: The images.
        wanted: Subjects to keep.
    """
    table = manifest.table
    labels = number_rarest(table) if table.findings.map(len).any() else table.label
    strata = subject_strata(table.assign(label=labels)).to_frame()
    strata["split"] = table.groupby("subject").split.first()
    share = min(1.0, wanted / len(strata))
    kept = strata.groupby(["split", "label"]).sample(frac=share, random_state=0).index
    note = f"{len(kept)} of {len(strata)} subjects were kept"
    own = table[table.subject.isin(kept)].reset_index(drop=True)
    return Manifest(**vars(manifest) | {"table": own, "notes": (*manifest.notes, note)})


def _finds(found: Set) -> bool:
    return HEADS[found.task].target == "findings"


def list_words(choices: Mapping[str, Any]) -> list[str]:
    """Choices as words of the command line."""
    words: list[str] = []
    for name, value in choices.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words += [flag] if value else []
        elif isinstance(value, Mapping):
            words += [word for key, number in value.items() for word in (flag, f"{key}={number}")]
        elif name == "budgets":
            words += [flag, ",".join(map(str, value))]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            words += [word for item in value for word in (flag, str(item))]
        else:
            words += [flag, str(value)]
    return words
