"""A study, or its protocol, from choices by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tassl.errors import OptionError
from tassl.evaluation.protocol import Protocol
from tassl.study.configuration import Study


def make_study(
    data: str | Path,
    *,
    budgets: Sequence[float] | None = None,
    draws: int | None = None,
    **choices: Any,
) -> Study:
    """A study from choices by name; `budgets` and `draws` change the protocol's own.

    Raises:
        OptionError: A choice is unknown.
    """
    protocol = make_protocol(budgets, draws)
    given = {name: value for name, value in choices.items() if value is not None}
    try:
        return Study(data=str(data), protocol=protocol, **given)
    except TypeError as error:
        raise OptionError(f"{error}. See tassl.study.Study for the choices.") from None


def make_protocol(budgets: Sequence[float] | None = None, draws: int | None = None) -> Protocol:
    """The protocol, with other label budgets or another number of draws where they are given."""
    protocol = Protocol()
    if budgets is not None:
        rising = tuple(b if 0 < b < 1 else int(b) for b in sorted(budgets))
        protocol = replace(protocol, budgets=rising)
    return protocol if draws is None else replace(protocol, draws=draws)
