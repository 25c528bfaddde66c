"""Colour fundus photographs: a lit circle, laterality in its layout, colour in its lesions."""

import numpy as np

from tassl.modality.artefacts import foreign
from tassl.modality.base import Augmentation, Masking, ModalityProfile, Rule
from tassl.modality.preparing import clear_outside, find_field, scale_by_type

LIT = 0.08
SIDE = "the place of disc and macula tells the eye; permit it where sides are relabelled"


def find_circle(pixels: np.ndarray) -> np.ndarray:
    """The field of view (*space) of a prepared photograph."""
    return find_field(pixels.max(0), LIT)


def keep_circle(pixels: np.ndarray) -> np.ndarray:
    """Divide by the range of the type and blacken what lies outside the field of view."""
    scaled = scale_by_type(pixels)
    return clear_outside(scaled, find_circle(scaled))


PROFILE = ModalityProfile(
    name="fundus",
    prepare=keep_circle,
    steps="divide by the range of the stored type, zero outside the field of view; illumination is "
    "not flattened (weak; derived)",
    augmentations={
        "global": Augmentation(
            crop=0.5, rotate_degrees=15, brightness=0.3, contrast=0.2, gamma=0.2, illuminant=0.05,
            noise=0.05,
        ),
        "local": Augmentation(
            crop=0.5, rotate_degrees=15, brightness=0.2, contrast=0.2, gamma=0.2, illuminant=0.05
        ),
    },
    banned={
        "flip_lr": Rule(SIDE, "derived from anatomy"),
        "flip_ud": Rule(SIDE, "derived from anatomy"),
        "quarter_turns": Rule("disc and arcades give the orientation; permit them for grading "
                              "lesions", "derived from anatomy"),
        "elastic": Rule("the tortuosity of vessels is a sign", "derived"),
        "blur": Rule("microaneurysms are a few pixels wide", "derived"),
        "cutout": Rule("a block hides small lesions whole", "derived"),
        **foreign("depth_gain", "stain", "speckle", "rician", "ghosting"),
    },
    masking=Masking(0.75, 0.07, "Zhou et al. 2023, 10.1038/s41586-023-06555-x", "moderate"),
    positives={
        "same study": Rule(
            "photographs of one eye on one day; never of the other eye, nor of another visit",
            "derived from Holland et al. 2024, arXiv:2208.02529", "weak",
        ),
    },
    advice=(
        Rule("start from ImageNet weights; masked restoration was level with contrast or better",
             "Zhou et al. 2023, 10.1038/s41586-023-06555-x", "moderate"),
        Rule("the objective matters more than scale: 75,000 images at a 400th of the computing "
             "matched 150,000 to 900,000", "RETFound-Green 2025, 10.1038/s41467-025-62123-z",
             "moderate"),
        Rule("for small lesions contrast patches with lesions, not whole photographs",
             "Huang et al. 2021, arXiv:2107.08274", "moderate"),
    ),
    foreground=find_circle,
)  # fmt: skip
