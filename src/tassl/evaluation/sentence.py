"""The verdict in words: where pretraining helps or hurts and by how much, and what is not known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tassl.evaluation.efficiency import Saving
from tassl.evaluation.finding import (
    FEWEST_DRAWS,
    FEWEST_SUBJECTS,
    HELPS,
    HURTS,
    NO_EVIDENCE,
    OVERALL,
    Finding,
    is_unclaimed,
)
from tassl.evaluation.metrics import METRICS, show_score
from tassl.evaluation.statistics import POWER, Estimate


@dataclass(frozen=True)
class Told:
    """What the sentence is about.

    Args:
        budgets: The finding that decides each budget.
        whole: The one that decides over all budgets, None from a single budget.
        savings: Its labels saved, budget by budget.
        comparisons: All findings of the study.
        metric: What they compare.
        unit: What a label budget counts.
        measured_in: Unit of the metric, where it has one.
    """

    budgets: Sequence[Finding]
    whole: Finding | None
    savings: Sequence[Saving]
    comparisons: Sequence[Finding]
    metric: str
    unit: str
    measured_in: str = ""

    @property
    def title(self) -> str:
        """The metric, with its unit."""
        card = METRICS[self.metric]
        return f"{self.measured_in if card.in_unit else ''} {card.title}".strip()

    def gap(self, difference: Estimate) -> str:
        """A difference with its interval: "+0.031 Dice [+0.010, +0.052]"."""
        value, low, high = (
            show_score(end, "+") for end in (difference.value, difference.low, difference.high)
        )
        wish = "" if METRICS[self.metric].sign > 0 else " (lower is better)"
        return f"{value} {self.title} [{low}, {high}]{wish}"


def tell(told: Told, subjects: int, draws: int) -> str:
    """All of the verdict in words.

    Args:
        told: What was found.
        subjects: Number of test subjects.
        draws: Label subsets per budget.
    """
    parts = [*_tell_budgets(told), *_tell_whole(told), *_tell_harm(told)]
    parts += _tell_unclaimed(told) if draws >= FEWEST_DRAWS else []
    if all(finding.verdict != HELPS for finding in (*told.budgets, told.whole) if finding):
        parts.append("On this evidence, do not pretrain.")
    if disputed := [f.budget for f in (*told.budgets, told.whole) if f and f.disputed]:
        parts.append(
            "Wilcoxon's test, which asks whether most subjects differ and takes the draws as they "
            f"are, comes to another verdict {_where(disputed, told.unit)}."
        )
    if draws < FEWEST_DRAWS:
        times = {1: "once", 2: "twice"}.get(draws, f"{draws} times")
        parts.append(
            f"Every budget was drawn {times}: a claim needs {FEWEST_DRAWS} draws, to tell how they "
            "vary."
        )
    if subjects < FEWEST_SUBJECTS:
        parts.append(f"Only {_count(subjects, 'test subjects')}: too few to support a claim.")
    return " ".join(parts)


def _tell_budgets(told: Told) -> list[str]:
    parts = []
    for word in (HELPS, HURTS):
        here = [finding for finding in told.budgets if finding.verdict == word]
        if here:
            most = max(here, key=lambda finding: abs(finding.difference.value))
            place = f", most {_where([most.budget], told.unit)}" if len(here) > 1 else ""
            where = _where([finding.budget for finding in here], told.unit)
            parts.append(
                f"Pretraining {word} {where}{place}: {most.arm} against {most.reference}, "
                f"{told.gap(most.difference)}."
            )
    silent = [finding for finding in told.budgets if finding.verdict == NO_EVIDENCE]
    if silent:
        where = _where([finding.budget for finding in silent], told.unit)
        parts.append(f"No evidence of a difference {where}{_tell_limits(silent, told.title)}.")
    return parts


def _tell_limits(silent: Sequence[Finding], title: str) -> str:
    """What would have been found; nothing where scores do not vary."""
    limits = [finding.difference.detectable for finding in silent]
    limits = [limit for limit in limits if np.isfinite(limit) and limit > 0]
    if not limits:
        return ""
    ends = dict.fromkeys(map(show_score, (min(limits), max(limits))))
    which = ", by budget," if len(ends) > 1 else ""
    return (
        f" (one of {' to '.join(ends)} {title}{which} would have been found with {POWER:.0%} power)"
    )


def _tell_harm(told: Told) -> list[str]:
    """Pretrained arms that hurt, where another decides the verdict."""
    decided = [*told.budgets, told.whole]
    here = [f for f in told.comparisons if f.verdict == HURTS and f not in decided]
    if not here:
        return []
    most = max(here, key=lambda finding: abs(finding.difference.value))
    several = f"{len(here)} other comparisons hurt, most" if len(here) > 1 else "Another hurts:"
    return [
        f"{several} {most.arm} against {most.reference} {_where([most.budget], told.unit)}, "
        f"{told.gap(most.difference)}."
    ]


def _tell_whole(told: Told) -> list[str]:
    whole = told.whole
    if whole is None:
        return []
    word = "there is no evidence" if whole.verdict == NO_EVIDENCE else f"it {whole.verdict}"
    parts = [
        f"Over all budgets {word}: {whole.arm} against {whole.reference}, "
        f"{told.gap(whole.difference)} on average."
    ]
    if whole.verdict == HELPS and told.savings:
        first = told.savings[0]
        equal, low, high = map(first.say, (first.equal, first.low, first.high))
        parts.append(
            f"With {first.labels:.0f} labelled subjects it scores what {first.reference} reaches "
            f"with {equal} [{low}, {high}]."
        )
    return parts


def _tell_unclaimed(told: Told) -> list[str]:
    """Why intervals that leave zero out are no evidence, where there are any."""
    found = [
        finding
        for finding in told.comparisons
        if is_unclaimed(finding.verdict, finding.difference.low, finding.difference.high)
    ]
    several = len(told.comparisons)
    if not found or several == 1:
        return []
    least = show_score(min(finding.p_adjusted for finding in found))
    whose, p = ("their own intervals leave", f"p is {least} or more")
    if len(found) == 1:
        whose, p = "its own interval leaves", f"p is {least}"
    return [
        f"Not claimed: {len(found)} of the {several} comparisons, though {whose} zero out. Some do "
        f"so by chance; corrected for all {several} (Holm), {p}."
    ]


def _where(budgets: Sequence[str], unit: str) -> str:
    """Budgets in words: "with 5 and 10 subjects, 1% of the labels and all labels"."""
    numbers = [budget for budget in budgets if budget.isdigit()]
    shares = [budget for budget in budgets if budget.endswith("%")]
    said = [_count(_join(numbers), unit)] if numbers else []
    said += [f"{_join(shares)} of the labels"] if shares else []
    said += ["all labels"] if "all" in budgets else []
    said = [f"with {' and '.join(said)}"] if said else []
    return " and ".join(said + ["over all budgets"] * (OVERALL in budgets))


def _count(number: object, unit: str) -> str:
    """A number of subjects with its unit, as in "1 subject per class"."""
    return f"{number} {unit.replace('subjects', 'subject') if str(number) == '1' else unit}"


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
