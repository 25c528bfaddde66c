"""Magnetic resonance imaging: intensities are arbitrary, fields are smooth, noise is Rician."""

import numpy as np

from tassl.modality.artefacts import foreign
from tassl.modality.base import Augmentation, Masking, ModalityProfile, Rule
from tassl.modality.preparing import clip_channels, find_body, sample, threshold_otsu

DARKEST_AIR = 0.2  # mean level of air over that of tissue, at most


def find_patient(pixels: np.ndarray) -> np.ndarray:
    """Head or body against air (*space), or everything where an image holds no air.

    Otsu's threshold parts air from tissue; a lower class that is not dark is tissue as well.
    """
    grey = pixels.mean(0)
    values = sample(grey[None])
    level, low = threshold_otsu(values), values.min()
    tissue = values > level
    if not tissue.any():
        return np.ones(grey.shape, dtype=bool)
    air = values[~tissue].mean() - low
    if air > DARKEST_AIR * (values[tissue].mean() - low):
        return np.ones(grey.shape, dtype=bool)
    return find_body(grey, level)


def zscore_foreground(pixels: np.ndarray) -> np.ndarray:
    """Clip each channel to percentiles, then zero mean and unit deviation over the foreground."""
    clipped = clip_channels(pixels)
    values = clipped[:, find_patient(clipped)]
    shape = (-1, *[1] * (pixels.ndim - 1))
    mean, deviation = values.mean(1), np.maximum(values.std(1), 1e-6)
    return (clipped - mean.reshape(shape)) / deviation.reshape(shape)


PROFILE = ModalityProfile(
    name="mri",
    prepare=zscore_foreground,
    steps="clip to the 0.5 and 99.5 percentiles, z-score over the foreground, each channel of "
    "each image by itself (strong; Isensee et al. 2021, 10.1038/s41592-020-01008-z)",
    augmentations={
        "global": Augmentation(
            crop=0.4, rotate_degrees=15, elastic=0.02, brightness=0.3, contrast=0.25, gamma=0.3,
            bias_field=0.3, blur=0.7, rician=0.1, ghosting=0.2,
        ),
        "local": Augmentation(
            crop=0.5, rotate_degrees=15, elastic=0.02, brightness=0.2, contrast=0.2, gamma=0.2,
            bias_field=0.2, rician=0.1, ghosting=0.1,
        ),
    },
    banned={
        "flip_lr": Rule("side is a finding in lateralised disease; permit it where sides are alike",
                        "derived from anatomy"),
        "flip_ud": Rule("anatomy is upright once reoriented", "derived from anatomy"),
        "quarter_turns": Rule("anatomy is upright once reoriented", "derived from anatomy"),
        **foreign("speckle", "poisson", "depth_gain", "stain", "illuminant"),
    },
    masking=Masking(
        0.75, 0.125, "Wald et al. 2025, arXiv:2410.23132; its code hides 16 of 160 voxels, "
        "here 8 of 64",
        "moderate",
    ),
    positives={
        "same study": Rule(
            "sequences of one examination show one anatomy; do not pair them where the sequence "
            "itself carries the sign", "MultiMAE for MRI 2025, arXiv:2509.11442", "moderate",
        ),
        "next slice": Rule(
            "slices at the same height show the same structures: with augmentation two labelled "
            "volumes came within 8 % of the benchmark",
            "Chaitanya et al. 2020, arXiv:2006.10511", "moderate",
        ),
    },
    advice=(
        Rule("masked restoration on a residual U-Net gained about 3 Dice over a tuned nnU-Net",
             "Wald et al. 2025, arXiv:2410.23132", "strong"),
        Rule("masked restoration favours segmentation, hybrids with contrast classification; "
             "larger networks and longer training gave no reliable gain",
             "Munk et al. 2026, arXiv:2604.11679", "strong"),
        Rule("quantitative maps, as ADC, are absolute: switch off brightness, contrast, gamma and "
             "bias_field", "derived"),
        Rule("split by subject before anything: repeats of a subject leak",
             "Rumala 2023, arXiv:2309.00350", "strong"),
    ),
    foreground=find_patient,
)  # fmt: skip
