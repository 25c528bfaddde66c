"""Which effects a pretraining carries in a context: the design of the advisor's model.

An arm (a way to train) has one effect for its paradigm and one for its paradigm within each trait
of the context: task, modality, dimensions, label regime, adaptation. All are drawn together by
partial pooling, so that a thin cell says what its parents say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass

from tassl.methods import PARADIGMS

SCRATCH, NATURAL = "scratch", "natural"
ARMS = (*PARADIGMS, SCRATCH, NATURAL, "supervised", "vision-language")
REGIMES = ("few", "some", "many")
FREEDOM = 4  # degrees of freedom of the scatter between studies


@dataclass(frozen=True)
class Context:
    """Where a comparison was made, or is wanted; "" where it is not known.

    Args:
        task: As in "classification".
        modality: Key in `tassl.modality.MODALITIES`.
        dims: "2d", "3d" or "video".
        labels: One of `REGIMES`.
        adaptation: "frozen" or "finetune".
    """

    task: str = ""
    modality: str = ""
    dims: str = ""
    labels: str = ""
    adaptation: str = ""


def list_effects(arm: str, context: Context, method: str = "") -> Iterator[tuple[str, str]]:
    """Group and name of each effect that an arm carries in a context.

    All paradigms share the effects of pretraining on the images at hand ("pretrained"), so that
    its gain over the baselines is pooled over them; a paradigm's own effects are what sets it
    apart from the others.
    """
    traits = [value for value in astuple(context) if value]
    kind = name_kind(arm)
    yield "kind", kind
    for value in traits:
        yield "kind in context", f"{kind} | {value}"
    if arm in PARADIGMS:
        yield "paradigm", arm
        for value in traits:
            yield "paradigm in context", f"{arm} | {value}"
    if method:
        yield "method", method


def name_kind(arm: str) -> str:
    """What an arm is beside the baselines: "pretrained" for every paradigm."""
    return "pretrained" if arm in PARADIGMS else arm


def name_regime(share: float | None, labels: float | None = None) -> str:
    """Label regime: "few" up to a hundredth of the images or 50 labels, "some" up to half."""
    if (labels is not None and labels <= 50) or (share is not None and share <= 0.01):
        return "few"
    return "some" if share is not None and share <= 0.5 else "many"
