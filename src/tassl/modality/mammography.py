"""Mammography: signs from a few pixels (calcifications) to the whole breast (asymmetry)."""

import numpy as np

from tassl.modality.artefacts import foreign
from tassl.modality.base import Augmentation, Masking, ModalityProfile, Rule
from tassl.modality.preparing import clear_outside, clip_percentiles, find_body

LIT = 0.05


def find_breast(pixels: np.ndarray) -> np.ndarray:
    """The breast (*space): the largest part that is not dark; markers and labels are others."""
    return find_body(pixels.mean(0), LIT)


def keep_breast(pixels: np.ndarray) -> np.ndarray:
    """Clip to percentiles of the breast, scale to [0, 1], and blacken what surrounds it."""
    breast = find_breast(clip_percentiles(pixels))
    return clear_outside(clip_percentiles(pixels, inside=breast), breast)


PROFILE = ModalityProfile(
    name="mammography",
    prepare=keep_breast,
    steps="clip to the 0.5 and 99.5 percentiles of the breast, scale to [0, 1], zero outside it "
    "(weak; common practice, unverified)",
    augmentations={
        "global": Augmentation(
            crop=0.5, rotate_degrees=15, brightness=0.2, contrast=0.2, gamma=0.2, window=0.05,
            noise=0.05,
        ),
        "local": Augmentation(
            crop=0.3, rotate_degrees=15, brightness=0.1, contrast=0.1, gamma=0.1, noise=0.05
        ),
    },
    banned={
        "flip_lr": Rule("the side tells which breast it is, and asymmetry is a sign",
                        "derived"),
        "flip_ud": Rule("views are upright",
                        "derived from anatomy"),
        "quarter_turns": Rule("views are upright", "derived from anatomy"),
        "blur": Rule("microcalcifications are a few pixels wide", "derived"),
        "elastic": Rule("architectural distortion is a sign", "derived"),
        "cutout": Rule("a block hides a cluster of calcifications whole", "derived"),
        **foreign("bias_field", "depth_gain", "stain", "illuminant", "speckle", "rician",
                  "ghosting"),
    },
    masking=Masking(0.65, 0.05, "derived; no sweep of the ratio is known", "weak"),
    positives={
        "same study": Rule(
            "both views of one breast; never the other breast, since asymmetry is a sign",
            "derived from Vu et al. 2021, arXiv:2102.10663", "weak",
        ),
        "next slice": Rule("neighbouring slices of tomosynthesis",
                           "MammoDINO 2025, arXiv:2510.11883", "moderate"),
    },
    advice=(
        Rule("sample crops from tissue, at image and patch scale",
             "MammoDINO 2025, arXiv:2510.11883", "moderate"),
        Rule("never pretrain at 224 pixels alone: calcifications vanish",
             "MIRAM 2025, arXiv:2503.07157; derived", "weak"),
        Rule("restoring several scales beat one: 3 points of AP, 1 of AUC",
             "MIRAM 2025, arXiv:2503.07157", "moderate"),
    ),
    foreground=find_breast,
)  # fmt: skip
