"""From files to everything that training and evaluation need."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tassl.checkpoint import Recipe
from tassl.data.audit import Audit, run_audit
from tassl.data.layouts import index
from tassl.data.manifest import SPLITS
from tassl.data.store import Store, build_store, open_store, sign_store
from tassl.data.tensors import Tensors, measure_normalisation
from tassl.errors import InputError
from tassl.evaluation.splits import draw_splits, hold_out_site
from tassl.heads import HEADS
from tassl.modality import MODALITIES
from tassl.modality.base import ModalityProfile
from tassl.networks import NETWORKS
from tassl.study.configuration import Study
from tassl.study.controls import make_changes
from tassl.study.folder import holds_only_data
from tassl.study.narrator import Narrator
from tassl.transforms.acquired import Acquired, measure_span
from tassl.trials import TARGETS, target_of


@dataclass(frozen=True)
class Prepared:
    """A study's data, ready to train on.

    Args:
        store: Images on a common grid.
        tensors: The same, normalised.
        split: "train", "val", "test" or "removed" for each row.
        profile: The modality.
        recipe: The network of every arm, and how images are prepared for it.
        audit: What was found in them.
    """

    store: Store
    tensors: Tensors
    split: np.ndarray
    profile: ModalityProfile
    recipe: Recipe
    audit: Audit

    def rows(self, *sides: str) -> np.ndarray:
        """Rows of these splits."""
        return np.flatnonzero(np.isin(self.split, sides))


def prepare(study: Study, folder: Path, narrator: Narrator) -> Prepared:
    """Index, read and split the data, or open what an earlier start left.

    Args:
        study: The configuration.
        folder: The run folder; gets `store/`.
        narrator: Shows how far the reading is.

    Raises:
        InputError: The data cannot be used, do not fit the modality, or changed since the run
            was started.
    """
    profile = MODALITIES[study.modality].load()
    store = _read(study, profile, folder, narrator)
    _check_dims(study, store)
    card, protocol = HEADS[study.task], study.protocol
    strata = target_of(study.task).strata(store.table)
    if study.external:
        strata = hold_out_site(strata, study.external)
    audit = run_audit(
        store,
        draw_splits(strata, protocol.val_share, protocol.test_share, study.seed),
        budgets=[int(b) for b in protocol.budgets if b >= 1 and card.unit == "subjects per class"],
        seed=study.seed,
        drop_near_duplicates=study.drop_near_duplicates,
    )
    return assemble(study, store, audit)


def assemble(study: Study, store: Store, audit: Audit) -> Prepared:
    """Everything that follows from the images and their split."""
    profile, split = MODALITIES[study.modality].load(), audit.split
    pool = np.flatnonzero(np.isin(split, ("train", "val")))
    if not len(pool):
        raise InputError(
            f"No image is left to learn from outside the test: {len(audit.duplicates)} have the "
            "pixels of a tested one. Add others, or use --own-splits."
        )
    normalisation = measure_normalisation(store, pool)
    network = NETWORKS[study.chosen_network].load()
    encoder = network.sized(store.dims, store.channels, store.grid.shape)
    recipe = Recipe(
        study.chosen_network,
        store.dims,
        store.channels,
        encoder.options,
        study.modality,
        store.grid.shape,
        store.grid.spacing,
        normalisation,
    )
    tensors = Tensors(store, normalisation, make_changes(study, store, split))
    if HEADS[study.task].target == "image":
        span = measure_span(store, np.flatnonzero(split == "train"))
        paired = study.clean == "paired"
        tensors = Acquired(store, normalisation, study.degradation, study.seed, span, paired=paired)
    return Prepared(store, tensors, split, profile, recipe, audit)


def _read(study: Study, profile: ModalityProfile, folder: Path, narrator: Narrator) -> Store:
    """Build the store, or open the one an earlier start left, if it still holds these data."""
    place, spare = folder / "store", folder / "store.new"
    manifest = index(
        study.data,
        layout=study.layout,
        subject=study.subject,
        csv=study.csv,
        label=study.label,
        value=study.value,
        regions=study.regions,
        own_splits=study.own_splits,
        watch=narrator.transfer,
        track=narrator.files,
    )
    steps = f"{profile.name}: {profile.steps}"
    to_scale = target_of(study.task).to_scale
    kept = open_store(place) if (place / "store.json").exists() else None
    if kept and kept.signature == sign_store(manifest, steps, study.size, to_scale=to_scale):
        return kept
    trained = kept and not holds_only_data(folder)
    with narrator.stage("Reading images", 2 * len(manifest.table)) as tick:
        store = build_store(
            manifest,
            profile.prepare,
            spare if trained else place,
            steps=steps,
            longest=study.size,
            to_scale=to_scale,
            cache=_shared_stores(),
            on_image=tick,
        )
    if not (kept and trained):
        return store
    shutil.rmtree(spare)
    if store.digest != kept.digest:
        raise InputError(
            f"The images or labels in {study.plain_data} changed since this run was started. "
            "Put them back, or start a new run with another --out."
        )
    return kept


def _shared_stores() -> Path | None:
    """Where runs share their stores, if the user has a place for what can be shared."""
    cache = os.environ.get("TASSL_CACHE")
    return Path(cache) / "stores" if cache else None


def _check_dims(study: Study, store: Store) -> None:
    """Refuse images of dimensions that the modality does not have."""
    card = MODALITIES[study.modality]
    if store.dims not in card.dims:
        fitting = ", ".join(name for name, c in MODALITIES.items() if store.dims in c.dims)
        raise InputError(
            f"The images are {store.dims}D; {study.modality} ({card.title}) is "
            f"{' or '.join(f'{dims}D' for dims in card.dims)} only. Use --modality with one of: "
            f"{fitting}; or give images of its kind."
        )


def labelled_rows(prepared: Prepared, task: str, side: str) -> np.ndarray:
    """Rows of a split that carry what the task needs."""
    rows = prepared.rows(side)
    return rows[target_of(task).known(prepared.store.table).to_numpy()[rows]]


def check_task(prepared: Prepared, task: str) -> int:
    """Check that the data carry the task's labels on every side.

    Returns:
        Number of classes, background included for segmentation; 1 for a number.

    Raises:
        InputError: No labels of this kind, one class or value only, or a side without labels or a
            class.
    """
    store, target = prepared.store, target_of(task)
    if not target.known(store.table).any():
        held = [n for n, k in TARGETS.items() if not k.implied and k.known(store.table).any()]
        fitting = [name for name, card in HEADS.items() if card.target in held]
        raise InputError(
            f"{task} needs {target.words}; these data hold "
            f"{' and '.join(dict.fromkeys(TARGETS[name].words for name in held)) or 'none'}. "
            + (f"Use --task {' or '.join(fitting)}." if fitting else f"Add {target.words}.")
        )
    rows = {side: labelled_rows(prepared, task, side) for side in SPLITS}
    for side, found in rows.items():
        if not len(found):
            raise InputError(f"No {side} image has {target.words}. Add some, or use --own-splits.")
    return target.count(store, rows)
