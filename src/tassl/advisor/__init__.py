"""Which pretext methods to try first, and why."""

from __future__ import annotations

from dataclasses import dataclass

from tassl.heads import HEADS
from tassl.methods import METHODS
from tassl.modality import MODALITIES
from tassl.registry import look_up

PRIORS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "classification": (
        (
            "contrastive",
            "global discriminative features serve image-level decisions",
            "Wald et al. 2025, arXiv:2412.17041; arXiv:2605.23995 (abstract)",
        ),
        (
            "generative",
            "keeps what contrast may drop and works on small pools; judge it fine-tuned",
            "Zhou et al. 2023, arXiv:2203.05573; Xiao et al. 2023, arXiv:2210.12843",
        ),
    ),
    "segmentation": (
        (
            "generative",
            "masked restoration keeps anatomy and pretrains the decoder",
            "Wald et al. 2025, arXiv:2412.17041 and arXiv:2410.23132",
        ),
        (
            "contrastive",
            "global contrast leaves the decoder fresh; kept so that the advice is tested",
            "Wald et al. 2025, arXiv:2412.17041",
        ),
    ),
    "regression": (
        (
            "generative",
            "restoration keeps size and grey values, which contrast learns to overlook",
            "derived: no controlled comparison is known",
        ),
        (
            "contrastive",
            "global features, of use in brain age; kept so that the advice is tested",
            "Barbano et al. 2025, arXiv:2507.01794",
        ),
    ),
}


@dataclass(frozen=True)
class Suggestion:
    """One method worth trying.

    Args:
        method: Key in `METHODS`.
        paradigm: Its paradigm.
        reason: Why it stands at this place.
        source: Who found so.
    """

    method: str
    paradigm: str
    reason: str
    source: str


def suggest(task: str, modality: str) -> list[Suggestion]:
    """Rank methods for a task by published priors: one per paradigm, the best paradigm first.

    The priors say where to look first, not what will win: the study measures that.

    Raises:
        UnknownName: No such task or modality.
    """
    look_up(HEADS, task, "task")
    look_up(MODALITIES, modality, "modality")
    ranking = []
    for paradigm, reason, source in PRIORS[task]:
        names = [name for name, card in METHODS.items() if card.paradigm == paradigm]
        ranking += [Suggestion(name, paradigm, reason, source) for name in names[:1]]
    return ranking
