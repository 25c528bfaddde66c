"""A finding: what a check saw in the data, and what to do about it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

SEVERITIES = ("error", "warning", "info")
NAMED = 5


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Args:
        check: Name of the check.
        severity: "error" where results would be wrong, "warning" where they may mislead, "info"
            where a person should know.
        what: What was found, one sentence.
        advice: What to do about it, one sentence; "" where nothing need be done.
        items: What it concerns, all of them: image ids, subjects, or pairs in words.
        pictures: Ids of images worth looking at; those of one tuple side by side.
    """

    check: str
    severity: str
    what: str
    advice: str = ""
    items: tuple[str, ...] = ()
    pictures: tuple[tuple[str, ...], ...] = ()

    def line(self) -> str:
        """The finding on one line, with the first few items."""
        named = f" ({name_some(self.items)})" if self.items else ""
        return f"{self.what}{named}. {self.advice}".strip()


def name_some(items: Collection[str]) -> str:
    """The first few of many, and how many more there are."""
    first = ", ".join(list(items)[:NAMED])
    return f"{first} and {len(items) - NAMED} more" if len(items) > NAMED else first


def count(number: int, noun: str) -> str:
    """A number with its noun: "1 image", "2 images"."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def join_all(parts: Iterable[str]) -> str:
    """Words with commas, and "and" before the last."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
