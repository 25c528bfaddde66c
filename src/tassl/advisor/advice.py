"""From a query to advice: an answer and a ranking, with what speaks for and against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tassl.advisor.answering import answer_query
from tassl.advisor.candidates import PUBLISHED, Options, choose_options
from tassl.advisor.changing import list_changes
from tassl.advisor.evidence import Evidence, load
from tassl.advisor.guidelines import list_guidelines
from tassl.advisor.outlook import DRAWS, Gain, Outlook, look_ahead, tell_gain, weigh_step
from tassl.advisor.posterior import Posterior, read_posterior
from tassl.advisor.query import Query
from tassl.methods import METHODS

LEVEL_POINTS = 2.0  # within which a dear one waits: studies differ by far more
DEAR = 1.5  # times the pass of the cheapest that is level
BRIEF = 10.0  # minutes of pretraining, which nobody needs to save
SHOWN_STUDIES = 3


@dataclass(frozen=True)
class Move:
    """What a study adds to the expected gain, in points.

    Args:
        study: Its key in the evidence.
        title: First author, year and title.
        points: For where positive, against where negative.
        source: Address.
    """

    study: str
    title: str
    points: float
    source: str


@dataclass(frozen=True)
class Strategy:
    """One way to pretrain.

    Args:
        method: Key in `METHODS`.
        paradigm: Its paradigm.
        gain: Over the best baseline.
        best: Probability that it is the best of the ranking.
        options: How to run it.
        moves: Studies that moved the expectation most.
        rules: Guidelines that moved it, by key, with their effect in points.
    """

    method: str
    paradigm: str
    gain: Gain
    best: float
    options: Options
    moves: tuple[Move, ...]
    rules: tuple[tuple[str, float], ...]

    @property
    def cost(self) -> float:
        """Time of a pass over the images, as a multiple of SimCLR's."""
        return METHODS[self.method].cost

    @property
    def is_brief(self) -> bool:
        """Whether it is known to take few minutes."""
        return self.options.minutes is not None and self.options.minutes <= BRIEF

    @property
    def reason(self) -> str:
        """Why it stands at its place, in one line."""
        gain = self.gain
        return (
            f"expected to gain {gain.mean:+.1f} points over the best baseline (80% interval "
            f"{gain.likely[0]:+.1f} to {gain.likely[1]:+.1f}), best of the ranking at "
            f"{self.best:.0%}"
        )

    @property
    def source(self) -> str:
        """The studies and rules that moved the expectation most."""
        return "; ".join([*(move.study for move in self.moves), *(key for key, _ in self.rules)])


@dataclass(frozen=True)
class Advice:
    """A recommendation one can argue with.

    Args:
        query: What was asked.
        answer: What to do, as `answer_query` says.
        because: The reasons, most important first.
        baseline: What gains are told against.
        ranking: The best method of each paradigm, best first.
        others: Further methods by their paradigm, best first.
        vetoes: Methods that are out of the question, with the reason.
        rules: Guidelines whose condition is met: key, text, strength, source.
        banned: Operations that the modality forbids.
        changes: What would change the advice.
        studies: Studies with figures on this modality and this task.
    """

    query: Query
    answer: str
    because: tuple[str, ...]
    baseline: str
    ranking: tuple[Strategy, ...]
    others: dict[str, tuple[str, ...]]
    vetoes: dict[str, str]
    rules: tuple[tuple[str, str, str, str], ...]
    banned: tuple[str, ...]
    changes: tuple[str, ...]
    studies: int

    def pick(self, count: int) -> list[Strategy]:
        """The first strategies to measure; a dear one waits for those that are level with it."""
        left, chosen = list(self.ranking), []
        while left and len(chosen) < count:
            level = [s for s in left if s.gain.mean > left[0].gain.mean - LEVEL_POINTS]
            most = DEAR * min(s.cost for s in level)
            chosen.append(next(s for s in level if s.cost <= most or s.is_brief))
            left.remove(chosen[-1])
        return chosen

    def facts(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        told = [{"reason": item.reason, "source": item.source} for item in self.ranking]
        facts = asdict(self)
        facts["ranking"] = [
            strategy | words for strategy, words in zip(facts["ranking"], told, strict=True)
        ]
        return facts


def weigh(
    query: Query,
    *,
    posterior: Posterior | None = None,
    evidence: Evidence | None = None,
    neighbours: bool = True,
) -> Advice:
    """Rank pretraining strategies for a situation, and say whether to pretrain at all.

    Args:
        query: The situation.
        posterior: What the evidence says; the one that is shipped unless given.
        evidence: The tables behind it; those that are shipped unless given.
        neighbours: Look at neighbouring situations too, for what would change the advice.
    """
    posterior, evidence = posterior or read_posterior(), evidence or load()
    outlook = look_ahead(query, posterior)
    studies = count_studies(query, evidence, posterior)
    answer, because = answer_query(query, outlook, studies)
    rules = list_guidelines(query)
    return Advice(
        query=query,
        answer=answer,
        because=tuple(because),
        baseline=outlook.baseline,
        ranking=tuple(_list_strategies(query, outlook, posterior, evidence)),
        others=outlook.others,
        vetoes=outlook.vetoes,
        rules=tuple((g.key, g.rule.text, g.rule.strength, g.rule.source) for g in rules),
        banned=tuple(query.profile.banned),
        changes=tuple(list_changes(query, answer, outlook, posterior, studies))
        if neighbours
        else (),
        studies=studies,
    )


def count_studies(query: Query, evidence: Evidence, posterior: Posterior) -> int:
    """Studies behind the model with figures on this modality and this task."""
    lines = (*evidence.comparisons, *evidence.findings)
    return len(
        {
            line["study_id"]
            for line in lines
            if (line["modality"], line["task"]) == (query.modality, query.task)
            and line["study_id"] in posterior.studies
        }
    )


def _list_strategies(
    query: Query, outlook: Outlook, posterior: Posterior, evidence: Evidence
) -> Iterator[Strategy]:
    if not outlook.methods:
        return
    wins = np.bincount(outlook.gains.argmax(1), minlength=len(outlook.methods)) / DRAWS
    for place, method in enumerate(outlook.methods):
        paradigm, published = METHODS[method].paradigm, PUBLISHED.get(method, "")
        arms = [(paradigm, published), (outlook.baseline, "")]
        ours, theirs = posterior.loadings(arms, query.context)
        scale = weigh_step(query.task)
        yield Strategy(
            method=method,
            paradigm=paradigm,
            gain=tell_gain(outlook.gains[:, place], query.task),
            best=float(wins[place]),
            options=choose_options(query, method),
            moves=_list_moves(scale * (ours - theirs) @ posterior.moves, posterior, evidence),
            rules=tuple((g.key, float(scale * shift)) for g, shift in outlook.shifts[place]),
        )


def _list_moves(points: np.ndarray, posterior: Posterior, evidence: Evidence) -> tuple[Move, ...]:
    """Those studies that speak most for and most against."""
    known = {line["study_id"]: line for line in evidence.studies}
    order = np.argsort(points)
    chosen = [*order[::-1][:SHOWN_STUDIES], *order[:SHOWN_STUDIES][::-1]]
    moves = []
    for place in dict.fromkeys(chosen):
        study = posterior.studies[place]
        line = known.get(study, {})
        named = [line.get("first_author"), line.get("year"), line.get("title")]
        title = ", ".join(str(part) for part in named if part) or study
        moves.append(Move(study, title, float(points[place]), line.get("source_url") or ""))
    return tuple(move for move in moves if abs(move.points) >= 0.05)
