"""Radiography: anatomy stands upright, sides matter, markers tempt."""

from tassl.modality.base import Augmentation, Masking, ModalityProfile, Rule, clip_percentiles

PROFILE = ModalityProfile(
    name="xray",
    prepare=clip_percentiles,
    steps="clip to the 0.5 and 99.5 percentiles of the image, scale to [0, 1]",
    augmentations={
        "global": Augmentation(
            crop=0.5,
            rotate_degrees=10,
            brightness=0.4,
            contrast=0.3,
            gamma=0.3,
            noise=0.1,
            blur=0.7,
        ),
        "local": Augmentation(
            crop=0.3, rotate_degrees=10, brightness=0.3, contrast=0.2, gamma=0.2, noise=0.05
        ),
    },
    banned={
        "flip_ud": Rule("anatomy stands upright", "Elgendi et al. 2021, 10.3389/fmed.2021.629134"),
        "flip_lr": Rule(
            "heart side, situs and device side are findings",
            "Elgendi et al. 2021, 10.3389/fmed.2021.629134; derived",
        ),
    },
    masking=Masking(0.75, 0.125, "Xiao et al. 2023, arXiv:2210.12843 (0.9 at 224 pixels)"),
)
