"""The whole protocol in words and numbers, read off the code so that the two cannot drift."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from tassl.evaluation import finding, splits, statistics, verdict
from tassl.evaluation.metrics import METRICS
from tassl.evaluation.protocol import Protocol
from tassl.heads import HEADS
from tassl.heads.probe import STRENGTHS
from tassl.trials import list_arms, target_of

METHOD = "METHOD"
CONSTANTS: dict[str, float] = {
    "power": statistics.POWER,
    "shared_variance": statistics.SHARED,
    "fewest_subjects": finding.FEWEST_SUBJECTS,
    "fewest_draws": finding.FEWEST_DRAWS,
    "side_resamples": verdict.SIDE_RESAMPLES,
    "fifths": splits.FIFTHS,
}


def list_facts(protocol: Protocol) -> dict[str, Any]:
    """Name, values, constants, arms and metrics by task, and the rules in words."""
    facts = {
        "name": protocol.title,
        "values": asdict(protocol),
        "constants": CONSTANTS,
        "tasks": {task: _list_task(task) for task in HEADS},
    }
    return facts | {"digest": digest_values(protocol), "rules": dict(_rules(protocol))}


def digest_values(protocol: Protocol) -> str:
    """What changes when any value or constant does: SHA-256, 16 digits."""
    text = json.dumps([asdict(protocol), CONSTANTS], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def describe_protocol(protocol: Protocol) -> str:
    """The protocol as Markdown."""
    facts = list_facts(protocol)
    lines = [f"# {facts['name']}", "", f"Digest of its values: {facts['digest']}."]
    for title, rules in facts["rules"].items():
        lines += ["", f"## {title}", "", *(f"* {rule}" for rule in rules)]
    return "\n".join(lines)


def _list_task(task: str) -> dict[str, Any]:
    card, target = HEADS[task], target_of(task)
    return {
        "arms": [arm.name for arm in list_arms(task, [METHOD])],
        "metrics": list(card.metrics),
        "budgets_count": card.unit,
        "tuning": {f"{dims}D": asdict(target.tuning(dims)) for dims in (2, 3)},
    }


def _rules(p: Protocol) -> Iterator[tuple[str, list[str]]]:
    level, alpha = f"{p.confidence:.0%}", f"{p.alpha:.0%}"
    budgets = ", ".join(map(splits.name_budget, p.budgets))
    yield (
        "Splits",
        [
            "By subject: all images of a subject stand on one side. Splits that a data set gives "
            "are kept.",
            f"Otherwise {p.test_share:.0%} of the subjects are for testing and {p.val_share:.0%} "
            "for validation, an even share of each class; of numbers to predict, of each of the "
            f"{splits.FIFTHS} fifths of their range; of findings, by the rarest of each subject.",
            "Of identical images on two sides, the one in the less guarded side is taken out.",
        ],
    )
    yield (
        "Label budgets",
        [
            f"{budgets} labelled subjects, and all; by class where the task has classes. At least "
            "one subject of every class always. Of findings, as many subjects who show each, and "
            "as many who do not; one may count for several.",
            f"{p.draws} draws of each. Within a draw every budget holds the smaller ones; draws "
            "are independent, and all arms share them. Subjects are spread evenly over the range "
            "where a number is learnt.",
        ],
    )
    yield (
        "Arms",
        [
            *(f"{HEADS[task].title}: {', '.join(_list_task(task)['arms'])}." for task in HEADS),
            "One of each kind for every pretext method. All use the same network, labelled "
            "subjects, views, steps and seeds.",
        ],
    )
    yield (
        "Tuning",
        [
            f"Every trained arm is tuned over the same learning rates, "
            f"{', '.join(f'{rate:g}' for rate in p.rates)}, by the first metric on validation "
            "subjects, with the first draw of the middle budget; nothing on test subjects.",
            f"Linear models choose among {len(STRENGTHS)} strengths of their penalty, by folds of "
            "subjects within each label subset.",
            "Asked for wide tuning, every trained arm has three times the tries: pretrained ones "
            "with a layer-wise decay of the rate or the head first as well, the others with twice "
            "or half the steps.",
        ],
    )
    yield (
        "Metrics",
        [
            f"{HEADS[task].title}: {', '.join(METRICS[name].title for name in HEADS[task].metrics)}"
            "; the first decides."
            for task in HEADS
        ]
        + [
            f"A boundary is right within {p.tolerance:g} mm; in pixels where files give no size.",
            "Images that a metric does not count are left out, and their number is given.",
        ],
    )
    yield (
        "Sources of variation",
        [
            "Test subjects, and draws: label subset, initialisation, order and views change with "
            "the draw together. Not varied: splits, pretraining and tuning, which are done once.",
        ],
    )
    yield (
        "Intervals",
        [
            f"{level} intervals of the mean over draws. Variance of subjects: {p.resamples} "
            f"bootstrap resamples of subjects ({verdict.SIDE_RESAMPLES} for metrics that decide "
            "nothing), all images of a subject together, the same for all arms and draws. "
            "Variance of draws: of the observed draws, at least the average of the arms compared, "
            "less what subjects and draws share.",
            "Student's t with Satterthwaite's degrees of freedom. Intervals of single arms lean as "
            "Hall's transformation says; those of differences are symmetric.",
        ],
    )
    yield (
        "Comparisons",
        [
            "Every pretrained arm at every budget against the baseline with the best mean there, "
            "paired by subject and draw.",
            "And over all budgets: the area under the curve of the metric over the logarithm of "
            "the number of labelled subjects, divided by its width.",
            "Two-sided; the probability of a loss is multiplied by the number of baselines, since "
            "the best of them is picked on the same subjects. It is never below that of all n "
            "subjects having one sign.",
        ],
    )
    yield (
        "Correction",
        [
            f"Holm over all arms, budgets and areas together: a study without an effect says helps "
            f"or hurts anywhere with {alpha} probability at most.",
        ],
    )
    yield (
        "Verdict",
        [
            f"Helps or hurts: adjusted p below {p.alpha:g}. Otherwise there is no evidence, and "
            f"the smallest difference found with {statistics.POWER:.0%} power is given, by the "
            "strictest step of Holm's correction.",
            "A budget helps if any arm does, and hurts only if every arm does.",
            f"With fewer than {finding.FEWEST_DRAWS} draws nothing is claimed. With fewer than "
            f"{finding.FEWEST_SUBJECTS} test subjects the verdict says that they are too few.",
        ],
    )
    yield (
        "Beside the verdict",
        [
            "Labels saved: with how many labelled subjects the baseline with the best area scores "
            "the same, straight between budgets on log labels, with a bootstrap interval over "
            'subjects and draws; "more than" where its curve ends below.',
            "For metrics of single images: standardised paired difference dz, share of subjects "
            "that are better (Wilson's interval), and Wilcoxon's signed-rank test on subject "
            "means, Holm-adjusted. That test takes the draws as they are and decides nothing; "
            "where it disagrees, the verdict says so.",
        ],
    )
    yield (
        "Transductive",
        [
            "No. Test images take part in nothing but the scores. Validation images are pretrained "
            "on without labels; tuning uses their labels, training never.",
        ],
    )
