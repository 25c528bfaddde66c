"""tassl: task-aligned self-supervised learning for medical images.

The steps of a study as functions; each is also a verb of the command line.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as _version
from typing import Any

_PLACES = {
    "run": "tassl.steps",
    "advise": "tassl.advisor",
    "index": "tassl.data.layouts",
    "audit": "tassl.steps",
    "plan": "tassl.steps",
    "scout": "tassl.steps",
    "pretrain": "tassl.steps",
    "adapt": "tassl.steps",
    "evaluate": "tassl.steps",
    "report": "tassl.steps",
    "load_checkpoint": "tassl.checkpoint",
    "TasslError": "tassl.errors",
}

__all__ = list(_PLACES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import tassl` stays fast."""
    if name == "__version__":
        return _version("tassl")
    if name not in _PLACES:
        raise AttributeError(f"module 'tassl' has no attribute {name!r}")
    value = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
