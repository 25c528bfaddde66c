"""Dermoscopy and skin photographs: no orientation, colour and border are the signs."""

import numpy as np

from tassl.modality.artefacts import foreign
from tassl.modality.base import Augmentation, Masking, ModalityProfile, Rule
from tassl.modality.preparing import find_field, scale_by_type

LIT = 0.1


def find_skin(pixels: np.ndarray) -> np.ndarray:
    """What the dermoscope shows (*space); its dark rim is outside."""
    return find_field(pixels.max(0), LIT)


PROFILE = ModalityProfile(
    name="dermoscopy",
    prepare=scale_by_type,
    steps="divide by the range of the stored type; hair and rulers stay (moderate; Zini et al. "
    "2023, arXiv:2202.07993, on keeping colour)",
    augmentations={
        "global": Augmentation(
            crop=0.5, rotate_degrees=30, quarter_turns=0.75, flip_lr=0.5, flip_ud=0.5,
            brightness=0.2, contrast=0.2, gamma=0.1, illuminant=0.1, blur=0.5,
        ),
        "local": Augmentation(
            crop=0.5, rotate_degrees=30, quarter_turns=0.75, flip_lr=0.5, flip_ud=0.5,
            brightness=0.2, contrast=0.1, gamma=0.1, illuminant=0.05,
        ),
    },
    banned={
        "noise": Rule("fine texture, as of pigment networks, is a sign", "derived"),
        "poisson": Rule("fine texture, as of pigment networks, is a sign", "derived"),
        **foreign("depth_gain", "stain", "speckle", "rician", "ghosting"),
    },
    masking=Masking(0.75, 0.07, "He et al. 2022, arXiv:2111.06377, on photographs", "weak"),
    degenerate={
        "rotation": Rule("skin lesions have no up and down", "derived"),
        "relative position": Rule("a lesion has no order of parts", "derived"),
    },
    positives={
        "same subject": Rule(
            "several photographs of one case are better positives than views of one; of one case, "
            "not of two lesions of a patient", "Azizi et al. 2021, arXiv:2101.05224", "strong",
        ),
    },
    advice=(
        Rule("ImageNet weights trained on with skin images gained 6.7 points of accuracy",
             "Azizi et al. 2021, arXiv:2101.05224", "strong"),
        Rule("colour is diagnostic: change the lamp (illuminant), never hue or saturation freely",
             "Zini et al. 2023, arXiv:2202.07993", "moderate"),
        Rule("pretraining buys stability below 1,500 labels: look at the spread as well",
             "Chaves et al. 2022, arXiv:2106.09229", "moderate"),
    ),
    foreground=find_skin,
)  # fmt: skip
