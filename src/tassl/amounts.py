"""Amounts of memory and time as people write them: 8GB, 2h."""

from __future__ import annotations

import math
import re

from tassl.errors import OptionError

MEMORY_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
TIME_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_memory(text: str) -> float:
    """Bytes of an amount as in 8GB.

    >>> parse_memory("1.5 gb")
    1500000000.0
    """
    return _parse(text, {name.lower(): size for name, size in MEMORY_UNITS.items()}, "--memory")


def parse_time(text: str, name: str = "--time") -> float:
    """Seconds of an amount as in 2h.

    >>> parse_time("90m")
    5400.0

    Args:
        text: The amount.
        name: What it is, for a message.
    """
    return _parse(text, TIME_UNITS, name)


def _parse(text: str, units: dict[str, int], name: str) -> float:
    found = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*([a-z]+)", text.strip().lower(), re.ASCII)
    if not found or found[2] not in units or not float(found[1]):
        names, example = (
            ("s, m, h or d", "2h") if units is TIME_UNITS else ("KB, MB, GB or TB", "8GB")
        )
        raise OptionError(
            f"{name} is {text!r}; wanted a number above zero and one of {names}, as in {example}."
        )
    return float(found[1]) * units[found[2]]


def show_memory(size: float) -> str:
    """An amount of memory that `parse_memory` reads, to three digits.

    >>> show_memory(1_234_000_000)
    '1.23GB'
    """
    return _show(size, MEMORY_UNITS)


def show_time(seconds: float) -> str:
    """An amount of time that `parse_time` reads, to three digits.

    >>> show_time(5400)
    '1.5h'
    """
    return _show(seconds, TIME_UNITS)


def _show(amount: float, units: dict[str, int]) -> str:
    fitting = [unit for unit in units if amount >= units[unit]] or list(units)[:1]
    value = amount / units[fitting[-1]]
    return f"{round(value) if value >= 100 else f'{value:.3g}'}{fitting[-1]}"


def round_up(amount: float) -> float:
    """The next amount of two digits, at least 5% more: a limit that holds when measured again.

    >>> round_up(1.0), round_up(1234.0)
    (1.1, 1300.0)
    """
    step = 10.0 ** (math.floor(math.log10(amount)) - 1)
    return round(math.ceil(1.05 * amount / step) * step, 6)
