"""Radiography: anatomy stands upright, sides matter, markers tempt."""

from tassl.modality.artefacts import foreign
from tassl.modality.base import Augmentation, Masking, ModalityProfile, Rule
from tassl.modality.preparing import clip_percentiles

ELGENDI = "Elgendi et al. 2021, 10.3389/fmed.2021.629134"

PROFILE = ModalityProfile(
    name="xray",
    prepare=clip_percentiles,
    steps="clip to the 0.5 and 99.5 percentiles of the image, scale to [0, 1] (weak; common "
    "practice, unverified)",
    augmentations={
        "global": Augmentation(
            crop=0.5, rotate_degrees=10, brightness=0.4, contrast=0.3, gamma=0.3, window=0.05,
            noise=0.1, blur=0.7,
        ),
        "local": Augmentation(
            crop=0.5, rotate_degrees=10, brightness=0.3, contrast=0.2, gamma=0.2, noise=0.05
        ),
    },
    banned={
        "flip_ud": Rule("anatomy stands upright", ELGENDI, "moderate"),
        "quarter_turns": Rule("anatomy stands upright", ELGENDI, "moderate"),
        "flip_lr": Rule(
            "heart side, situs and device side are findings; for labels without a side MoCo-CXR "
            "flipped with success, so permit it there",
            f"{ELGENDI}; Sowrirajan et al. 2021, arXiv:2010.05352; derived",
        ),
        "cutout": Rule("a block larger than a nodule hides the finding", "derived"),
        **foreign("bias_field", "depth_gain", "stain", "illuminant", "speckle", "rician",
                  "ghosting"),
    },
    masking=Masking(
        0.75, 0.125, "Xiao et al. 2023, arXiv:2210.12843 found 0.9 best on 266,000 images at 224 "
        "pixels; lowered for smaller sets, derived", "weak",
    ),
    positives={
        "same study": Rule(
            "views of one study show one disease state: 14.4 % more AUC than ImageNet weights with "
            "1 % of the labels; never pair across studies, between which disease changes",
            "Vu et al. 2021, arXiv:2102.10663", "moderate",
        ),
    },
    advice=(
        Rule("at 224 pixels and with many images hide 90 % in blocks of 16 pixels",
             "Xiao et al. 2023, arXiv:2210.12843", "strong"),
        Rule("rotation, relative position and patch order carry signal: anatomy is upright",
             "POPAR, PMC9728135", "moderate"),
        Rule("markers and borders tell the hospital: test whether features know the site",
             "Zech et al. 2018, 10.1371/journal.pmed.1002683; DeGrave et al. 2021, "
             "10.1038/s42256-021-00338-7", "strong"),
        Rule("ImageNet weights trained on with images of the domain gained 1.1 points of mean AUC",
             "Azizi et al. 2021, arXiv:2101.05224", "strong"),
    ),
)  # fmt: skip
