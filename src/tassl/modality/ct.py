"""Computed tomography: Hounsfield units are absolute."""

import numpy as np

from tassl.modality.base import Augmentation, Masking, ModalityProfile, Rule

LOW_HU, HIGH_HU = -1000.0, 1000.0
SOURCE = "Isensee et al. 2021, 10.1038/s41592-020-01008-z; derived"


def scale_hounsfield(pixels: np.ndarray) -> np.ndarray:
    """Clip to [-1000, 1000] HU and scale to [0, 1], the same for every image."""
    return (np.clip(pixels, LOW_HU, HIGH_HU) - LOW_HU) / (HIGH_HU - LOW_HU)


PROFILE = ModalityProfile(
    name="ct",
    prepare=scale_hounsfield,
    steps="clip to [-1000, 1000] HU, scale to [0, 1], one transform for all images",
    augmentations={
        "global": Augmentation(crop=0.4, rotate_degrees=15, brightness=0.05, noise=0.1, blur=0.7),
        "local": Augmentation(crop=0.3, rotate_degrees=15, brightness=0.05, noise=0.05),
    },
    banned={
        "gamma": Rule("tissue identity is its HU value", SOURCE),
        "contrast": Rule("tissue identity is its HU value", SOURCE),
        "flip_lr": Rule("organ side and situs are anatomy", SOURCE),
        "bias_field": Rule("no such field exists in CT", SOURCE),
    },
    masking=Masking(0.75, 0.17, "Chen et al. 2023, arXiv:2204.11716"),
)
