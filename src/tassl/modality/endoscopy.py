"""Endoscopy: a free camera in a lit circle or octagon, with text around it."""

import numpy as np

from tassl.modality.artefacts import foreign
from tassl.modality.base import Augmentation, Masking, ModalityProfile, Rule
from tassl.modality.preparing import clear_outside, find_field, scale_by_type

LIT = 0.08


def find_view(pixels: np.ndarray) -> np.ndarray:
    """What the scope shows (*space); black corners are outside."""
    return find_field(pixels.max(0), LIT)


def keep_view(pixels: np.ndarray) -> np.ndarray:
    """Divide by the range of the type and blacken corners with their text."""
    scaled = scale_by_type(pixels)
    return clear_outside(scaled, find_view(scaled))


PROFILE = ModalityProfile(
    name="endoscopy",
    prepare=keep_view,
    steps="divide by the range of the stored type, zero outside the convex hull of the lit view "
    "(weak; derived)",
    augmentations={
        "global": Augmentation(
            crop=0.3, rotate_degrees=15, quarter_turns=0.75, flip_lr=0.5, flip_ud=0.5,
            brightness=0.4, contrast=0.3, gamma=0.3, illuminant=0.05, blur=0.7, noise=0.05,
        ),
        "local": Augmentation(
            crop=0.3, rotate_degrees=15, quarter_turns=0.75, flip_lr=0.5, flip_ud=0.5,
            brightness=0.3, contrast=0.2, gamma=0.2, illuminant=0.05, blur=0.5,
        ),
    },
    banned=foreign("depth_gain", "stain", "speckle", "rician", "ghosting"),
    masking=Masking(0.75, 0.07, "He et al. 2022, arXiv:2111.06377, on photographs", "weak"),
    degenerate={"rotation": Rule("the camera turns freely", "derived")},
    positives={
        "next frame": Rule(
            "views of one clip at other times and places: 3 to 6 points over contrast of videos",
            "Wang et al. 2023, arXiv:2306.16741", "moderate",
        ),
    },
    advice=(
        Rule("try self-supervised ImageNet weights as well: they beat pretraining on 100,000 "
             "frames, save for depth", "Sanderson & Matuszewski 2024, arXiv:2401.06278",
             "moderate"),
        Rule("jigsaw helped lesion classification: order of content is not rotation",
             "PMC7978231", "weak"),
        Rule("split by video and patient; frames of a video repeat each other", "derived"),
    ),
    foreground=find_view,
)  # fmt: skip
