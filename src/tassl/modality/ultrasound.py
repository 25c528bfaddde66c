"""Ultrasound: the beam has a direction, speckle is signal and noise at once."""

from tassl.modality.base import Augmentation, Masking, ModalityProfile, Rule, clip_percentiles

SOURCE = "VanBerlo et al. 2025, arXiv:2504.07904; physics of the beam"

PROFILE = ModalityProfile(
    name="ultrasound",
    prepare=clip_percentiles,
    steps="clip to the 0.5 and 99.5 percentiles of the image, scale to [0, 1]",
    augmentations={
        "global": Augmentation(
            crop=0.5, rotate_degrees=10, flip_lr=0.5, brightness=0.4, contrast=0.3, gamma=0.3,
            noise=0.1, speckle=0.15, blur=0.7,
        ),
        "local": Augmentation(
            crop=0.3, rotate_degrees=10, flip_lr=0.5, brightness=0.3, contrast=0.2, gamma=0.2,
            noise=0.05, speckle=0.1,
        ),
    },
    banned={
        "flip_ud": Rule("depth and attenuation run along this axis", SOURCE),
        "bias_field": Rule("gain along depth carries signal, and there is no coil", SOURCE),
    },
    masking=Masking(0.6, 0.125, "Kang et al. 2024, arXiv:2306.08249; ratio derived"),
)  # fmt: skip
