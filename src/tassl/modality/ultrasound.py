"""Ultrasound: the beam has a direction, speckle is signal and noise at once."""

import numpy as np

from tassl.modality.artefacts import foreign
from tassl.modality.base import Augmentation, Masking, ModalityProfile, Rule
from tassl.modality.preparing import clear_outside, clip_percentiles, find_field

LIT = 0.01
VANBERLO = "VanBerlo et al. 2025, arXiv:2504.07904"


def find_sector(pixels: np.ndarray) -> np.ndarray:
    """The beam (*space) of a prepared image."""
    return find_field(pixels.max(0), LIT)


def keep_sector(pixels: np.ndarray) -> np.ndarray:
    """Clip to percentiles, scale to [0, 1], and blacken text and bars beside the beam."""
    scaled = clip_percentiles(pixels)
    return clear_outside(scaled, find_sector(scaled))


PROFILE = ModalityProfile(
    name="ultrasound",
    prepare=keep_sector,
    steps="clip to the 0.5 and 99.5 percentiles of the image, scale to [0, 1], zero outside the "
    f"convex hull of the beam (moderate; {VANBERLO})",
    augmentations={
        "global": Augmentation(
            crop=0.6, rotate_degrees=10, flip_lr=0.5, brightness=0.4, contrast=0.3, gamma=0.3,
            depth_gain=0.3, blur=0.7, speckle=0.15, noise=0.1,
        ),
        "local": Augmentation(
            crop=0.3, rotate_degrees=10, flip_lr=0.5, brightness=0.3, contrast=0.2, gamma=0.2,
            depth_gain=0.2, speckle=0.1, noise=0.05,
        ),
    },
    banned={
        "flip_ud": Rule("depth and attenuation run along this axis", "physics of the beam"),
        "quarter_turns": Rule("shadows and enhancement point away from the probe",
                              "physics of the beam"),
        "elastic": Rule("sizes are measured in mm", "derived"),
        **foreign("bias_field", "stain", "illuminant", "rician", "poisson", "ghosting"),
    },
    masking=Masking(0.6, 0.125, "Kang et al. 2024, arXiv:2306.08249; figures derived", "weak"),
    positives={
        "next frame": Rule(
            "near frames of a clip show one state; how near is best depends on the task, and too "
            "far hurts", "VanBerlo et al. 2024, arXiv:2403.07715", "moderate",
        ),
    },
    advice=(
        Rule("whole-image diagnosis wants views that keep the meaning, small signs want crops",
             VANBERLO, "moderate"),
        Rule("masked restoration must also remove blur: plain restoration spends itself on speckle",
             "Kang et al. 2024, arXiv:2306.08249", "moderate"),
        Rule("for diffuse organ disease prediction of features beats that of pixels",
             "Ivezić et al. 2026, arXiv:2603.22649", "moderate"),
        Rule("where the side or the orientation marker is a label, give --augment flip_lr=0",
             "derived"),
        Rule("text and calipers in the beam or touching it stay: preparing is no de-identification",
             "seen on real images"),
    ),
    foreground=find_sector,
)  # fmt: skip
