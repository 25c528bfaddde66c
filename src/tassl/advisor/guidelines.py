"""Rules that the tables cannot tell: they shift the model's expectation, visibly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tassl.advisor.effects import NATURAL
from tassl.advisor.query import DENSE, Query
from tassl.methods import METHODS, PARADIGMS
from tassl.modality.base import Rule

# How far a rule moves an expectation, on the logit scale; it is taken to be as uncertain as it is
# large. The strongest counts as much as a paradigm's typical lead in the evidence.
WEIGHT = {"strong": 0.10, "moderate": 0.06, "weak": 0.03}
SMALL_POOL, SMALL_RATIO = 1500, 3
FEW_LABELS, MANY_LABELS = 100, 10_000


@dataclass(frozen=True)
class Guideline:
    """A rule with its condition and what it favours.

    Args:
        key: Short name.
        rule: What it says, who says so, how well it is supported.
        holds: Whether the query meets its condition.
        favours: Direction by paradigm or method: 1 for, -1 against, 2 where it is certain.
    """

    key: str
    rule: Rule
    holds: Callable[[Query], bool]
    favours: Mapping[str, int]

    def shift(self, arm: str, method: str) -> float:
        """What it adds to an arm's expected score, on the logit scale."""
        return WEIGHT[self.rule.strength] * (self.favours.get(method) or self.favours.get(arm, 0))


def pool_is_small(query: Query) -> bool:
    """Whether there are too few unlabelled images beside the labels to expect a gain."""
    ratio = query.unlabelled_ratio
    few = query.images is not None and query.images < SMALL_POOL
    return few and ratio is not None and ratio < SMALL_RATIO


def list_guidelines(query: Query) -> list[Guideline]:
    """Those whose condition the query meets."""
    return [guideline for guideline in GUIDELINES if guideline.holds(query)]


def _whole(query: Query, *modalities: str) -> bool:
    return query.modality in modalities and query.where == "global" and query.task not in DENSE


def _pairs(query: Query) -> bool:
    return query.multi_image and bool(query.profile.positives)


def _few(query: Query) -> bool:
    return query.labels is not None and query.labels <= FEW_LABELS


