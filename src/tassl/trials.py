"""Every arm on every label subset: fit, predict the test subjects, keep the predictions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, cpu_count, delayed, parallel_config
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from tassl.adaptation import Tuning, embed_rows, fit_head, predict_rows
from tassl.checkpoint import Recipe, build_encoder, load_checkpoint
from tassl.data.files import write_arrays, write_atomically, write_json
from tassl.data.tensors import Tensors
from tassl.evaluation.metrics import METRICS, dice_of_masks
from tassl.evaluation.protocol import Protocol
from tassl.evaluation.splits import Subset
from tassl.evaluation.verdict import Arm
from tassl.heads import HEADS
from tassl.heads.base import Head
from tassl.heads.probe import fit_probe
from tassl.networks.base import Encoder
from tassl.transforms.augment import Augment

PIXELS_PER_SIDE = {2: 28, 3: 12}
PREDICT_BATCH = {2: 128, 3: 4}


@dataclass(frozen=True)
class Bench:
    """What every trial of a study shares.

    Args:
        tensors: The images.
        task: Key in `HEADS`.
        classes: Number of classes, background included for segmentation.
        target: Class or mask row of every image of the store: labels (row,), or for segmentation
            the row whose mask is the reference.
        test: Rows to predict.
        val: Rows to tune on.
        augment: Views for training with labels.
        recipe: Network of every arm.
        checkpoints: Folder of each pretrained method.
        tuning: Steps and batch of every trained arm.
        protocol: Rates to tune over.
        seed: Of the whole study.
    """

    tensors: Tensors
    task: str
    classes: int
    target: np.ndarray
    test: np.ndarray
    val: np.ndarray
    augment: Augment
    recipe: Recipe
    checkpoints: dict[str, Path]
    tuning: Tuning
    protocol: Protocol
    seed: int


def list_arms(task: str, methods: Sequence[str]) -> list[Arm]:
    """The arms of a study: baselines a reviewer asks for, then each method."""
    arms = [Arm("scratch", "", "finetune"), Arm("random (frozen)", "", "frozen")]
    if task == "classification":
        arms.append(Arm("raw pixels", "", "pixels"))
        arms += [Arm(f"{method} (frozen)", method, "frozen") for method in methods]
    return arms + [Arm(f"{method} (fine-tuned)", method, "finetune") for method in methods]


def default_tuning(task: str, dims: int) -> Tuning:
    """Steps and batch that fit a small machine, the same for every arm."""
    if task == "segmentation":
        if dims == 3:
            return Tuning(fewest_steps=150, most_steps=200, passes=4, batch=4)
        return Tuning(fewest_steps=100, most_steps=300, passes=10, batch=16)
    return Tuning(fewest_steps=100, most_steps=400, passes=25, batch=32 if dims == 2 else 8)


def run_trials(
    bench: Bench,
    arms: Sequence[Arm],
    subsets: Sequence[Subset],
    folder: Path,
    on_trial: Callable[[str], None] = lambda name: None,
) -> None:
    """Run every trial whose predictions are not there yet, one per core at a time.

    Each trial computes on one thread: small networks gain little from more, and results then do
    not depend on the number of cores.

    Args:
        bench: What the trials share.
        arms: Arms to run.
        subsets: Label subsets, the same for every arm.
        folder: Gets tuning/ARM.json and predictions/ARM_BUDGET_DRAW.parquet.
        on_trial: Called after each piece of work, `count_work` times in all.
    """
    probed = [arm for arm in arms if _is_probe(bench, arm)]
    trained = [arm for arm in arms if not _is_probe(bench, arm)]
    first = [delayed(_probe_arm)(bench, arm, subsets, folder) for arm in probed]
    first += [
        delayed(_try_rate)(bench, arm, subsets, rate, folder)
        for arm in trained
        for rate in bench.protocol.rates
    ]
    _work(first, on_trial)
    tunings = {arm.name: _choose_rate(bench, arm, folder) for arm in trained}
    _work(
        [
            delayed(_train_arm)(bench, arm, subset, tunings[arm.name], folder)
            for subset in reversed(subsets)
            for arm in trained
        ],
        on_trial,
    )


def count_work(bench: Bench, arms: Sequence[Arm], subsets: Sequence[Subset]) -> int:
    """Pieces of work that `run_trials` reports."""
    probed = sum(_is_probe(bench, arm) for arm in arms)
    return probed + (len(arms) - probed) * (len(bench.protocol.rates) + len(subsets))


def prediction_file(folder: Path, arm: Arm, subset: Subset) -> Path:
    """Where a trial's predictions lie."""
    return folder / "predictions" / f"{slug(arm)}_{subset.budget}_{subset.draw}.parquet"


def slug(arm: Arm) -> str:
    """The arm's name as part of a file name."""
    return "-".join(re.findall(r"[a-z0-9]+", arm.name.lower()))


