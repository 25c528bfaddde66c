"""Registries are plain dicts from a name to a card; a card knows where its class lives.

Cards are readable without torch, so that help texts and advice answer at once; the class behind
a card is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeVar

from tassl.errors import UnknownName


@dataclass(frozen=True)
class Card:
    """What can be said of a registered thing without loading it.

    Args:
        title: Name as the field writes it.
        at: Place of the class, "module:Name".
        source: Paper, year, arXiv number or DOI.
        dims: Spatial dimensions it works in.
        known_failures: What it cannot do, with the reason.
    """

    title: str
    at: str
    source: str = ""
    dims: tuple[int, ...] = (2, 3)
    known_failures: Mapping[str, str] = field(default_factory=dict)

    def load(self) -> Any:
        """Import and return the class."""
        module, _, name = self.at.partition(":")
        return getattr(import_module(module), name)


AnyCard = TypeVar("AnyCard")


def look_up(registry: Mapping[str, AnyCard], name: object, kind: str) -> AnyCard:
    """Return the registry's entry.

    Raises:
        UnknownName: No entry has this name; the message suggests the nearest.
    """
    if not isinstance(name, str) or name not in registry:
        raise UnknownName(kind, name, registry)
    return registry[name]
