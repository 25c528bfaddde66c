"""How well the advisor foretells published comparisons of studies that it has not seen."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass

import numpy as np

from benchmarks.figures import Figure
from tassl.advisor.effects import Context
from tassl.advisor.evidence import load
from tassl.advisor.fitting import fit_posterior
from tassl.advisor.observations import Row, list_rows
from tassl.advisor.posterior import Posterior, draw_scores, read_posterior
from tassl.methods import PARADIGMS

Rule = Callable[[Context], dict[str, float]]
DRAWS = 4000
REVIEW = {"classification": "contrastive", "regression": "contrastive"}
LEVELS = (0.8, 0.95)


@dataclass(frozen=True)
class Comparison:
    """Paradigms that one study compared on one task.

    Args:
        study: The study.
        context: Where.
        paradigms: Those compared.
        scores: Mean logit of each one's methods, which is what a user of the paradigm may expect.
        arms: Paradigm and canonical name of each method.
        independent: Whether the winner is not the authors' own.
        trust: Relative precision.
    """

    study: str
    context: Context
    paradigms: tuple[str, ...]
    scores: np.ndarray
    arms: tuple[tuple[str, str], ...]
    independent: bool
    trust: float

    @property
    def winner(self) -> int:
        return int(self.scores.argmax())


@dataclass(frozen=True)
class Forecast:
    """Expected scores (paradigm,) and the probability of each paradigm to win (paradigm,)."""

    scores: np.ndarray
    chances: np.ndarray


def measure() -> Iterator[Figure]:
    """Leave one study out at a time; every figure is the mean over studies of its mean."""
    rows = list_rows(load())
    comparisons = list_comparisons(rows)
    forecasts, inside = defaultdict(list), []
    for study in dict.fromkeys(c.study for c in comparisons):
        rest = [row for row in rows if row.study != study]
        posterior = fit_posterior(rest, {row.method for row in rest}, read_posterior())
        others = [c for c in comparisons if c.study != study]
        ridge = fit_ridge(others)
        for comparison in (c for c in comparisons if c.study == study):
            forecast, found = foretell(posterior, comparison)
            inside.append(found)
            forecasts["advisor"].append(forecast)
            for name, pick in rules(others, ridge).items():
                forecasts[name].append(trust_rule(pick, others, comparison))
    for kind in ("all", "independent"):
        chosen = [kind == "all" or c.independent for c in comparisons]
        yield Figure(f"{kind}: comparisons", sum(chosen), "")
        for name, made in forecasts.items():
            yield from score(f"{kind}: {name}", comparisons, made, chosen)
        for name, made in forecasts.items():
            if name != "advisor":
                title = f"{kind}: advisor loses more than {name}"
                yield hold_against(title, comparisons, forecasts["advisor"], made, chosen)
        for place, level in enumerate(LEVELS):
            covered = over_studies(comparisons, [pair[place] for pair in inside], chosen)
            yield Figure(f"{kind}: {level:.0%} intervals hold", 100 * covered, "%")


def list_comparisons(rows: Sequence[Row]) -> list[Comparison]:
    """Comparisons of two paradigms or more."""
    cases = defaultdict(list)
    for row in rows:
        if row.arm in PARADIGMS:
            cases[row.case].append(row)
    found = []
    for case in cases.values():
        arms = tuple(p for p in PARADIGMS if any(row.arm == p for row in case))
        if len(arms) > 1 and not any(row.own == "finding" for row in case):
            scores = [[row.score for row in case if row.arm == arm] for arm in arms]
            found.append(
                Comparison(
                    study=case[0].study,
                    context=case[0].context,
                    paradigms=arms,
                    scores=np.array([np.mean(values) for values in scores]),
                    arms=tuple((row.arm, row.method) for row in case),
                    independent=not any(row.own for row in case),
                    trust=case[0].trust,
                )
            )
    return found


def foretell(posterior: Posterior, c: Comparison) -> tuple[Forecast, tuple[float, ...]]:
    """The model's forecast, and the share of differences inside each of `LEVELS`."""
    mean, settled, between = posterior.predict(c.arms, c.context)
    share = np.array([[arm == paradigm for arm, _ in c.arms] for paradigm in c.paradigms], float)
    noise = posterior.noise**2 / c.trust / share.sum(1)
    share /= share.sum(1, keepdims=True)
    mean, settled = share @ mean, share @ settled @ share.T
    between = share @ between @ share.T + np.diag(noise)
    draws = draw_scores(mean, settled, between, DRAWS)
    pairs = [(i, j) for i in range(len(mean)) for j in range(i)]
    held = []
    for level in LEVELS:
        ends = [
            np.quantile(draws[:, i] - draws[:, j], [0.5 - level / 2, 0.5 + level / 2])
            for i, j in pairs
        ]
        truth = [c.scores[i] - c.scores[j] for i, j in pairs]
        held.append(np.mean([low <= t <= high for (low, high), t in zip(ends, truth, strict=True)]))
    chances = np.bincount(draws.argmax(1), minlength=len(mean)) / DRAWS
    return Forecast(mean, np.clip(chances, 1 / DRAWS, 1)), tuple(held)


