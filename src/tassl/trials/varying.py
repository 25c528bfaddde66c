"""Predictions of changed test images, by the models of all labels while they are in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from tassl.data.files import write_table
from tassl.evaluation.finding import Arm
from tassl.evaluation.splits import Subset
from tassl.trials.bench import Bench, Variant
from tassl.trials.predictions import slug

MOST_IMAGES = 1000


def keep_variants(
    bench: Bench,
    arm: Arm,
    subset: Subset,
    folder: Path,
    predict: Callable[[Bench], pd.DataFrame],
) -> None:
    """Predict every variant of the test images, if the subset is the first draw of all labels.

    Args:
        bench: What the trials share.
        arm: Whose model it is.
        subset: What it was fitted to.
        folder: Gets variants/ARM_KIND_SEVERITY.parquet.
        predict: From a bench to the predictions of its test rows.
    """
    if subset.budget != "all" or subset.draw:
        return
    few = replace(bench, test=pick_subjects(bench))
    for variant in bench.variants:
        table = predict(replace(few, tensors=bench.tensors.changed(variant.change)))
        write_table(variant_file(folder, arm, variant), table)


def read_variants(
    folder: Path, arms: Sequence[Arm], variants: Sequence[Variant]
) -> dict[str, dict[tuple[str, int], pd.DataFrame]]:
    """Predictions of every arm by kind and severity."""
    return {
        arm.name: {
            (variant.kind, variant.severity): pd.read_parquet(variant_file(folder, arm, variant))
            for variant in variants
        }
        for arm in arms
    }


def pick_subjects(bench: Bench) -> np.ndarray:
    """Test rows of whole subjects, as many as 1,000 images hold; of one subject at least."""
    names, places, sizes = np.unique(
        bench.tensors.store.table.subject.to_numpy()[bench.test],
        return_inverse=True,
        return_counts=True,
    )
    order = np.random.default_rng((bench.seed, 6)).permutation(len(names))
    count = max(1, int((sizes[order].cumsum() <= MOST_IMAGES).sum()))
    return bench.test[np.isin(places, order[:count])]


def variant_file(folder: Path, arm: Arm, variant: Variant) -> Path:
    """Where the predictions of an arm for a variant lie."""
    kind = variant.kind.replace(" ", "-")
    return folder / "variants" / f"{slug(arm)}_{kind}_{variant.severity}.parquet"
