"""What a profile says, as Markdown: for the command line and for the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from tassl.modality import MODALITIES
from tassl.modality.base import Augmentation, ModalityProfile, Rule
from tassl.registry import Card, look_up

OPERATIONS = tuple(asdict(Augmentation()))


def list_modalities() -> str:
    """One line per modality: key, name, dimensions, main source."""
    rows = [(name, c.title, _dims(c), c.source) for name, c in MODALITIES.items()]
    return "\n".join(_table(("modality", "name", "images", "main source"), rows))


def describe_modality(name: str) -> str:
    """All that the profile asks for, permits and forbids, each with strength and source.

    Raises:
        UnknownName: No modality has this name; the message suggests the nearest.
    """
    card = look_up(MODALITIES, name, "modality")
    return "\n".join(_describe(card, card.load()))


def _describe(card: Card, profile: ModalityProfile) -> Iterator[str]:
    yield f"# {card.title} ({profile.name}, {_dims(card)})"
    yield from ("", f"Preprocessing: {profile.steps}.")
    yield from ("", "## Augmentation by where the sign sits", "")
    yield from _table(("operation", *profile.augmentations), _ranges(profile))
    yield from ("", f"Off unless asked for: {', '.join(_idle(profile)) or 'none'}.")
    yield from (
        "",
        "Ranges follow the rules below where these give a figure; else they are derived.",
    )
    yield from _section(
        "Banned, unless permitted with --allow", "operation", profile.banned.items()
    )
    hidden = profile.masking
    yield from ("", "## Masking", "")
    yield f"Hide {100 * hidden.ratio:g} % in blocks of {100 * hidden.block:g} % of the longest side"
    yield f"({hidden.strength}; {hidden.source})."
    yield from _section("Pretexts without signal", "pretext", profile.degenerate.items())
    yield from _section("Pairs that may stand for two views", "pair", profile.positives.items())
    advice = ((str(number), rule) for number, rule in enumerate(profile.advice, 1))
    yield from _section("Also known", "", advice)


def _ranges(profile: ModalityProfile) -> Iterator[tuple[str, ...]]:
    for operation in OPERATIONS:
        values = [getattr(ranges, operation) for ranges in profile.augmentations.values()]
        if operation in _active(profile):
            off = getattr(Augmentation(), operation)
            yield (operation, *["off" if value == off else f"{value:g}" for value in values])


def _active(profile: ModalityProfile) -> set[str]:
    return {name for ranges in profile.augmentations.values() for name in ranges.active()}


def _idle(profile: ModalityProfile) -> list[str]:
    used = _active(profile) | set(profile.banned)
    return [operation for operation in OPERATIONS if operation not in used]


def _section(title: str, key: str, rules: Iterable[tuple[str, Rule]]) -> Iterator[str]:
    rows = [(name, rule.text, rule.strength, rule.source) for name, rule in rules]
    if rows:
        yield from ("", f"## {title}", "")
        yield from _table((key, "rule", "support", "source"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _dims(card: Card) -> str:
    return " and ".join(f"{dims}D" for dims in card.dims)