def rules(others: Sequence[Comparison], ridge: dict[tuple[str, ...], float]) -> dict[str, Rule]:
    """What the advisor is held against: paradigm scores in a context, by name."""

    def always(paradigm: str) -> Rule:
        return lambda context: {paradigm: 1.0}

    def review(context: Context) -> dict[str, float]:
        return {REVIEW.get(context.task, "generative"): 1.0}

    def frequent(context: Context) -> dict[str, float]:
        wins = defaultdict(float)
        for study in {c.study for c in others}:
            same = [c for c in others if c.study == study and c.context.task == context.task]
            for c in same:
                wins[c.paradigms[c.winner]] += 1 / len(same)
        return dict(wins)

    def linear(context: Context) -> dict[str, float]:
        return {p: sum(ridge.get(f, 0.0) for f in features(p, context)) for p in PARADIGMS}

    return {
        **{f"always {paradigm}": always(paradigm) for paradigm in PARADIGMS},
        "the review's rule": review,
        "most frequent winner of the task": frequent,
        "ridge": linear,
        "uniform": lambda context: {},
    }


def trust_rule(rule: Rule, others: Sequence[Comparison], c: Comparison) -> Forecast:
    """A rule's forecast: its favourite wins as often as it did in the other studies."""
    scores = _apply(rule, c)
    if np.ptp(scores) == 0:
        return Forecast(scores, np.full(len(scores), 1 / len(scores)))
    known = [(o, _apply(rule, o)) for o in others]
    hits = [(o.study, s.argmax() == o.winner) for o, s in known if np.ptp(s) > 0]
    studies = {study for study, _ in hits}
    right = sum(np.mean([hit for s, hit in hits if s == study]) for study in studies)
    chance = (right + 1) / (len(studies) + 2)
    chances = np.full(len(scores), (1 - chance) / (len(scores) - 1))
    chances[scores.argmax()] = chance
    return Forecast(scores, chances)


def fit_ridge(comparisons: Sequence[Comparison]) -> dict[tuple[str, ...], float]:
    """Ridge regression of centred scores on paradigm times trait."""
    from sklearn.linear_model import Ridge

    lines = [
        (c, paradigm, score)
        for c in comparisons
        for paradigm, score in zip(c.paradigms, c.scores - c.scores.mean(), strict=True)
    ]
    carried = [set(features(paradigm, c.context)) for c, paradigm, _ in lines]
    names = sorted(set().union(*carried))
    table = np.array([[name in found for name in names] for found in carried])
    counts = Counter(c.study for c, _, _ in lines)
    weights = [1 / counts[c.study] for c, _, _ in lines]
    model = Ridge(alpha=0.1, fit_intercept=False).fit(table, [s for *_, s in lines], weights)
    return dict(zip(names, model.coef_, strict=True))


def features(paradigm: str, context: Context) -> list[tuple[str, ...]]:
    """A paradigm, alone and with each trait."""
    return [(paradigm,), *((paradigm, value) for value in astuple(context))]


def score(
    name: str, comparisons: Sequence[Comparison], made: Sequence[Forecast], chosen: Sequence[bool]
) -> Iterator[Figure]:
    """Accuracy, regret, rank correlation and log score of a forecaster."""
    from scipy.stats import spearmanr

    top, points, rank, logs = [], [], [], []
    for c, forecast in zip(comparisons, made, strict=True):
        best = forecast.scores == forecast.scores.max()  # ties share
        shares = 1 / (1 + np.exp(-c.scores))
        top.append(best[c.winner] / best.sum())
        points.append(100 * (shares.max() - shares[best].mean()))
        flat = np.ptp(forecast.scores) == 0 or np.ptp(c.scores) == 0
        rank.append(0.0 if flat else spearmanr(forecast.scores, c.scores).statistic)
        logs.append(np.log(forecast.chances[c.winner]))
    for title, values, unit in (
        ("right", [100 * t for t in top], "%"),
        ("regret", lose(comparisons, made), "logit"),
        ("regret", points, "points"),
        ("rank correlation", rank, ""),
        ("log score", logs, "nats"),
    ):
        yield Figure(f"{name}, {title}", over_studies(comparisons, values, chosen), unit)


def lose(comparisons: Sequence[Comparison], made: Sequence[Forecast]) -> list[float]:
    """Logit lost against the winner by following each forecast."""
    pairs = zip(comparisons, made, strict=True)
    return [float(c.scores.max() - c.scores[f.scores == f.scores.max()].mean()) for c, f in pairs]


def hold_against(
    title: str,
    comparisons: Sequence[Comparison],
    ours: Sequence[Forecast],
    theirs: Sequence[Forecast],
    chosen: Sequence[bool],
) -> Figure:
    """How much more ours lose, with the standard error over studies."""
    gaps = np.subtract(lose(comparisons, ours), lose(comparisons, theirs)).tolist()
    means = list_means(comparisons, gaps, chosen)
    error = np.std(means, ddof=1) / len(means) ** 0.5
    return Figure(title, float(np.mean(means)), f"logit, standard error {error:.3f}")


def over_studies(
    comparisons: Sequence[Comparison], values: Sequence[float], chosen: Sequence[bool]
) -> float:
    """Mean over studies of each one's mean."""
    return float(np.mean(list_means(comparisons, values, chosen)))


def list_means(
    comparisons: Sequence[Comparison], values: Sequence[float], chosen: Sequence[bool]
) -> list[float]:
    """Mean of each study's chosen values."""
    held = defaultdict(list)
    for comparison, value, taken in zip(comparisons, values, chosen, strict=True):
        if taken:
            held[comparison.study].append(value)
    return [float(np.mean(found)) for found in held.values()]


def _apply(rule: Rule, c: Comparison) -> np.ndarray:
    found = rule(c.context)
    return np.array([found.get(paradigm, 0.0) for paradigm in c.paradigms])
