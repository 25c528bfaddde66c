"""Positron emission tomography: uptake is a quantity, lesions are small and hot."""

import numpy as np

from tassl.modality.artefacts import foreign
from tassl.modality.base import Augmentation, Masking, ModalityProfile, Rule
from tassl.modality.preparing import (
    clip_percentiles,
    fill_missing,
    find_body,
    is_whole,
    scale_range,
)

HIGH_SUV = 20.0
MOST_SUV = 1000.0  # above are counts or Bq/ml
BODY = 0.005  # 0.1 SUV


def scale_uptake(pixels: np.ndarray) -> np.ndarray:
    """Clip SUV to [0, 20] and scale to [0, 1], the same for every image; else by percentiles.

    Fractions below 1,000 are taken for SUV; whole numbers are grey levels or counts, and larger
    values Bq/ml, whose scale differs between patients.
    """
    pixels = fill_missing(pixels)
    if pixels.max() < MOST_SUV and not is_whole(pixels):
        return scale_range(pixels, 0, HIGH_SUV)
    return clip_percentiles(pixels, 0.5, 99.9)


def find_patient(pixels: np.ndarray) -> np.ndarray:
    """The largest part (*space) of a prepared image that takes up tracer, with what it holds."""
    return find_body(pixels.mean(0), BODY)


PROFILE = ModalityProfile(
    name="pet",
    prepare=scale_uptake,
    steps="clip SUV to [0, 20], scale to [0, 1], one transform for all images; values that are not "
    "SUV by the 0.5 and 99.9 percentiles of the image (weak; derived)",
    augmentations={
        "global": Augmentation(crop=0.5, rotate_degrees=15, contrast=0.1, blur=0.5, poisson=0.1),
        "local": Augmentation(crop=0.5, rotate_degrees=15, contrast=0.1, poisson=0.05),
    },
    banned={
        "gamma": Rule("SUV is a quantity", "derived"),
        "brightness": Rule("an offset would be uptake where there is none", "derived"),
        "window": Rule("lesions lie at the upper end of the range", "derived"),
        "flip_lr": Rule("organ side and physiological uptake are not symmetric",
                        "derived from anatomy"),
        "flip_ud": Rule("anatomy is upright once reoriented", "derived from anatomy"),
        "quarter_turns": Rule("anatomy is upright once reoriented", "derived from anatomy"),
        "cutout": Rule("a block hides small hot lesions whole", "derived"),
        **foreign("bias_field", "depth_gain", "stain", "illuminant", "speckle", "rician",
                  "ghosting"),
    },
    masking=Masking(0.65, 0.1, "derived; no sweep of the ratio is known", "weak"),
    positives={"next slice": Rule("neighbouring slices show the same organs", "derived")},
    advice=(
        Rule("pretrain on PET and CT together, as two channels: 10 % of the labels matched all of "
             "them from scratch", "arXiv:2605.21835 (2026)", "moderate"),
        Rule("mask by foreground, not evenly: high ratios erase small hot lesions",
             "derived from AnatoMask 2024", "weak"),
        Rule("frozen features of natural images serve badly here: pretraining should pay most",
             "Liu et al. 2025, arXiv:2509.06467", "strong"),
    ),
    foreground=find_patient,
)  # fmt: skip
