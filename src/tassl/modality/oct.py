"""Optical coherence tomography: layers in a fixed order, thickness is the sign."""

from tassl.modality.artefacts import foreign
from tassl.modality.base import Augmentation, Masking, ModalityProfile, Rule
from tassl.modality.preparing import clip_percentiles

HOLLAND = "Holland et al. 2024, arXiv:2208.02529"

PROFILE = ModalityProfile(
    name="oct",
    prepare=clip_percentiles,
    steps="clip to the 0.5 and 99.5 percentiles of the image, scale to [0, 1] (weak; derived)",
    augmentations={
        "global": Augmentation(
            crop=0.5, rotate_degrees=5, brightness=0.3, contrast=0.3, gamma=0.2, depth_gain=0.2,
            blur=0.5, speckle=0.15, noise=0.05,
        ),
        "local": Augmentation(
            crop=0.5, rotate_degrees=5, brightness=0.2, contrast=0.2, gamma=0.2, depth_gain=0.1,
            speckle=0.1, noise=0.05,
        ),
    },
    banned={
        "flip_ud": Rule("layers have an order", "derived from anatomy"),
        "quarter_turns": Rule("layers have an order", "derived from anatomy"),
        "flip_lr": Rule("nose and temple tell the eye; permit it where sides are relabelled",
                        "derived from anatomy"),
        "elastic": Rule("the thickness of layers is the biomarker", "derived"),
        **foreign("bias_field", "stain", "illuminant", "rician", "poisson", "ghosting"),
    },
    masking=Masking(
        0.85, 0.07, "author of Zhou et al. 2023, 10.1038/s41586-023-06555-x, in RSIP Vision, "
        "October 2023", "moderate",
    ),
    positives={
        "same study": Rule(
            "scans of one eye within a span of time beat synthetic views; leave scans of other "
            "patients that may look alike out of the negatives", HOLLAND, "moderate",
        ),
        "next slice": Rule("neighbouring B-scans show the same layers", "derived"),
    },
    advice=(
        Rule("several transforms of colour photographs do not carry over", HOLLAND, "moderate"),
        Rule("masked restoration serves both adapted and frozen",
             "Pissas et al. 2024, arXiv:2405.14788", "moderate"),
        Rule("the order of layers and slices is a valid pretext", "derived"),
    ),
)  # fmt: skip