WIDE = {
    name: 1 for name, card in METHODS.items() if card.strong_views and card.paradigm != "hybrid"
}
FEATURES = {
    name: 1 for name, card in METHODS.items() if card.paradigm == "predictive" and not card.pretext
}
GUIDELINES = (
    Guideline(
        "G-2",
        Rule(
            "where the sign is spread over an ultrasound image, predicting features beats "
            "contrast and pixels: speckle is noise that cannot be predicted",
            "Ivezić et al. 2026, arXiv:2603.22649", "moderate",
        ),
        lambda q: _whole(q, "ultrasound"),
        FEATURES | {"generative": -1},
    ),
    Guideline(
        "G-4",
        Rule(
            "contrast of whole images is misled where lesions fill few pixels",
            "Holland et al. 2024, arXiv:2208.02529; Zeng et al. 2021, arXiv:2106.09157; "
            "Cheng et al. 2023, 10.1007/978-3-031-43990-2_63", "strong",
        ),
        lambda q: q.where == "local",
        {"simclr": -1, "moco": -1},
    ),
    Guideline(
        "G-5",
        Rule(
            "other images that show the same thing are better second views than augmentation",
            "Vu et al. 2021, arXiv:2102.10663; Azizi et al. 2021, arXiv:2101.05224; "
            "VanBerlo et al. 2024, arXiv:2403.07715; Holland et al. 2024, arXiv:2208.02529",
            "strong",
        ),
        _pairs,
        WIDE,
    ),
    Guideline(
        "G-10",
        Rule(
            f"with fewer than {SMALL_POOL} unlabelled images joint embedding seldom pays",
            "Espis et al. 2025, 10.1038/s41598-025-99000-0; VanBerlo et al. 2024, "
            "10.1186/s12880-024-01253-0", "strong",
        ),
        lambda q: q.images is not None and q.images < SMALL_POOL,
        {"contrastive": -1, "predictive": -1},
    ),
    Guideline(
        "LB-1",
        Rule(
            f"the gain shrinks as labels grow: from {MANY_LABELS:,} on little is left",
            "Sowrirajan et al. 2021, arXiv:2010.05352; Azizi et al. 2021, arXiv:2101.05224",
            "strong",
        ),
        lambda q: q.labels is not None and q.labels >= MANY_LABELS,
        dict.fromkeys(PARADIGMS, -2),
    ),
    Guideline(
        "G-11",
        Rule(
            "masked restoration on the target's own few images has helped from 30 volumes on",
            "Zhou et al. 2023, arXiv:2203.05573", "moderate",
        ),
        lambda q: q.images is not None and q.images < SMALL_POOL,
        {"mae": 1},
    ),
    Guideline(
        "G-15",
        Rule(
            "a masked autoencoder needs fine-tuning; with few labels a short contrastive stage "
            "on top makes its features usable",
            "Lehner et al. 2024, arXiv:2304.10520; Alkin et al. 2025, arXiv:2402.10093", "weak",
        ),
        lambda q: q.task not in DENSE and _few(q),
        {"generative": -1, "mae-simclr": 1},
    ),
    Guideline(
        "G-20",
        Rule(
            "in the FOMO25 challenge masked restoration favoured segmentation",
            "Munk et al. 2026, arXiv:2604.11679", "strong",
        ),
        lambda q: q.task in DENSE and q.space == 3,
        {"mae": 1},
    ),
    Guideline(
        "G-20",
        Rule(
            "in the FOMO25 challenge restoration with contrast favoured classification",
            "Munk et al. 2026, arXiv:2604.11679", "strong",
        ),
        lambda q: q.task not in DENSE and q.space == 3,
        {"joint": 1, "mae-simclr": 1},
    ),
    Guideline(
        "G-21",
        Rule(
            "natural-image features fail on slides, cells and PET",
            "Liu et al. 2025, arXiv:2509.06467", "strong",
        ),
        lambda q: q.modality in ("histopathology", "microscopy", "pet"),
        {NATURAL: -1},
    ),
    Guideline(
        "AD-7",
        Rule("with few labelled masks a pretrained decoder helps too", "derived"),
        lambda q: q.task == "segmentation" and _few(q),
        {"generative": 1, "dense": 1},
    ),
    Guideline(
        "HP-7",
        Rule(
            "joint embedding of the DINO family beats restoration of pixels on tiles",
            "Filiot et al. 2023, 10.1101/2023.07.21.23292757; Lai et al. 2023, arXiv:2310.13259",
            "strong",
        ),
        lambda q: q.modality == "histopathology" and q.task not in DENSE,
        {"dino": 1, "ibot": 1, "generative": -1},
    ),
    Guideline(
        "US-5",
        Rule(
            "masked restoration of ultrasound must remove noise and blur too",
            "Kang et al. 2024, arXiv:2306.08249", "moderate",
        ),
        lambda q: q.modality == "ultrasound",
        {"denoise": 1},
    ),
    Guideline(
        "OC-2",
        Rule(
            "contrast over visits of one eye beat a retinal foundation model on five tasks of six",
            "Holland et al. 2024, arXiv:2208.02529", "moderate",
        ),
        lambda q: q.modality == "oct" and _pairs(q),
        {"contrastive": 1},
    ),
    Guideline(
        "EN-1",
        Rule(
            "self-supervised ImageNet weights beat pretraining on 100,000 endoscopy frames",
            "Sanderson & Matuszewski 2024, arXiv:2401.06278", "moderate",
        ),
        lambda q: q.modality == "endoscopy",
        {NATURAL: 1},
    ),
    Guideline(
        "MI-1",
        Rule(
            "masked autoencoders with small patches lead on cells and grow with data",
            "Kraus et al. 2024, arXiv:2404.10242", "strong",
        ),
        lambda q: q.modality == "microscopy",
        {"mae": 1},
    ),
    Guideline(
        "PT-1",
        Rule(
            "masked autoencoders matched training on all labels with a tenth of them in PET/CT",
            "arXiv:2605.21835 (2026)", "moderate",
        ),
        lambda q: q.modality == "pet",
        {"mae": 1},
    ),
    Guideline(
        "PT-3",
        Rule(
            "restoring implanted tumours beat random weights and usual pretraining on 55 cases",
            "10.1177/15353508261458538", "weak",
        ),
        lambda q: q.modality == "pet" and q.where == "local",
        {"lesions": 1},
    ),
    Guideline(
        "CXR-1",
        Rule(
            "masked autoencoders that hide 90 % matched the best convolutional network on "
            "chest radiographs, in-domain and fine-tuned",
            "Xiao et al. 2023, arXiv:2210.12843", "strong",
        ),
        lambda q: q.modality == "xray" and (q.images or 0) >= 10_000,
        {"mae": 1},
    ),
    Guideline(
        "FU-1",
        Rule(
            "masked autoencoders were at least level with four joint embeddings on fundus images",
            "Zhou et al. 2023, 10.1038/s41586-023-06555-x", "moderate",
        ),
        lambda q: q.modality == "fundus",
        {"mae": 1},
    ),
)  # fmt: skip
