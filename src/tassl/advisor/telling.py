"""Advice in words, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tassl.advisor.advice import Advice, Strategy
from tassl.advisor.answering import name_arm
from tassl.heads import HEADS
from tassl.methods import METHODS
from tassl.modality import MODALITIES

ALTERNATIVES = 3
# Measured with `python -m benchmarks advisor`; to be read anew after each fitting.
TRUST = (
    "In studies that it had not seen the model behind this named the best paradigm of independent "
    "comparisons in 56 % of cases and lost 1.3 points against it; chance 43 % and 2.3 points, "
    "always taking a hybrid 60 % and 1.5. Its 80% intervals held 85 % of the differences",
    "Seven such studies are too few to tell these rules apart; measure with `tassl run`",
    "Published comparisons do not show that a paradigm suits one task or modality more than "
    "another: between situations the rules above make the difference, and how far pretraining "
    "gains at all",
)


def tell(advice: Advice) -> str:
    """All that the advice says, with what speaks for and against it."""
    return "\n".join(_tell(advice))


def _tell(advice: Advice) -> Iterator[str]:
    query = advice.query
    yield f"# {advice.answer[0].upper()}{advice.answer[1:]}"
    yield ""
    yield f"{MODALITIES[query.modality].title}, {query.space}D, {query.task}, {query.where} sign."
    if query.task not in HEADS:
        yield "tassl cannot run this task itself."
    yield ""
    yield from (f"* {reason[0].upper()}{reason[1:]}." for reason in advice.because)
    if query.natural_weights:
        yield "* To measure these weights beside the rest: `tassl run ... --natural resnet18`."
    yield from ("", "## Ranking", "")
    yield f"Gains in points against {name_arm(advice.baseline)}, before the study has measured any."
    yield from ("", "| method | paradigm | gain | 80% | 95% | any gain | best of these | time |")
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    yield from (_row(strategy) for strategy in advice.ranking)
    for strategy in advice.ranking:
        yield from _detail(strategy, advice)
    rules = (
        f"{key} ({strength}): {text} ({source})" for key, text, strength, source in advice.rules
    )
    yield from _section("Rules that hold here", rules)
    vetoes = (f"{METHODS[name].title}: {reason}" for name, reason in advice.vetoes.items())
    yield from _section("Ruled out", vetoes)
    yield from _section("Banned augmentation", [", ".join(advice.banned)] if advice.banned else [])
    yield from _section("What would change the advice", advice.changes)
    yield from _section("How far to trust this", TRUST)


def _row(strategy: Strategy) -> str:
    gain, minutes = strategy.gain, strategy.options.minutes
    ends = (f"{low:+.1f} to {high:+.1f}" for low, high in (gain.likely, gain.wide))
    cells = (
        METHODS[strategy.method].title,
        strategy.paradigm,
        f"{gain.mean:+.1f}",
        *ends,
        f"{gain.chance:.0%}",
        f"{strategy.best:.0%}",
        "unknown" if minutes is None else f"about {minutes:g} min",
    )
    return f"| {' | '.join(cells)} |"


def _detail(strategy: Strategy, advice: Advice) -> Iterator[str]:
    options = strategy.options
    yield from ("", f"## {METHODS[strategy.method].title} (`--method {strategy.method}`)", "")
    passes = f", about {options.epochs} passes" if options.epochs else ""
    yield f"* Network {options.network}, {options.batch} images a step{passes}."
    yield f"* About {options.memory:g} GB of memory."
    yield f"* Augmentation, {options.locality}: {', '.join(options.augmentation)}."
    if options.positives:
        yield f"* Second views from: {', '.join(options.positives)}."
    if options.mask_ratio:
        block = f"blocks of {options.mask_block:.0%} of the longest side"
        yield f"* Hide {options.mask_ratio:.0%} in {block}."
    yield f"* Then {options.adaptation}."
    if strategy.rules:
        moved = ", ".join(f"{key} {points:+.1f}" for key, points in strategy.rules)
        yield f"* Rules moved the expectation by (points): {moved}."
    for move in strategy.moves:
        side = "For" if move.points > 0 else "Against"
        yield f"* {side}, {move.points:+.1f} points: {move.title} {move.source}".rstrip()
    if others := advice.others.get(strategy.paradigm, ())[:ALTERNATIVES]:
        yield f"* Next in this paradigm: {', '.join(METHODS[name].title for name in others)}."


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    if found := [f"* {line}." for line in lines]:
        yield from ("", f"## {title}", "", *found)
