"""What a study found in its data, as audit.json tells it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tassl.data.manifest import SPLITS
from tassl.data.tensors import Tensors
from tassl.heads import HEADS
from tassl.study.configuration import Study
from tassl.study.preparation import Prepared, labelled_rows
from tassl.transforms.acquired import Acquired
from tassl.trials import target_of

QUARTERS = {"least": 0.0, "median": 0.5, "largest": 1.0}


def audit_facts(study: Study, prepared: Prepared) -> dict[str, Any]:
    """What was found in the data, for audit.json."""
    store, table = prepared.store, prepared.store.table
    sides, kind = {}, target_of(study.task)
    for side in SPLITS:
        part = table.iloc[prepared.rows(side)]
        sides[side] = {
            "images": len(part),
            "subjects": int(part.subject.nunique()),
            "labelled": len(labelled_rows(prepared, study.task, side)),
            "classes": {store.classes[c]: n for c, n in kind.tally(part).items()},
        }
        if HEADS[study.task].target == "value":
            values = part.value.dropna()
            sides[side]["values"] = {
                name: float(values.quantile(share)) for name, share in QUARTERS.items()
            }
    return {
        "source": study.plain_data,
        "layout": store.layout,
        "images": len(table),
        "subjects": int(table.subject.nunique()),
        "dims": store.dims,
        "channels": store.channels,
        "shape": list(store.grid.shape),
        "spacing": list(store.grid.spacing) if store.grid.spacing else None,
        "classes": list(store.classes),
        "unit": kind.unit(store),
        "mask_values": list(store.mask_values),
        "regions": {name: list(own) for name, own in store.regions.items()},
        **_tell_degradation(study, prepared.tensors),
        "modality": study.modality,
        "preprocessing": prepared.profile.steps,
        "splits": sides,
        "set_aside": [asdict(item) for item in store.set_aside],
        "duplicates": [asdict(item) for item in prepared.audit.duplicates],
        "near_duplicates": [asdict(item) for item in prepared.audit.near_duplicates],
        "ranges": list(prepared.audit.ranges),
        "findings": [asdict(item) for item in prepared.audit.findings],
        "notes": list(store.notes),
        "digest": store.digest,
    }


def _tell_degradation(study: Study, tensors: Tensors) -> dict[str, Any]:
    """What reconstruction undoes, and the range that its scores are counted from."""
    if not isinstance(tensors, Acquired):
        return {}
    return {
        "degradation": f"{tensors.degradation}; the same for every arm and draw, drawn per image",
        "training_images": "clean and degraded" if study.clean == "paired" else "degraded alone",
        "data_range": tensors.span,
    }
