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
        least: The smallest value that is good enough, or None.
        interval: Where the figure lies with 95% confidence, or None.
    """

    name: str
    value: float
    unit: str = ""
    limit: float | None = None
    least: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def met(self) -> bool:
        """Whether the figure keeps its limit."""
        return (self.limit is None or self.value <= self.limit) and (
            self.least is None or self.value >= self.least
        )

    def __str__(self) -> str:
        shown = f"{self.value:10.1e}" if 0 < abs(self.value) < 1e-3 else f"{self.value:10.3f}"
        if self.interval is not None:
            shown += " [{:.2f}, {:.2f}]".format(*self.interval)
        bounds = {"limit": self.limit, "at least": self.least}
        targets = [f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None]
        targets += [] if self.met else ["MISSED"]
        return f"{self.name:<58} {shown} {self.unit}" + (
            f"  ({', '.join(targets)})" if targets else ""
        )
