"""Run folders made up for the report's tests: real tables and verdicts over invented scores."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from tassl.data.layouts import index
from tassl.data.store import Store, build_store
from tassl.evaluation.efficiency import measure_savings, trace_areas
from tassl.evaluation.finding import Arm
from tassl.evaluation.protocol import Protocol
from tassl.evaluation.segmentation import dice_of_masks, measure_masks
from tassl.evaluation.verdict import compare, conclude, score_all, tabulate
from tassl.heads import HEADS

METHODS = ("simclr", "mae")
PROTOCOL = Protocol(budgets=(5, 25), draws=3, resamples=200)
EPOCHS = 12


@dataclass(frozen=True)
class Plot:
    """What an invented study finds.

    Args:
        task: Key in `HEADS`.
        gain: How much better than the baselines pretrained arms are, in spreads of the score.
        subjects: Images in the set; a third is tested.
        name: Name of the study.
        note: One more note of the audit.
        classes: Names of two classes.
        shuffled: Whether labels are said to be shuffled.
    """

    task: str
    gain: float = 1.5
    subjects: int = 150
    name: str = "invented"
    note: str = "an invented note"
    classes: tuple[str, str] = ("benign", "malignant")
    shuffled: bool = False


def invent_run(folder: Path, plot: Plot, data: Path | None = None) -> Path:
    """Write a whole run folder.

    Args:
        folder: Where; must not exist.
        plot: What the study finds.
        data: Images to show; invented ones unless given.

    Returns:
        The folder.
    """
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    manifest = index(data or _invent_images(folder.parent / "images.npz", plot, rng))
    store = build_store(manifest, lambda pixels: pixels / pixels.max(), folder / "store")
    test = np.arange(len(store.table))[::3][: max(6, plot.subjects // 3)]
    _write_study(folder, plot, store, manifest.layout, len(test))
    for method in METHODS:
        _write_pretraining(folder / "pretrain" / method, method, store, rng)
    _write_comparison(folder, plot, store, test, rng)
    return folder


def _invent_images(file: Path, plot: Plot, rng: np.random.Generator) -> Path:
    """Bright balls on noise: labels for 2D images, masks for volumes."""
    shape = (32, 28) if plot.task == "classification" else (14, 18, 16)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    centres = rng.uniform(0.35, 0.65, (plot.subjects, len(shape))) * shape
    sizes = rng.uniform(2.5, 5.0, plot.subjects)
    axes = (slice(None), slice(None), *[None] * len(shape))
    away = np.sqrt(((grid[None] - centres[axes]) ** 2).sum(1))
    masks = (away < sizes[(slice(None), *[None] * len(shape))]).astype(np.uint8)
    images = (masks * 90 + rng.normal(80, 20, masks.shape)).clip(0, 255).astype(np.uint8)
    if plot.task == "classification":
        np.savez(file, images=images, labels=(sizes > sizes.mean()).astype(int))
    else:
        np.savez(file, images=images, masks=masks * (1 + (grid[0] > shape[0] // 2)))
    return file


def _write_study(folder: Path, plot: Plot, store: Store, layout: str, tested: int) -> None:
    modality = "ultrasound" if plot.task == "classification" else "mri"
    protocol = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(PROTOCOL).items()}
    study = {
        "name": plot.name,
        "data": "images.npz",
        "modality": modality,
        "task": plot.task,
        "locality": HEADS[plot.task].locality,
        "methods": list(METHODS),
        "network": HEADS[plot.task].network,
        "size": "small",
        "seed": 7,
        "epochs": EPOCHS,
        "shuffle_labels": plot.shuffled,
        "protocol": protocol,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    rest = len(store.table) - tested
    side = {"subjects": rest // 2, "images": rest // 2, "labelled": rest // 2}
    names = plot.classes if plot.task == "classification" else ()
    splits = {
        "train": side | {"classes": {name: rest // 4 for name in names}},
        "val": side | {"classes": {name: rest // 4 for name in names}},
        "test": {"subjects": tested, "images": tested, "labelled": tested}
        | {"classes": {name: tested // 2 for name in names}},
    }
    audit = {
        "source": "images.npz",
        "layout": layout,
        "images": len(store.table),
        "subjects": int(store.table.subject.nunique()),
        "dims": store.dims,
        "channels": store.channels,
        "shape": store.grid.shape,
        "spacing": store.grid.spacing,
        "classes": list(names),
        "mask_values": list(store.mask_values),
        "modality": modality,
        "preprocessing": "scale to [0, 1]",
        "splits": splits,
        "set_aside": [{"file": f"{plot.note}.png", "reason": "cannot be read: truncated"}],
        "duplicates": [
            {
                "kept": "image-00003",
                "kept_split": "test",
                "removed": "image-00090",
                "removed_split": "train",
            }
        ],
        "notes": ["no subject ids: each image is taken for its own subject", plot.note],
        "digest": store.digest,
    }
    advice = {
        "ranking": [
            {
                "method": method,
                "paradigm": "contrastive",
                "reason": "an invented reason",
                "source": "Nobody et al. 2025, arXiv:0000.00000",
            }
            for method in METHODS
        ]
    }
    environment = {
        "versions": {"tassl": "0.1.0", "torch": "2.13.0"},
        "machine": {"processors": 2, "memory_gb": 24.0, "system": "Linux"},
        "seconds": {"index": 1.25, "pretrain simclr": 312.0, "trials": 4021.0},
        "command": "tassl run images.npz --task " + plot.task,
    }
    _dump(folder / "audit.json", audit)
    _dump(folder / "advice.json", advice)
    _dump(folder / "environment.json", environment)


def _write_pretraining(folder: Path, method: str, store: Store, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    epochs = np.arange(EPOCHS + 1)
    history = pd.DataFrame(
        {
            "epoch": epochs,
            "loss": [np.nan, *(2.0 * np.exp(-epochs[1:] / 4) + 1 + rng.normal(0, 0.03, EPOCHS))],
            "feature_std": 0.4 + 0.3 * (1 - np.exp(-epochs / 3)),
            "effective_rank": 12 + 2.0 * epochs,
            "learning_rate": 1e-3,
            "seconds": 3.5,
        }
    )
    history.to_csv(folder / "history.csv", index=False)
    _dump(folder / "health.json", {"verdict": "healthy", "healthy": True, "action": "Go on."})
    training = {"epochs": EPOCHS, "batch": 32, "learning_rate": 1e-3, "seed": 7, "images": 60}
    recipe = {"network": "cnn", "method": method, "training": training | {"precision": "32-true"}}
    _dump(folder / "checkpoint.json", recipe)
    images = store.images[:6].astype(np.float32) * 4 - 2
    noisy = images + rng.normal(0, 0.5, images.shape).astype(np.float32)
    if method == "mae":
        hidden = rng.random(images.shape) < 0.5
        pictures = {"input": images, "masked": np.where(hidden, -2, images), "restored": noisy}
    else:
        pictures = {"view 1": noisy, "view 2": images[..., ::-1]}
    np.savez_compressed(folder / "examples.npz", **{"image": images} | pictures)


def _list_arms(task: str) -> list[Arm]:
    arms = [Arm("scratch", "", "finetune"), Arm("random (frozen)", "", "frozen")]
    if task == "classification":
        arms.append(Arm("raw pixels", "", "pixels"))
        arms += [Arm(f"{method} (frozen)", method, "frozen") for method in METHODS]
    return arms + [Arm(f"{method} (fine-tuned)", method, "finetune") for method in METHODS]


def _write_comparison(
    folder: Path, plot: Plot, store: Store, test: np.ndarray, rng: np.random.Generator
) -> None:
    arms, head = _list_arms(plot.task), HEADS[plot.task]
    predictions: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for arm in arms:
        for place, budget in enumerate([*map(str, PROTOCOL.budgets), "all"]):
            for draw in range(PROTOCOL.draws):
                skill = 0.2 + 0.2 * place + plot.gain * bool(arm.method) / (1 + place)
                table, masks = _predict(plot.task, store, test, skill, rng)
                table = table.assign(arm=arm.name, budget=budget, draw=draw)
                predictions.setdefault((arm.name, budget), []).append(table)
                name = "".join(c if c.isalnum() else "-" for c in arm.name)
                file = folder / "predictions" / f"{name}_{budget}_{draw}.parquet"
                file.parent.mkdir(exist_ok=True)
                table.to_parquet(file, index=False)
                if masks is not None and (budget, draw) == ("all", 0):
                    np.savez_compressed(file.with_suffix(".npz"), ids=list(table.id), masks=masks)
        if arm.adaptation == "finetune":
            scores = {"rate 0.0003": 0.7, "rate 0.001": 0.75, "rate 0.003": 0.6}
            facts = {"arm": arm.name, "budget": "25", "validation": scores, "chosen": "rate 0.001"}
            (folder / "tuning").mkdir(exist_ok=True)
            steps = {"steps": dict.fromkeys(scores, 100)}
            _dump(folder / "tuning" / f"{arm.name}.json", facts | steps)
    subsets = [
        {"budget": budget, "draw": draw, "images": [f"image-{draw}"]}
        for budget in (*map(str, PROTOCOL.budgets), "all")
        for draw in range(PROTOCOL.draws)
    ]
    _dump(folder / "subsets.json", subsets)
    scores = score_all(predictions, head.metrics, PROTOCOL, seed=7)
    metric, labels = head.metrics[0], {"5": 10.0, "25": 50.0, "all": 100.0}
    findings = compare(scores | trace_areas(scores, metric, labels), arms, metric, PROTOCOL)
    savings = measure_savings(scores, findings, metric, labels, PROTOCOL, seed=7)
    table = tabulate(scores, arms, findings, metric, PROTOCOL.confidence)
    table.to_csv(folder / "results.csv", index=False)
    tested = int(store.table.subject.iloc[test].nunique())
    _dump(folder / "verdict.json", conclude(findings, metric, head.unit, tested, savings=savings))


def _predict(
    task: str, store: Store, test: np.ndarray, skill: float, rng: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Predictions of the test rows: the better the skill, the nearer to the truth."""
    table = store.table.iloc[test][["id", "subject"]].reset_index(drop=True)
    if task == "classification":
        labels = store.table.label.to_numpy()[test]
        score = 1 / (1 + np.exp(-(skill * (2 * labels - 1) + rng.normal(0, 1.2, len(test)))))
        return table.assign(score_0=1 - score, score_1=score, label=labels), None
    assert store.masks is not None
    truth = store.masks[test]
    flip = (
        rng.random(truth.shape)
        < (0.25 / (1 + skill) * rng.uniform(0.5, 1.5, len(test)))[
            (slice(None), *[None] * store.dims)
        ]
    )
    masks = np.where(flip, np.roll(truth, 2, axis=1), truth).astype(np.uint8)
    classes = len(store.mask_values)
    pairs = list(zip(masks, truth, strict=True))
    columns = [f"dice_{k}" for k in range(1, classes)]
    dice = pd.DataFrame([dice_of_masks(*pair, classes) for pair in pairs], columns=columns)
    spacing = (1.0,) * store.dims
    rest = pd.DataFrame([measure_masks(*pair, classes, spacing, 2.0) for pair in pairs])
    return pd.concat([table, dice, rest], axis=1), masks


def _dump(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, indent=1))
