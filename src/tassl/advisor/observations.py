"""Published scores as rows of the advisor's model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tassl.advisor.effects import ARMS, NATURAL, SCRATCH, Context
from tassl.advisor.evidence import METRICS, Evidence

REGIMES = {"few-shot": "few", "1%": "few", "10%": "some", "50%": "some", "full": "many"}
UNTRAINED = ("scratch", "random init", "supervised")

# How far a row is trusted beside one that was read in the authors' own tables: what was seen at
# second hand, and models that differ in their pretraining data, tell less of the paradigm.
TRUST = {"measured": 1.0, "full_text": 1.0, "readme": 1.0, "abstract": 0.7, "secondary": 0.5}
OTHER_DATA = DOUBTFUL = 0.5


@dataclass(frozen=True)
class Row:
    """One arm's score in one comparison.

    Args:
        case: Comparison on the same data and metric.
        study: Publication.
        context: Where it was measured.
        arm: One of `tassl.advisor.effects.ARMS`.
        method: Canonical name.
        score: On the logit scale.
        own: Whether the paper proposes it: "comparison", "finding", or "" where not.
        trust: Relative precision.
    """

    case: str
    study: str
    context: Context
    arm: str
    method: str
    score: float
    own: str = ""
    trust: float = 1.0


def list_rows(evidence: Evidence) -> list[Row]:
    """Rows of every comparison of two arms or more, and of findings of other studies."""
    names = {line["method"]: line["canonical"] for line in evidence.methods}
    results = defaultdict(list)
    for line in evidence.results:
        results[line["case_id"]].append(line)
    rows = []
    for line in evidence.comparisons:
        if not line["overlaps"]:
            rows += _list_compared(line, results[line["case_id"]], names)
    compared = {line["study_id"] for line in evidence.comparisons}
    for line in evidence.findings:
        if line["study_id"] not in compared:
            rows += _list_gained(line)
    return _keep_comparable(rows)


def logit(share: float) -> float:
    """Log odds, away from the ends where one image decides."""
    share = min(max(share, 0.02), 0.98)
    return math.log(share / (1 - share))


def _list_compared(
    line: Mapping[str, Any], results: Iterable[Mapping[str, Any]], names: Mapping[str, str]
) -> Iterator[Row]:
    trust = _trust(line) * (OTHER_DATA if line["same_pretraining_data"] == "no" else 1)
    winners = str(line["winner"]).split(" = ") if line["winner_is_authors_method"] else []
    for result in results:
        method = names[result["method"]]
        arm = NATURAL if method == "supervised ImageNet" else result["paradigm"]
        if arm in ARMS and _is_bounded(line, result["value"]):
            yield Row(
                case=line["case_id"],
                study=line["study_id"],
                context=_context(line),
                arm=arm,
                method=method,
                score=logit(result["value"]),
                own="comparison" if result["method"] in winners else "",
                trust=trust,
            )


def _list_gained(line: Mapping[str, Any]) -> Iterator[Row]:
    printed = (line["baseline"] or "").lower()
    baseline = SCRATCH if any(word in printed for word in UNTRAINED) else ""
    baseline = NATURAL if "imagenet" in printed else baseline
    values = line["baseline_value"], line["ssl_value"]
    if "ssl" in printed or not baseline or not all(_is_bounded(line, value) for value in values):
        return
    before = Row(
        case=line["finding_id"],
        study=line["study_id"],
        context=_context(line),
        arm=baseline,
        method=baseline,
        score=logit(values[0]),
        trust=_trust(line),
    )
    yield before
    arm, method = line["paradigm"], line["method"]
    yield replace(before, arm=arm, method=method, score=logit(values[1]), own="finding")


def _context(line: Mapping[str, Any]) -> Context:
    return Context(
        task=line["task"],
        modality=line["modality"],
        dims=line["dims"],
        labels=REGIMES.get(line["label_regime"] or "", ""),
        adaptation=line["adaptation"] or "",
    )


def _trust(line: Mapping[str, Any]) -> float:
    return TRUST[line["seen"]] * (DOUBTFUL if line["doubtful"] else 1)


def _is_bounded(line: Mapping[str, Any], value: float | None) -> bool:
    return value is not None and bool(line["metric"]) and METRICS[line["metric"]].fraction


def _keep_comparable(rows: list[Row]) -> list[Row]:
    arms = defaultdict(set)
    for row in rows:
        arms[row.case].add(row.arm)
    return [row for row in rows if len(arms[row.case]) > 1]
