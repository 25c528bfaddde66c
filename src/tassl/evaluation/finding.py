"""What is compared, and what a comparison found."""

from __future__ import annotations

from dataclasses import dataclass

from tassl.evaluation.effects import Effect
from tassl.evaluation.statistics import Estimate

HELPS, NO_EVIDENCE, HURTS = "helps", "no evidence", "hurts"
OVERALL = "overall"  # in place of a budget, of what holds for the whole label-efficiency curve
FEWEST_SUBJECTS = 20
FEWEST_DRAWS = 3  # from two, up to 12% of simulated studies without an effect claimed one


@dataclass(frozen=True)
class Arm:
    """One way to use the labels.

    Args:
        name: As it stands in tables.
        method: Pretext method, "" for a baseline.
        adaptation: "finetune", "frozen" or "pixels".
        weights: Natural-image weights that a baseline starts from, "" for random ones.
        semi: Whether a baseline learns from unlabelled images as it is fitted.
    """

    name: str
    method: str
    adaptation: str
    weights: str = ""
    semi: bool = False


@dataclass(frozen=True)
class Finding:
    """A pretrained arm against the best baseline at one budget.

    Args:
        budget: Label budget, or "overall" for the area of the label-efficiency curve.
        arm: Name of the pretrained arm.
        reference: Name of the baseline with the best mean.
        difference: Arm minus reference, on the task's first metric; below zero is better where
            less of the metric is.
        p_adjusted: After Holm over all findings of the study.
        verdict: "helps", "no evidence" or "hurts".
        effect: By subject, where the metric is one of single images.
        wilcoxon: Its probability, after Holm over all findings; None without an effect.
        disputed: Whether Wilcoxon's test comes to another verdict.
    """

    budget: str
    arm: str
    reference: str
    difference: Estimate
    p_adjusted: float
    verdict: str
    effect: Effect | None = None
    wilcoxon: float | None = None
    disputed: bool = False


def is_unclaimed(verdict: str, low: float, high: float) -> bool:
    """Whether a difference without evidence has an interval that leaves zero out.

    Such an interval counts for one comparison alone; the verdict counts them all.

    Args:
        verdict: "helps", "no evidence" or "hurts".
        low: Lower end of the interval.
        high: Upper end.
    """
    return verdict == NO_EVIDENCE and (low > 0 or high < 0)
