"""How the report says things: numbers, names, cautions and what is missing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from tassl.evaluation.finding import (
    FEWEST_DRAWS,
    FEWEST_SUBJECTS,
    HELPS,
    HURTS,
    NO_EVIDENCE,
    OVERALL,
)
from tassl.evaluation.metrics import METRICS, show_score
from tassl.heads import HEADS
from tassl.methods import METHODS
from tassl.report.loading import Run

SYMBOLS = {HELPS: "\u25b2", NO_EVIDENCE: "\u25cf", HURTS: "\u25bc"}
MIXED = "helps and hurts"
SIZES = (("h", 3600), ("min", 60), ("s", 1))


def number(value: object) -> str:
    """A number with three decimals, fewer where it is large; "n/a" where there is none."""
    found = _finite(value)
    return "n/a" if found is None else show_score(found)


def signed(value: object) -> str:
    """A difference with its sign."""
    found = _finite(value)
    return "n/a" if found is None else show_score(found, "+")


def interval(low: object, high: object, show: Any = number) -> str:
    """Both ends of an interval."""
    return f"[{show(low)}, {show(high)}]"


def probability(value: object) -> str:
    """A p-value; very small ones by their bound."""
    found = _finite(value)
    return "< 0.001" if found is not None and found < 0.001 else number(value)


def duration(seconds: object) -> str:
    """A time in its two largest units."""
    found = _finite(seconds)
    if found is None:
        return "n/a"
    if found < 10:
        return f"{found:.1f} s"
    rest, parts = round(found), []
    for unit, size in SIZES:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def plain(value: object) -> str:
    """Any value of a JSON file on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(held)}" for key, held in value.items())
    if isinstance(value, (list, tuple)):
        return " \u00d7 ".join(map(plain, value)) if value else "none"
    if isinstance(value, float):
        return f"{value:g}"
    return "not stated" if value is None else str(value)


def markdown(text: object) -> str:
    """Text that stands in Markdown as it is: no markup, no tag, no new line."""
    line = " ".join(str(text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", line)


def sort_budgets(budgets: Iterable[str]) -> list[str]:
    """Distinct budgets from few labels to all."""

    def size(name: str) -> float:
        number = name.removesuffix("%")
        return float(number) if number.replace(".", "", 1).isdigit() else math.inf

    return sorted(set(budgets), key=size)


def metric_title(metric: str, run: Run) -> str:
    """The metric as the field writes it, with its unit if it has one."""
    unit = str(run.audit.get("unit") or "")
    return METRICS[metric].name(unit) if metric in METRICS else metric


def metric_wish(metric: str) -> str:
    """Which values of the metric are good."""
    return METRICS[metric].wish if metric in METRICS else "Higher is better"


def method_title(method: str) -> str:
    """The method as the field writes it."""
    return METHODS[method].title if method in METHODS else method


def budget_unit(run: Run) -> str:
    """What a label budget counts."""
    task = run.study.get("task")
    return HEADS[task].unit if task in HEADS else "subjects"


def budget_phrase(budget: str, unit: str) -> str:
    """A budget in full, as in "5 subjects per class"."""
    if budget == OVERALL:
        return "over all budgets"
    if budget.endswith("%"):
        return f"{budget} of the labels"
    return "all labels" if budget == "all" else f"{budget} {unit}"


def confidence(run: Run) -> str:
    """Level of the intervals, as in "95%"."""
    return f"{100 * float((run.study.get('protocol') or {}).get('confidence', 0.95)):g}%"


def class_title(name: str) -> str:
    """Name of an image class; a bare number is called a class."""
    return f"class {name}" if name.isdigit() else name


def list_findings(run: Run) -> list[dict[str, Any]]:
    """What decides each budget, then what decides over all of them."""
    whole = run.verdict.get("overall")
    return [*run.verdict.get("budgets", []), *([whole] if whole else [])]


def overall_verdict(run: Run) -> str:
    """One word for the whole study, "" where there is no verdict yet."""
    found = {finding.get("verdict") for finding in list_findings(run)}
    if {HELPS, HURTS} <= found:
        return MIXED
    return next((word for word in (HELPS, HURTS, NO_EVIDENCE) if word in found), "")


def headline(run: Run) -> str:
    """The verdict in a few words, with its symbol."""
    word = overall_verdict(run)
    limit = " (too few test subjects for any claim)" if is_small(run) and word else ""
    return f"{SYMBOLS.get(word, '')} {(word or 'no verdict yet').capitalize()}{limit}".strip()


def is_small(run: Run) -> bool:
    """Whether too few subjects were tested to support any claim."""
    subjects = run.verdict.get("test_subjects")
    return subjects is not None and subjects < FEWEST_SUBJECTS


def is_nameless(run: Run) -> bool:
    """Whether the data name no subjects, so that each image counts as its own."""
    return any("no subject ids" in str(note) for note in run.audit.get("notes", []))


def list_cautions(run: Run) -> list[str]:
    """What weakens the verdict, most serious first."""
    cautions = []
    for part in run.pretrainings:
        if part.health.get("healthy") is False:
            cautions.append(
                f"The pretraining of {method_title(part.method)} is not healthy: "
                f"{part.health.get('verdict')}. {part.health.get('action', '')}".strip()
            )
    if is_small(run):
        cautions.append(
            f"Only {run.verdict['test_subjects']} subjects were tested. Below {FEWEST_SUBJECTS} "
            "no claim can be supported: test on more subjects."
        )
    if is_nameless(run):
        cautions.append(
            "The data name no subjects, so every image counts as its own subject. If a patient "
            "has several images, they may stand in training and test alike, and every score here "
            "is too high. Give subjects with --subject REGEX."
        )
    found = run.audit.get("findings", [])
    cautions += [
        f"{item['what']}. {item['advice']}" for item in found if item["severity"] == "error"
    ]
    if warnings := [item["check"] for item in found if item["severity"] == "warning"]:
        cautions.append(
            f"The audit of the data warns of {', '.join(dict.fromkeys(warnings))}: see Data."
        )
    if run.results is not None and (run.results.draws == 1).all():
        cautions.append(
            "Every budget was drawn once, so the intervals leave out how much the choice of "
            f"labelled subjects matters, and nothing is claimed. Give --draws {FEWEST_DRAWS} or "
            "more."
        )
    return cautions + [f"{problem}." for problem in run.damaged]


def list_missing(run: Run) -> list[str]:
    """Parts of the run that are not there yet, by name."""
    parts = {
        "data audit": run.audit,
        "advice": run.advice,
        "pretrainings": run.pretrainings or run.study.get("checkpoints"),
        "results table": run.results is not None,
        "verdict": run.verdict,
        "images": run.store,
        "record of versions and times": run.environment,
    }
    return [name for name, there in parts.items() if not there]


def _finite(value: object) -> float | None:
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None
