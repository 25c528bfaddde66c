"""Test a suite's claims: paired differences of its cells, pooled over sets.

Within a set and seed the sides meet on the same test subjects. Seeds of a set share images, so
their variances are averaged, not divided; what differs between them comes on top. Sets are the
members of the meta-analysis, and Holm's correction is over the claims of the suite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from tassl.errors import InputError, TasslError
from tassl.evaluation.finding import Arm
from tassl.evaluation.pairing import Tested, check_alike, read_tested, subtract
from tassl.evaluation.protocol import Protocol
from tassl.evaluation.statistics import Scores, adjust_holm, average, estimate
from tassl.suite.cells import Cell
from tassl.suite.declaring import FEWEST, Claim, Side, Suite
from tassl.suite.pooling import Pooled, pool

SUPPORTED, NO_EVIDENCE, CONTRADICTED = "supported", "no evidence", "contradicted"


@dataclass(frozen=True)
class Member:
    """What one set says of a claim.

    Args:
        set: Its name.
        value: Mean difference over seeds, better side minus worse; NaN where it says nothing.
        low: Lower end of its own interval.
        high: Upper end.
        error: Standard error.
        seeds: Seeds that count.
        reason: Why it says nothing, or which seeds do not.
    """

    set: str
    value: float
    low: float
    high: float
    error: float
    seeds: int
    reason: str = ""


@dataclass(frozen=True)
class Judgement:
    """A claim after the runs.

    Args:
        claim: As declared.
        pooled: Over sets, None where no set says anything.
        p_adjusted: After Holm over the claims.
        verdict: `SUPPORTED`, `NO_EVIDENCE` or `CONTRADICTED`.
        members: What each set says.
    """

    claim: Claim
    pooled: Pooled | None
    p_adjusted: float
    verdict: str
    members: tuple[Member, ...]


def judge_claims(suite: Suite, cells: Sequence[Cell]) -> list[Judgement]:
    """Judge every claim of a suite by the cells that are finished."""
    runs: dict[tuple[str, int], Tested] = {}
    for cell in cells:
        if suite.claims and cell.finished:
            runs[cell.set.name, cell.seed] = read_tested(cell.folder)
    rules = next(iter(runs.values())).protocol if runs else Protocol()
    drafts = []
    for claim in suite.claims:
        members = [
            _weigh_set(claim, names, runs, suite, rules)
            for names in zip(claim.better.sets, claim.worse.sets, strict=True)
        ]
        known = [member for member in members if np.isfinite(member.value)]
        values, errors = [m.value for m in known], [m.error for m in known]
        pooled = pool(values, errors, rules.confidence) if known else None
        drafts.append((claim, pooled, tuple(members)))
    adjusted = adjust_holm([pooled.p if pooled else 1.0 for _, pooled, _ in drafts])
    return [
        Judgement(claim, pooled, float(p), _word(pooled, p, rules.alpha), members)
        for (claim, pooled, members), p in zip(drafts, adjusted, strict=True)
    ]


def _word(pooled: Pooled | None, p: float, alpha: float) -> str:
    if pooled is None or p >= alpha:
        return NO_EVIDENCE
    return SUPPORTED if pooled.value > 0 else CONTRADICTED


def _weigh_set(
    claim: Claim,
    names: tuple[str, str],
    runs: Mapping[tuple[str, int], Tested],
    suite: Suite,
    rules: Protocol,
) -> Member:
    """The difference of both sides on one set, or on two that share their test images."""
    found, reasons = [], []
    for name in dict.fromkeys(names):
        if name in suite.missing:
            reasons.append(suite.missing[name])
    for seed in suite.seeds if not reasons else ():
        try:
            first, second = (_find(runs, name, seed) for name in names)
            check_alike(first, second)
            better = _score_side(claim.better, first)
            worse = _score_side(claim.worse, second)
            found.append(estimate(subtract(better, worse), rules.confidence))
        except TasslError as error:
            reasons.append(str(error))
    title = " and ".join(dict.fromkeys(names))
    sound = [gap for gap in found if np.isfinite(gap.low) and gap.high > gap.low]
    if not sound:
        why = "; ".join(dict.fromkeys(reasons)) or "its difference has no spread"
        return Member(title, np.nan, np.nan, np.nan, np.nan, 0, why)
    normal = float(stats.norm.ppf(0.5 + rules.confidence / 2))
    values = [gap.value for gap in sound]
    errors = [(gap.high - gap.low) / 2 / normal for gap in sound]  # few draws: wider than the plain
    between = float(np.var(values, ddof=1)) / len(values) if len(values) > 1 else 0.0
    error, value = float(np.sqrt(np.mean(np.square(errors)) + between)), float(np.mean(values))
    reach = normal * error
    return Member(title, value, value - reach, value + reach, error, len(sound), "; ".join(reasons))


def _find(runs: Mapping[tuple[str, int], Tested], name: str, seed: int) -> Tested:
    if (name, seed) not in runs:
        raise InputError(f"{name}-{seed} is not finished")
    return runs[name, seed]


def _score_side(side: Side, run: Tested) -> Scores:
    """Mean score, or gain over its baseline, of the side's arms in a run."""
    arms = [
        arm
        for arm in run.arms.values()
        if arm.method
        and arm.method in (side.methods or (arm.method,))
        and arm.adaptation == (side.adaptation or arm.adaptation)
    ]
    if not arms:
        raise InputError(f"{run.folder.name} has no arm of {', '.join(side.methods) or 'any'}")
    return average(
        [
            subtract(run.score(arm.name, budget), run.score(_find_baseline(run, arm), budget))
            if side.gain
            else run.score(arm.name, budget)
            for arm in arms
            for budget in _choose_budgets(side, run)
        ]
    )


def _find_baseline(run: Tested, arm: Arm) -> str:
    """The arm that uses labels the same way and was not pretrained."""
    return next(
        own.name for own in run.arms.values() if not own.method and own.adaptation == arm.adaptation
    )


def _choose_budgets(side: Side, run: Tested) -> list[str]:
    if not side.budgets:
        return [budget for budget in run.budgets if budget != "all"] or run.budgets
    named = [run.budgets[0] if name == FEWEST else name for name in side.budgets]
    return [budget for budget in named if budget in run.budgets]


def tabulate_claims(judgements: Sequence[Judgement]) -> pd.DataFrame:
    """One row per claim under set "all", and one per set below it."""
    rows = []
    for judged in judgements:
        pooled, name = judged.pooled, judged.claim.name
        whole = {"claim": name, "set": "all", "verdict": judged.verdict}
        if pooled:
            whole |= {"difference": pooled.value, "low": pooled.low, "high": pooled.high}
            whole |= {"p": pooled.p, "p_adjusted": judged.p_adjusted}
            whole |= {"spread": pooled.spread, "sets": pooled.members}
        rows.append(whole)
        for m in judged.members:
            own = {"claim": name, "set": m.set, "difference": m.value, "low": m.low}
            rows.append(own | {"high": m.high, "seeds": m.seeds, "reason": m.reason})
    columns = ["claim", "set", "verdict", "difference", "low", "high", "p", "p_adjusted"]
    return pd.DataFrame(rows, columns=[*columns, "spread", "sets", "seeds", "reason"])
