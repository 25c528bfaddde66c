"""Shows how far a transfer or a walk over files is, and how long it still takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from tassl.data.fetching import OnBytes

Track = Callable[[list[Path]], Iterable[Path]]


def show_files(files: list[Path], console: Console | None = None) -> Iterable[Path]:
    """Show how many of these files were looked at, while that goes on.

    Args:
        files: The files, in the order in which they come back.
        console: Where it is shown; the terminal's error stream unless given.
    """
    from rich.console import Console
    from rich.progress import track

    console = console or Console(stderr=True)
    title = "Looking at files"
    return track(files, title, console=console, transient=True, disable=not console.is_terminal)


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
