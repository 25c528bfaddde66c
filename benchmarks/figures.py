"""A measured figure and the limit it is held against."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measurement.

    Args:
        name: What was measured.
        value: The figure.
        unit: Its unit.
        limit: The largest value that is good enough, or None where it is only shown.
    """

    name: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def met(self) -> bool:
        """Whether the figure keeps its limit."""
        return self.limit is None or self.value <= self.limit

    def __str__(self) -> str:
        target = (
            ""
            if self.limit is None
            else f"  (limit {self.limit:g}{'' if self.met else ', MISSED'})"
        )
        return f"{self.name:<58} {self.value:10.3f} {self.unit}{target}"
