"""Do the intervals cover, and how often is a verdict false? Simulated studies, no images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.figures import Figure
from benchmarks.simulation import LABELS, World, draw_study, list_worlds
from tassl.data.files import write_text
from tassl.evaluation.efficiency import (
    find_labels,
    measure_savings,
    trace_areas,
    weigh_budgets,
)
from tassl.evaluation.finding import HELPS, NO_EVIDENCE, OVERALL
from tassl.evaluation.protocol import Protocol
from tassl.evaluation.statistics import Scores, estimate
from tassl.evaluation.verdict import compare

STUDIES, POWER_STUDIES, RESAMPLE_SETS, RESAMPLES = 1000, 200, 8, 1000
MIDDLE = "25"
EFFECTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6)
POWERED = tuple(World("", "dice", n, d) for n, d in ((50, 3), (50, 4), (50, 10), (200, 4)))
PROTOCOL = replace(Protocol(), resamples=RESAMPLES)
RATES = (
    "mean",
    "mean_before",
    "difference",
    "difference_before",
    "picked",
    "area",
    "false",
    "false_if_few_draws_could",
    "false_budgets",
    "false_wilcoxon",
)


def measure(out: Path = Path("build/benchmarks"), studies: int = STUDIES) -> Iterator[Figure]:
    """Coverage of the intervals, false verdicts without an effect, power with one.

    Args:
        out: Gets coverage.csv, power.csv and coverage.md.
        studies: Per setting.
    """
    covered = pd.DataFrame(
        {"setting": world.name, **_cover(world, studies)} for world in list_worlds()
    )
    power = pd.DataFrame(_find(world, effect) for world in POWERED for effect in EFFECTS)
    write_text(out / "coverage.csv", covered.to_csv(index=False, float_format="%.4f"))
    write_text(out / "power.csv", power.to_csv(index=False, float_format="%.4f"))
    write_text(out / "coverage.md", _tell(covered, power, studies))
    for row in covered.to_dict("records"):
        yield from _judge(row, studies)
    for row in power.to_dict("records"):
        yield Figure(
            f"power, {row['subjects']} subjects, {row['draws']} draws, {row['difference']:+.3f} "
            "Dice",
            row["overall"],
        )


def _judge(row: dict, studies: int) -> Iterator[Figure]:
    """One setting's figures; limits leave two standard errors of simulation to 3, 5 and 7%."""
    error = (0.05 * 0.95 / studies) ** 0.5
    several = not row["setting"].endswith("1 draw")
    for what in ("mean", "difference", "area"):
        missed = 1 - row[what]
        limits = {"limit": 0.07 + 2 * error, "least": 0.03 - 2 * error} if several else {}
        yield Figure(f"{row['setting']}: interval of a {what} misses", missed, **limits)
    yield Figure(f"{row['setting']}: a false verdict", row["false"], "", 0.05 + 2 * error)


def _cover(world: World, studies: int) -> dict[str, float]:
    """How often intervals hold the truth, and how often a study without an effect claims one."""
    truth, metric = world.truth(), world.metric
    place = list(LABELS).index(MIDDLE)
    hits = {name: 0 for name in RATES}
    for rng, counts in _repeat(world, studies):
        scores = draw_study(world, 0.0, counts, rng)
        here = {arm.name: scores[arm.name, MIDDLE, metric] for arm in world.arms}
        pairs = [here[arm.name].minus(here["scratch"]) for arm in world.arms if arm.method]
        level = PROTOCOL.confidence
        mean = estimate(here["a"], level, list(here.values()), skewed=True)
        gap = estimate(pairs[0], level, pairs)
        findings = compare(
            scores | trace_areas(scores, metric, LABELS), world.arms, metric, PROTOCOL
        )
        ours = {found.budget: found for found in findings if found.arm == "a"}
        intervals = {
            "mean": (mean.low, mean.high),
            "mean_before": _estimate_before(here["a"], level),
            "difference": (gap.low, gap.high),
            "difference_before": _estimate_before(pairs[0], level, pairs),
            "picked": (ours[MIDDLE].difference.low, ours[MIDDLE].difference.high),
            "area": (ours[OVERALL].difference.low, ours[OVERALL].difference.high),
        }
        for name, (low, high) in intervals.items():
            hits[name] += low <= (truth[2, place] if "mean" in name else 0.0) <= high
        claims = [found for found in findings if found.verdict != NO_EVIDENCE]
        hits["false"] += bool(claims)
        hits["false_if_few_draws_could"] += min(f.p_adjusted for f in findings) < PROTOCOL.alpha
        hits["false_budgets"] += any(found.budget != OVERALL for found in claims)
        ranks = [found.wilcoxon for found in findings if found.wilcoxon is not None]
        hits["false_wilcoxon"] += any(rank < PROTOCOL.alpha for rank in ranks)
    rates = {name: count / studies for name, count in hits.items()}
    return rates if world.ranked else rates | {"false_wilcoxon": np.nan}


