"""Magnetic resonance imaging: intensities are arbitrary, fields are smooth, noise is Rician."""

from tassl.modality.base import Augmentation, Masking, ModalityProfile, Rule, zscore_foreground

PROFILE = ModalityProfile(
    name="mri",
    prepare=zscore_foreground,
    steps="clip to the 0.5 and 99.5 percentiles, z-score over the foreground of each image",
    augmentations={
        "global": Augmentation(
            crop=0.4, rotate_degrees=15, brightness=0.3, contrast=0.25, gamma=0.3, noise=0.1,
            blur=0.7, bias_field=0.3,
        ),
        "local": Augmentation(
            crop=0.5, rotate_degrees=15, brightness=0.2, contrast=0.2, gamma=0.2, noise=0.1,
            bias_field=0.2,
        ),
    },
    banned={
        "flip_lr": Rule("side is a finding in lateralised disease", "derived from anatomy"),
        "flip_ud": Rule("anatomy is upright once reoriented", "derived from anatomy"),
        "speckle": Rule("MRI noise is Rician, not multiplicative", "physics of the acquisition"),
    },
    masking=Masking(0.75, 0.125, "Wald et al. 2025, arXiv:2410.23132"),
)  # fmt: skip
