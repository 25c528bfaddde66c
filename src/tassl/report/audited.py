"""What the audit found, with pictures of the images it is about."""

from __future__ import annotations

from dataclasses import dataclass

from tassl.report.loading import Run
from tassl.report.pictures import Picture
from tassl.report.shots import Shots

MOST_ITEMS, MOST_PICTURES = 20, 12


@dataclass(frozen=True)
class Told:
    """One finding, ready for the page.

    Args:
        severity: "error", "warning" or "info".
        check: Name of the check.
        what: What was found.
        advice: What to do about it.
        items: The first things it concerns.
        more: How many more there are.
        pictures: Captions and pictures of the first images it concerns.
    """

    severity: str
    check: str
    what: str
    advice: str
    items: tuple[str, ...]
    more: int
    pictures: tuple[tuple[str, Picture], ...]


def show_findings(run: Run) -> list[Told]:
    """The findings of a run's audit, the most severe first."""
    shots, told = Shots(run.store), []
    for item in run.audit.get("findings", []):
        items = [str(name) for name in item.get("items", [])]
        groups = [[str(name) for name in group] for group in item.get("pictures", [])]
        pictures = [
            (" | ".join(group), picture)
            for group in groups[:MOST_PICTURES]
            if (picture := shots.beside(group))
        ]
        told.append(
            Told(
                severity=str(item.get("severity", "")),
                check=str(item.get("check", "")),
                what=str(item.get("what", "")),
                advice=str(item.get("advice", "")),
                items=tuple(items[:MOST_ITEMS]),
                more=max(0, len(items) - MOST_ITEMS),
                pictures=tuple(pictures),
            )
        )
    return told
