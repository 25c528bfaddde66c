"""Tells a person what a study is doing, with progress bars and the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tassl.data.audit import Finding
from tassl.data.fetching import OnBytes
from tassl.data.progress import show_files, show_transfer


class Narrator:
    """Writes to the terminal, or nowhere.

    Args:
        quiet: Say nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = Console(quiet=quiet, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Say one line."""
        self.console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Say one line that should not be missed."""
        self.console.print(f"! {text}", style="yellow", markup=False)

    def tell(self, finding: Finding) -> None:
        """Say what the audit found."""
        look = {"error": "bold red", "warning": "yellow"}.get(finding.severity, "")
        text = f"{finding.severity}, {finding.check}: {finding.line()}"
        self.console.print(f"! {text}" if look else text, style=look, markup=False)

    @contextmanager
    def stage(self, title: str, total: int) -> Iterator[Callable[..., None]]:
        """Show one stage; call what it yields after each of `total` parts, with a word on it."""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[word]}"),
        )
        with Progress(*columns, console=self.console) as progress:
            bar = progress.add_task(title, total=total, word="")

            def tick(word: str = "") -> None:
                most = max(total, progress.tasks[bar].completed + 1)  # parts may be done again
                progress.update(bar, advance=1, total=most, word=word)

            yield tick

    def files(self, files: list[Path]) -> Iterable[Path]:
        """Show how many of these files were looked at."""
        return show_files(files, self.console)

    def transfer(self, title: str) -> AbstractContextManager[OnBytes]:
        """Show how far a transfer is; call what it yields with the bytes here, and of how many."""
        return show_transfer(title, self.console)
