"""The word of a comparison, also where its own interval seems to say more than it."""

from __future__ import annotations

from tassl.evaluation.finding import FEWEST_DRAWS, is_unclaimed
from tassl.report.loading import Run
from tassl.report.words import SYMBOLS

HOLLOW = "\u25cb"
FEW_DRAWS = f"fewer than {FEWEST_DRAWS} draws"


def tell_word(verdict: str, low: float, high: float, why: str) -> str:
    """The verdict of a comparison, and why no more is claimed if its interval leaves zero out.

    Args:
        verdict: "helps", "no evidence" or "hurts".
        low: Lower end of the interval of the difference.
        high: Upper end.
        why: The reason, in a few words.
    """
    return f"{verdict}: {why}" if is_unclaimed(verdict, low, high) else verdict


def show_word(verdict: str, low: float, high: float, why: str) -> str:
    """The same after the verdict's symbol, which is hollow if no more is claimed."""
    symbol = HOLLOW if is_unclaimed(verdict, low, high) else SYMBOLS.get(verdict, "")
    return f"{symbol} {tell_word(verdict, low, high, why)}".strip()


def tell_why(run: Run) -> str:
    """Why intervals of this run that leave zero out are not claimed."""
    if run.results is not None and run.results.draws.min() < FEWEST_DRAWS:
        return FEW_DRAWS
    return blame_number(int(run.verdict.get("comparisons", 1)), "comparisons")


def blame_number(several: int, what: str) -> str:
    """The reason where probabilities are corrected for their number."""
    return f"one of {several} {what}" if several > 1 else "see p"
