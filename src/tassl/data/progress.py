"""Shows how far a transfer is, how fast it goes and how long it still takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from tassl.data.fetching import OnBytes


@contextmanager
def show_transfer(title: str, console: Console | None = None) -> Iterator[OnBytes]:
    """Show one transfer; call what it yields with the bytes that are here, and of how many.

    Args:
        title: What is transferred.
        console: Where it is shown; the terminal's error stream unless given.
    """
    from rich import progress as shown
    from rich.console import Console

    columns = (
        shown.TextColumn("{task.description}"),
        shown.BarColumn(),
        shown.DownloadColumn(),
        shown.TransferSpeedColumn(),
        shown.TextColumn("left"),
        shown.TimeRemainingColumn(),
    )
    with shown.Progress(*columns, console=console or Console(stderr=True)) as progress:
        bar = progress.add_task(title, total=None, visible=False)
        yield lambda done, total: progress.update(bar, completed=done, total=total, visible=True)