def read_predictions(
    folder: Path, arms: Sequence[Arm], subsets: Sequence[Subset]
) -> dict[tuple[str, str], list[pd.DataFrame]]:
    """Predictions of every arm and budget, one table per draw."""
    tables: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for arm in arms:
        for subset in subsets:
            table = pd.read_parquet(prediction_file(folder, arm, subset))
            tables.setdefault((arm.name, subset.budget), []).append(table)
    return tables


def start_head(bench: Bench, arm: Arm, seed: int) -> tuple[Head, tuple[str, ...]]:
    """A head as the arm starts it, and the names of its pretrained parts."""
    torch.manual_seed(seed)
    kind = HEADS[bench.task].load()
    if not arm.method:
        return kind(build_encoder(bench.recipe), None, bench.classes), ()
    checkpoint = load_checkpoint(bench.checkpoints[arm.method], channels=bench.recipe.channels)
    head = kind(checkpoint.encoder, checkpoint.decoder, bench.classes)
    decoded = checkpoint.decoder is not None and head.dense
    return head, ("encoder", "decoder") if decoded else ("encoder",)


def adapt_once(bench: Bench, arm: Arm, subset: Subset, folder: Path) -> dict[str, float]:
    """Fit one arm on one subset; write head.safetensors and predictions.parquet.

    Returns:
        The task's metrics on the test rows.
    """
    head = _fit(bench, arm, subset, bench.tuning)
    table = _predict(bench, head, bench.test)
    save_file(
        {k: v.contiguous() for k, v in head.state_dict().items()}, folder / "head.safetensors"
    )
    file = folder / "predictions.parquet"
    write_atomically(file, lambda draft: table.to_parquet(draft, index=False))
    once = np.ones((1, len(table)))
    return {name: float(METRICS[name].score(table, once)[0]) for name in HEADS[bench.task].metrics}


def _fit(bench: Bench, arm: Arm, subset: Subset, tuning: Tuning) -> Head:
    seed = bench.seed * 1000 + subset.draw
    head, pretrained = start_head(bench, arm, seed)
    return fit_head(
        head,
        bench.tensors,
        subset.rows,
        _targets(bench, subset.rows),
        tuning=tuning,
        augment=bench.augment,
        seed=seed,
        frozen=arm.adaptation == "frozen",
        pretrained=pretrained,
    )


def _targets(bench: Bench, rows: np.ndarray) -> Tensor:
    if HEADS[bench.task].load().dense:
        return bench.tensors.masks(bench.target[rows])
    return torch.from_numpy(bench.target[rows])


def _work(pieces: list[Any], on_trial: Callable[[str], None]) -> None:
    """Run pieces in worker processes, one per core; on one GPU, one after another."""
    jobs = 1 if torch.cuda.is_available() else min(len(pieces), cpu_count())
    with parallel_config("loky", n_jobs=max(1, jobs), inner_max_num_threads=1):
        names: Any = Parallel(return_as="generator_unordered", max_nbytes=None)(pieces)
        for name in names:
            on_trial(name)


def _is_probe(bench: Bench, arm: Arm) -> bool:
    return bench.task == "classification" and arm.adaptation != "finetune"


def _probe_arm(bench: Bench, arm: Arm, subsets: Sequence[Subset], folder: Path) -> str:
    """All subsets of an arm that fits a linear model on fixed features."""
    torch.set_num_threads(1)
    missing = [s for s in subsets if not prediction_file(folder, arm, s).exists()]
    if missing:
        features = _features(bench, arm)
    for subset in missing:
        _keep(_probe(bench, features, subset), arm, subset, folder)
    return arm.name


def _train_arm(bench: Bench, arm: Arm, subset: Subset, tuning: Tuning, folder: Path) -> str:
    """One subset of an arm that trains a network."""
    torch.set_num_threads(1)
    name = f"{arm.name}, {subset.budget} labels"
    if prediction_file(folder, arm, subset).exists():
        return name
    head = _fit(bench, arm, subset, tuning)
    if head.dense and subset.budget == "all" and subset.draw == 0:
        masks = np.concatenate([p.argmax(1).numpy() for p in _predictions(bench, head, bench.test)])
        ids = bench.tensors.store.table.id.to_numpy()[bench.test].astype(str)
        file = prediction_file(folder, arm, subset).with_suffix(".npz")
        write_arrays(file, {"ids": ids, "masks": masks.astype(np.uint8)})
    _keep(_predict(bench, head, bench.test), arm, subset, folder)
    return name