def _find(world: World, effect: float) -> dict[str, float]:
    """Power at one effect, and how often the interval of the labels saved holds the truth."""
    truth, metric = world.truth(effect), world.metric
    labels = np.array(list(LABELS.values()))
    equal = find_labels(truth[:1], truth[2, :1], labels)[0]
    found: list[tuple[bool, float, bool]] = []
    for rng, counts in _repeat(world, POWER_STUDIES):
        scores = draw_study(world, effect, counts, rng)
        findings = compare(
            scores | trace_areas(scores, metric, LABELS), world.arms, metric, PROTOCOL
        )
        ours = [finding for finding in findings if finding.arm == "a"]
        savings = measure_savings(scores, findings, metric, LABELS, PROTOCOL, 0)
        first = next(saving for saving in savings if saving.arm == "a")
        budgets = [f.verdict == HELPS for f in ours if f.budget != OVERALL]
        overall = next(f.verdict == HELPS for f in ours if f.budget == OVERALL)
        found.append((overall, float(np.mean(budgets)), first.low <= equal <= first.high))
    overall, budgets, saved = np.mean(found, axis=0)
    gains = (truth[2] - truth[0]) @ weigh_budgets(list(LABELS.values()))
    return {
        "subjects": world.subjects,
        "draws": world.draws,
        "difference": float(gains),
        "overall": overall,
        "budgets": budgets,
        "equal_labels": equal,
        "savings_cover": saved,
    }


def _repeat(world: World, studies: int) -> Iterator[tuple[np.random.Generator, np.ndarray]]:
    """A generator and resamples of subjects for each study."""
    chances = np.full(world.subjects, 1 / world.subjects)
    rng = np.random.default_rng(7)
    sets = [
        rng.multinomial(world.subjects, chances, size=RESAMPLES).astype(float)
        for _ in range(RESAMPLE_SETS)
    ]
    for study in range(studies):
        yield np.random.default_rng((11, study)), sets[study % RESAMPLE_SETS]


def _estimate_before(
    scores: Scores, confidence: float, like: list[Scores] | None = None
) -> tuple[float, float]:
    """The interval before this study: what subjects and draws share counted twice, no lean."""
    draws, value = len(scores.observed), scores.observed.mean()
    by_subject = np.nanvar(scores.resampled.mean(axis=1), ddof=1)
    groups = like or [scores]
    variances = [np.var(s.observed, ddof=1) if draws > 1 else 0.0 for s in groups]
    own = np.var(scores.observed, ddof=1) if draws > 1 else 0.0
    by_draw = max(own, np.mean(variances)) / draws
    if by_subject + by_draw == 0:
        return value, value
    parts = by_subject**2 / (scores.subjects - 1) + by_draw**2 / max(1, (draws - 1) * len(groups))
    error = (by_subject + by_draw) ** 0.5
    reach = stats.t.ppf(0.5 + confidence / 2, error**4 / parts) * error
    return value - reach, value + reach


LEGEND = """Shares of studies. `mean`, `difference` (against a baseline fixed beforehand), `picked`
(against the best of two equal baselines) and `area` (over all budgets): intervals that hold the
truth; `_before`: the estimator that this one replaced. `false`: studies without an effect that say
helps or hurts anywhere; `false_if_few_draws_could`: that would if fewer than three draws could
claim anything; `false_budgets`: at a budget; `false_wilcoxon`: by Wilcoxon's test."""
POWER_LEGEND = """`overall`: studies that say helps over all budgets; `budgets`: share of budgets
that do; `savings_cover`: intervals of the labels saved that hold the truth."""


def _tell(covered: pd.DataFrame, power: pd.DataFrame, studies: int) -> str:
    """Both tables in Markdown."""
    return "\n\n".join(
        (
            f"# Coverage of 95% intervals and false verdicts, {studies} studies per setting",
            LEGEND,
            _table(covered),
            f"# Power against two equal baselines, {POWER_STUDIES} studies per row",
            POWER_LEGEND,
            _table(power) + "\n",
        )
    )


def _table(frame: pd.DataFrame) -> str:
    rows = [
        [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row]
        for row in frame.itertuples(index=False)
    ]
    lines = [list(frame.columns), ["---"] * len(frame.columns), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
