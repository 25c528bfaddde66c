"""What a scout found, in lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from tassl.amounts import show_time
from tassl.methods import METHODS
from tassl.scouting.surveying import Gain, Survey


def tell_survey(found: Survey) -> Iterator[str]:
    """The answer, its reasons, every candidate, and the cost."""
    yield f"{found.answer}: {METHODS[found.method].title}"
    yield from (f"  {reason}" for reason in found.because)
    yield "gain over the best baseline in points: published evidence, pilot, both (80% intervals)"
    for tried in found.tried:
        title = METHODS[tried.method].title
        if tried.fate:
            yield f"  {title}: {tried.fate}"
            continue
        told = [tell_gain(gain) for gain in (tried.prior, tried.measured, tried.posterior)]
        yield f"  {title}: {', '.join(told)}; best at {tried.best:.0%}"
    took, given = found.seconds
    yield (
        f"took {show_time(took)} of {show_time(given)}; all candidates in full would take about "
        f"{show_time(found.everything)}"
    )


def tell_gain(gain: Gain | None) -> str:
    """A gain with its interval."""
    return "not measured" if gain is None else "{:+.1f} [{:+.1f}, {:+.1f}]".format(*gain)
