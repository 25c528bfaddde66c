"""What would change the advice: neighbouring situations that are answered otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tassl.advisor.answering import answer_query
from tassl.advisor.outlook import Outlook, look_ahead
from tassl.advisor.posterior import Posterior
from tassl.advisor.query import Query
from tassl.methods import METHODS
from tassl.modality import MODALITIES


def list_changes(
    query: Query, answer: str, outlook: Outlook, posterior: Posterior, studies: int
) -> Iterator[str]:
    """Neighbouring situations with another answer or another first paradigm, in words.

    Args:
        query: The situation.
        answer: Its own.
        outlook: What is expected in it.
        posterior: What the evidence says.
        studies: Studies with figures on its modality and task.
    """
    here = METHODS[outlook.methods[0]].paradigm if outlook.methods else ""
    for words, changed in _list_variants(query):
        there = look_ahead(changed, posterior)
        other, _ = answer_query(changed, there, studies)
        first = METHODS[there.methods[0]].paradigm if there.methods else ""
        if (other, first) != (answer, here):
            yield f"{words}: {other}" + (f", {first} first" if first else "")


def _list_variants(query: Query) -> Iterator[tuple[str, Query]]:
    if query.labels:
        more = query.labels * 10
        yield (
            f"with {more} labels",
            replace(query, labels=more, images=max(query.images, more) if query.images else None),
        )
        if query.labels >= 10:
            yield f"with {query.labels // 10} labels", replace(query, labels=query.labels // 10)
    if query.images:
        yield f"with {query.images * 10} images", replace(query, images=query.images * 10)
    if len(MODALITIES[query.modality].dims) > 1 and not query.natural_weights:
        space = 5 - query.space
        yield f"in {space}D", replace(query, dims=space)
    where = "global" if query.where == "local" else "local"
    yield f"if the sign is {where}", replace(query, locality=where)
    if query.space == 2:
        words = "without" if query.natural_weights else "with"
        changed = replace(query, natural_weights=not query.natural_weights)
        yield f"{words} natural-image weights at hand", changed
