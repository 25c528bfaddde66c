"""A reporting checklist, filled in as far as a run knows; the rest is named for its authors.

Numbers are those of the checklists, names of items are in our own words.

Sources: CLAIM 2024, Tejani et al., Radiology: Artificial Intelligence 2024, 10.1148/ryai.240300;
TRIPOD+AI, Collins et al., BMJ 2024, 10.1136/bmj-2023-078378.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from tassl.evaluation.metrics import METRICS
from tassl.evaluation.splits import name_budget
from tassl.heads import HEADS
from tassl.report.arms import tell_teacher
from tassl.report.loading import Run
from tassl.report.pretrained import describe_pretraining
from tassl.report.rendering import Table
from tassl.report.words import (
    budget_unit,
    confidence,
    is_nameless,
    list_cautions,
    metric_title,
    number,
    plain,
)

ITEMS = Path(__file__).parent / "checklists.csv"
REFERENCES = {"label": "The class of each image", "mask": "A mask of each image"}
REFERENCES |= {"value": "A number for each image", "boxes": "The boxes of each image"}
REFERENCES |= {"regions": "The regions of a mask that each pixel is part of"}
REFERENCES |= {"image": "The clean image, before it was degraded"}
REFERENCES |= {"findings": "The findings that each image shows, unknown ones left out"}
OUTPUTS = {"label": "A probability for each class; no threshold is set"}
OUTPUTS |= {"mask": "The most probable class of each pixel", "value": "A number"}
OUTPUTS |= {"regions": "The regions that each pixel is part of with a probability above one half"}
OUTPUTS |= {"findings": "A probability for each finding; no threshold is set"}
OUTPUTS |= {"boxes": "Boxes, each with a class and a score", "image": "The restored image"}


def checklist_table(run: Run) -> Table:
    """Every item of CLAIM 2024 and TRIPOD+AI: what the run says of it, and what it cannot say."""
    facts = {name: text for name, text in tell_facts(run).items() if text}
    rows = []
    with ITEMS.open(encoding="utf-8", newline="") as lines:
        for item in csv.DictReader(lines):
            missing = item["fact"] and item["fact"] not in facts
            wanted = item["yours"] or (item["name"].lower() if missing else "")
            rows.append(
                (
                    item["checklist"],
                    item["item"],
                    item["name"],
                    facts.get(item["fact"], ""),
                    wanted and f"For you to state: {wanted}",
                )
            )
    return Table(("Checklist", "Item", "About", "This run says", "Left to you"), tuple(rows))


def tell_facts(run: Run) -> dict[str, str]:
    """What a run knows of its own reporting, by the names in checklists.csv; "" where nothing."""
    return _tell_data(run) | _tell_model(run) | _tell_results(run)


def _tell_data(run: Run) -> dict[str, str]:
    audit, protocol = run.audit, run.study.get("protocol") or {}
    if not audit:
        return {}
    shares = f"{protocol.get('val_share', 0):.0%} for tuning, {protocol.get('test_share', 0):.0%}"
    sides, shown, stratum = audit["splits"], "classes", "label"
    if run.study.get("task") == "multilabel":
        sides = {name: side | {"findings": side["classes"]} for name, side in sides.items()}
        shown, stratum = "findings", "the rarest finding that a subject shows"
    budgets = ", ".join(map(name_budget, protocol.get("budgets", [])))
    unit = "of the labels" if "%" in budgets else budget_unit(run)
    even = "classes weighed alike in fitting" if run.study.get("class_weights") else "not weighted"
    return {
        "data": f"{audit['images']} images of {audit['subjects']} subjects "
        f"({plain(audit['modality'])}, {audit['dims']}D, {plain(audit['shape'])}), read as "
        f"{audit['layout']}; digest {audit['digest']}.",
        "preprocessing": f"{_start(audit['preprocessing'])}; put on one grid of "
        f"{plain(audit['shape'])}, normalised by the mean and deviation of all images outside the "
        "test split.",
        "subsets": f"Labelled subsets of {budgets} {unit} and all, "
        f"each drawn {protocol.get('draws')} times, nested, the same for every arm.",
        "missing": f"{len(audit['set_aside'])} files could not be read and were set aside; images "
        "without a label served pretraining alone. Nothing was imputed.",
        "partition": "Splits that the data set gives were kept, others drawn at random, stratified "
        f"by {stratum} (subjects: {shares} for testing; seed {run.study.get('seed')}).",
        "level": ("Images: the data name no subjects" if is_nameless(run) else "Subjects")
        + f"; none stands in two partitions. {len(audit['duplicates'])} identical images were "
        "removed.",
        "included": _each_side(sides, ("images", "subjects", "labelled"))
        + f"; set aside {len(audit['set_aside'])}, copies removed {len(audit['duplicates'])}.",
        "characteristics": _each_side(sides, ("subjects", shown, "values")) + ".",
        "imbalance": _each_side(sides, (shown,)) + f"; not resampled, {even}."
        if any(side.get("classes") for side in sides.values())
        else "",
        "external" if run.study.get("external") else "internal": _tell_test(run),
        "events": _each_side({"test": sides["test"]}, ("subjects", "labelled", shown)) + ".",
        "sites": f"{len(audit.get('ranges', [])) - 1} sites are known; their grey levels stand in "
        "audit.json."
        if len(audit.get("ranges", [])) > 1
        else "",
    }


def _tell_test(run: Run) -> str:
    side, site = run.audit["splits"]["test"], run.study.get("external")
    source = f"site {site}, of which none was trained on" if site else "the same source"
    return (
        f"Tested on {side['images']} images of {side['subjects']} subjects of {source}, used for "
        "nothing else."
    )


def _tell_model(run: Run) -> dict[str, str]:
    study, card = run.study, HEADS.get(str(run.study.get("task")))
    if card is None:
        return {}
    parts = [(part, describe_pretraining(run, part)) for part in run.pretrainings]
    network = study.get("network") or card.network
    options = next((part.recipe.get("network_options") for part, _ in parts if part.recipe), None)
    trained = "; ".join(f"{told.title} ({told.source}): {told.facts}" for _, told in parts)
    rates = _list((study.get("protocol") or {}).get("rates", []))
    wide = ", in wide tuning with other steps, layer decay or the head first too"
    adapted = (
        f"Adaptation: AdamW; every trained arm tuned over the learning rates {rates}"
        f"{wide if study.get('wide_tuning') else ''}, in as many tries."
    )
    adapted = f"{adapted} {tell_teacher(run)}".strip()
    versions = run.environment.get("versions", {})
    return {
        "question": "Does pretraining on images without labels improve the task over the best way "
        "without it, given the same labels?",
        "goal": f"Comparison of ways to train: {study.get('task')} on {study.get('modality')}.",
        "reference": f"{REFERENCES[card.target]}, as the data give it.",
        "predictors": "The pixels of one image and nothing else.",
        "predictions": f"{OUTPUTS[card.target]}.",
        "model": f"{network}{f' ({plain(options)})' if options else ''} with a head for "
        f"{study.get('task')}.",
        "software": ", ".join(f"{name} {held}" for name, held in versions.items()),
        "initialisation": "From scratch: random, one seed per draw, the same for all arms. "
        f"Pretrained: the encoder of each checkpoint. Seed {study.get('seed')}.",
        "adaptation": adapted,
        "training": f"Pretraining: {trained}. {adapted}" if trained else adapted,
        "selection": "Learning rate by the metric on tuning subjects at the middle budget; the "
        "last step of each fit is kept.",
        "ensembles": "None.",
        "availability": f"tassl {versions.get('tassl', '')} (Apache-2.0); the command stands in "
        "environment.json.",
    }


def _tell_results(run: Run) -> dict[str, str]:
    protocol, found = run.study.get("protocol") or {}, run.verdict
    told = {
        "protocol": f"{protocol.get('name')}: budgets, draws, rates and statistics stand in "
        "study.yaml.",
        "statistics": f"{confidence(run)} intervals from {protocol.get('resamples')} bootstrap "
        f"resamples of test subjects and the variation between {protocol.get('draws')} draws of "
        "labels; paired differences on the same subjects; Holm over all comparisons at "
        f"{protocol.get('alpha')}.",
        "limits": " ".join(list_cautions(run)),
        "robustness": "Audit of the data for leaks, copies and shortcuts (audit.json); baselines "
        "without pretraining."
        + (f" Beside the verdict: {', '.join(run.checks)} (checks/)." if run.checks else ""),
    }
    if run.results is None or not found:
        return told
    names = list(dict.fromkeys(run.results.metric))
    limits = [b["difference"]["detectable"] for b in found["budgets"]]
    return told | {
        "metrics": "; ".join(
            f"{metric_title(m, run)} ({METRICS[m].source})" for m in names if m in METRICS
        ),
        "size": f"{found['test_subjects']} test subjects; not planned. Smallest difference found "
        f"with 80% power: {number(min(limits))} to {number(max(limits))}.",
        "performance": found["sentence"],
        "precision": "Every arm, budget and metric with interval: results.csv.",
        "failures": "The best and the worst predicted test images are shown in report.html.",
    }


def _each_side(sides: dict[str, Any], keys: tuple[str, ...]) -> str:
    """Counts of each split: "test: subjects 16, classes benign (8), malignant (8)"."""
    told = []
    for name, side in sides.items():
        known = [f"{key} {_count(side[key])}" for key in keys if side.get(key)]
        told.append(f"{name}: {', '.join(known)}")
    return "; ".join(told)


def _count(held: Any) -> str:
    if isinstance(held, dict):
        return ", ".join(f"{name} ({plain(number)})" for name, number in held.items())
    return plain(held)


def _start(text: Any) -> str:
    return str(text)[:1].upper() + str(text)[1:]


def _list(values: list[Any]) -> str:
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
