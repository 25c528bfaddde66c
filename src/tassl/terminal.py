"""Tables in the terminal."""

from __future__ import annotations

from collections.abc import Iterable


def print_table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print rows of words below the names of their columns, without lines around them."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*names, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)
