"""What a study does, frozen and named, so that two studies that name it did the same thing."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from tassl.errors import OptionError


@dataclass(frozen=True)
class Protocol:
    """The rules of a comparison.

    Args:
        name: Name and version.
        budgets: Labelled subjects (per class for classification), rising; below 1 a share of them,
            at least one of each class; "all" comes on top.
        draws: Label subsets per budget; each is nested in the same draw of the next budget.
        val_share: Subjects held out for tuning where the data set gives no validation split.
        test_share: Subjects held out for testing where the data set gives no test split.
        tolerance: Distance up to which a boundary counts as right, in mm; in pixels of the grid
            where the files give no voxel size.
        rates: Learning rates that every trained arm is tuned over, on validation subjects.
        resamples: Bootstrap resamples.
        confidence: Level of the intervals.
        alpha: Family-wise error of the verdicts, after Holm.
    """

    name: str = "tassl-1"
    budgets: tuple[float, ...] = (5, 10, 25, 100)
    draws: int = 4
    val_share: float = 0.1
    test_share: float = 0.25
    tolerance: float = 2.0
    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3)
    resamples: int = 2000
    confidence: float = 0.95
    alpha: float = 0.05

    def __post_init__(self) -> None:
        """Refuse budgets and draws below one."""
        fewest = min((budget for budget in self.budgets if not 0 < budget < 1), default=1)
        for name, value in (("budgets", fewest), ("draws", self.draws)):
            if value < 1:
                raise OptionError(f"--{name} is {value}; wanted 1 or more.")

    @property
    def changes(self) -> list[str]:
        """What is another than the name stands for."""
        usual = asdict(Protocol())
        return [name for name, value in asdict(self).items() if value != usual[name]]

    @property
    def title(self) -> str:
        """The name, and what was changed of what it stands for."""
        return f"{self.name}, but for {', '.join(self.changes)}" if self.changes else self.name
