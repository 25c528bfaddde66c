"""Which pretraining to try first, and why: published evidence, rules and their limits."""

from __future__ import annotations

from typing import Any

from tassl.advisor.advice import Advice, Strategy, weigh
from tassl.advisor.query import Query

__all__ = ["Advice", "Query", "Strategy", "advise"]


def advise(modality: str, task: str, **choices: Any) -> Advice:
    """Rank pretraining strategies for a situation, and say whether to pretrain at all.

    Args:
        modality: Key in `tassl.modality.MODALITIES`.
        task: Such as "classification".
        **choices: Any other field of `Query`.

    Raises:
        OptionError: The situation is unknown, impossible or contradicts itself.
    """
    return weigh(Query(modality, task, **choices))
