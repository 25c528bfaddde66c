"""The one jinja2 environment of the report: everything is escaped unless it is our own markup."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from tassl.report.words import SYMBOLS, markdown

WORD = re.compile(f"(?:. )?({'|'.join(SYMBOLS)})(?::|$)")
NUMERIC = re.compile(r"n/a|(< )?[+-]?\d.*|\[.*\]|")


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Args:
        columns: Headings.
        rows: Cells.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @cached_property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers, and so are set flush right."""
        columns = zip(*self.rows, strict=True) if self.rows else ([] for _ in self.columns)
        return tuple(
            any(cells) and all(NUMERIC.fullmatch(cell) for cell in cells)
            for cells in map(list, columns)
        )


@dataclass(frozen=True)
class Figure:
    """An interactive figure.

    Args:
        id: Unique on the page.
        spec: What plotly draws.
        caption: What it shows and how to read it.
    """

    id: str
    spec: dict[str, Any]
    caption: str = ""


def render(template: str, **context: Any) -> str:
    """Fill in a template."""
    return _environment().get_template(template).render(**context)


def word_class(cell: str) -> str:
    """CSS class of a verdict's word, "" for any other text."""
    found = WORD.match(cell)
    return found[1].replace(" ", "-") if found else ""


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tassl.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # The card is read as text as well: Markdown escapes, not HTML's.
    environment.filters |= {"md": lambda text: Markup(markdown(text)), "word_class": word_class}
    return environment
