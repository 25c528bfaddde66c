"""Computed tomography: Hounsfield units are absolute."""

import numpy as np

from tassl.modality.artefacts import foreign
from tassl.modality.base import Augmentation, Masking, ModalityProfile, Rule
from tassl.modality.preparing import find_body, scale_range

LOW_HU, HIGH_HU = -1000.0, 1000.0
BODY_HU = -500.0
NNUNET = "Isensee et al. 2021, 10.1038/s41592-020-01008-z"


def scale_hounsfield(pixels: np.ndarray) -> np.ndarray:
    """Clip to [-1000, 1000] HU and scale to [0, 1]; what is missing counts as air."""
    known = np.nan_to_num(pixels, nan=LOW_HU, neginf=LOW_HU, posinf=HIGH_HU)
    return scale_range(known, LOW_HU, HIGH_HU)


def find_patient(pixels: np.ndarray) -> np.ndarray:
    """The largest part denser than -500 HU of a prepared image, lungs included, table not."""
    return find_body(pixels.mean(0), (BODY_HU - LOW_HU) / (HIGH_HU - LOW_HU))


PROFILE = ModalityProfile(
    name="ct",
    prepare=scale_hounsfield,
    steps="clip to [-1000, 1000] HU, scale to [0, 1], one transform for all images (strong; "
    f"{NNUNET}; bounds derived)",
    augmentations={
        "global": Augmentation(
            crop=0.4, rotate_degrees=15, brightness=0.05, window=0.2, noise=0.1, blur=0.7
        ),
        "local": Augmentation(
            crop=0.4, rotate_degrees=15, brightness=0.05, window=0.1, noise=0.05
        ),
    },
    banned={
        "gamma": Rule("tissue identity is its HU value", f"{NNUNET}; derived"),
        "contrast": Rule("tissue identity is its HU value", f"{NNUNET}; derived"),
        "flip_lr": Rule("organ side and situs are anatomy; permit it for patches of texture alone",
                        "derived from anatomy"),
        "flip_ud": Rule("patients lie and are stacked one way; permit it for patches of texture "
                        "alone", "derived from anatomy"),
        "quarter_turns": Rule("the body has one orientation; permit them for patches around "
                              "nodules", "derived from anatomy"),
        **foreign("bias_field", "depth_gain", "stain", "illuminant", "speckle", "rician",
                  "poisson", "ghosting"),
    },
    masking=Masking(
        0.75, 0.17, "Chen et al. 2023, arXiv:2204.11716: a high ratio and rather small blocks; the "
        "figures are 16 of 96 voxels, unverified", "moderate",
    ),
    positives={
        "next slice": Rule(
            "slices at near heights show the same organs, within a patient and across patients; "
            "contrast of whole images takes them for different",
            "Zeng et al. 2021, arXiv:2106.09157", "moderate",
        ),
    },
    advice=(
        Rule("masked restoration wins segmentation, contrast wins classification, on equal terms",
             "Wald et al. 2025, arXiv:2412.17041", "strong"),
        Rule("small targets need small tokens: decisive for calcifications",
             "Jin et al. 2025, arXiv:2507.01744", "moderate"),
        Rule("where a crop sits in the body is a strong pretext",
             "Wu et al. 2024, arXiv:2402.17300", "moderate"),
        Rule("resample to 1 to 1.5 mm and keep that spacing when adapting",
             "nnU-Net documentation, nnssl_pretrain_adaptation.md", "moderate"),
    ),
    foreground=find_patient,
)  # fmt: skip