def _try_rate(bench: Bench, arm: Arm, subsets: Sequence[Subset], rate: float, folder: Path) -> str:
    """Score one learning rate on validation subjects, with the first draw's middle budget.

    Every trained arm gets the same rates, steps and subset, so that no arm is tuned better.
    """
    torch.set_num_threads(1)
    file = _rate_file(folder, arm, rate)
    if not file.exists():
        draws = [subset for subset in subsets if subset.draw == subsets[0].draw]
        subset, metric = draws[len(draws) // 2], HEADS[bench.task].metrics[0]
        head = _fit(bench, arm, subset, replace(bench.tuning, learning_rate=rate))
        table = _predict(bench, head, bench.val)
        score = float(METRICS[metric].score(table, np.ones((1, len(table))))[0])
        facts = {"rate": rate, "budget": subset.budget, "score": score}
        write_json(file, facts)
    return f"{arm.name}, learning rate {rate:g}"


def _choose_rate(bench: Bench, arm: Arm, folder: Path) -> Tuning:
    """The rate with the best validation score; nearest to the usual one among equals."""
    tried = [json.loads(_rate_file(folder, arm, rate).read_text()) for rate in bench.protocol.rates]
    usual = bench.tuning.learning_rate
    best = max(tried, key=lambda t: (np.nan_to_num(t["score"]), -abs(np.log(t["rate"] / usual))))
    facts = {
        "learning_rate": best["rate"],
        "budget": best["budget"],
        "validation": {f"{t['rate']:g}": t["score"] for t in tried},
    }
    file = folder / "tuning" / f"{slug(arm)}.json"
    write_json(file, facts)
    return replace(bench.tuning, learning_rate=best["rate"])


def _rate_file(folder: Path, arm: Arm, rate: float) -> Path:
    return folder / "tuning" / "rates" / f"{slug(arm)}_{rate:g}.json"


def _predictions(bench: Bench, head: Head, rows: np.ndarray) -> Iterator[Tensor]:
    return predict_rows(head, bench.tensors, rows, PREDICT_BATCH[bench.tensors.store.dims])


def _predict(bench: Bench, head: Head, rows: np.ndarray) -> pd.DataFrame:
    batches = _predictions(bench, head, rows)
    if not head.dense:
        return _score_table(bench, rows, torch.cat(list(batches)).numpy())
    store, scores, start = bench.tensors.store, [], 0
    assert store.masks is not None
    for batch in batches:
        for predicted in batch.argmax(1).numpy():
            scores.append(dice_of_masks(predicted, store.masks[rows[start]], bench.classes))
            start += 1
    return _table(bench, rows, np.array(scores), "dice_", 1)


def _features(bench: Bench, arm: Arm) -> np.ndarray:
    """Features of every row for a linear model, from pixels or from a frozen encoder."""
    rows = np.arange(len(bench.tensors.store.table))
    if arm.adaptation == "pixels":
        return _pixels(bench.tensors, rows)
    encoder: Encoder = start_head(bench, arm, bench.seed * 1000)[0].encoder
    return embed_rows(encoder, bench.tensors, rows, PREDICT_BATCH[bench.tensors.store.dims])


def _pixels(tensors: Tensors, rows: np.ndarray) -> np.ndarray:
    """Pixels themselves, averaged down where an image is large."""
    side = PIXELS_PER_SIDE[tensors.store.dims]
    shape: Any = [min(side, size) for size in tensors.store.grid.shape]
    pool: Any = F.adaptive_avg_pool2d if tensors.store.dims == 2 else F.adaptive_avg_pool3d
    parts = [
        pool(tensors.images(rows[k : k + 256]), shape).flatten(1) for k in range(0, len(rows), 256)
    ]
    return torch.cat(parts).numpy()


def _probe(bench: Bench, features: np.ndarray, subset: Subset) -> pd.DataFrame:
    subjects = bench.tensors.store.table.subject.to_numpy()[subset.rows]
    labels = bench.target[subset.rows]
    model = fit_probe(features[subset.rows], labels, subjects, bench.seed * 1000 + subset.draw)
    scores = np.zeros((len(bench.test), bench.classes))
    scores[:, model.classes_] = model.predict_proba(features[bench.test])
    return _score_table(bench, bench.test, scores)


def _score_table(bench: Bench, rows: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    labels = bench.tensors.store.table.label.to_numpy()[rows]
    return _table(bench, rows, scores, "score_", 0).assign(label=labels)


def _table(
    bench: Bench, rows: np.ndarray, values: np.ndarray, prefix: str, first: int
) -> pd.DataFrame:
    table = bench.tensors.store.table.iloc[rows][["id", "subject"]].reset_index(drop=True)
    names = [f"{prefix}{first + k}" for k in range(values.shape[1])]
    return pd.concat(
        [table, pd.DataFrame(np.round(values.astype(float), 6), columns=names)], axis=1
    )


def _keep(table: pd.DataFrame, arm: Arm, subset: Subset, folder: Path) -> None:
    table = table.assign(arm=arm.name, budget=subset.budget, draw=subset.draw)
    file = prediction_file(folder, arm, subset)
    write_atomically(file, lambda draft: table.to_parquet(draft, index=False))
