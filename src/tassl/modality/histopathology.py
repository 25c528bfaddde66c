"""Histopathology: no orientation, size and stain are the signs."""

import numpy as np
from scipy import ndimage

from tassl.modality.artefacts import foreign
from tassl.modality.base import Augmentation, Masking, ModalityProfile, Rule
from tassl.modality.preparing import scale_by_type

CLEAREST, DARKEST = 0.86, 0.02  # transmitted light: exp(-0.15), and glass that was not scanned


def find_tissue(pixels: np.ndarray) -> np.ndarray:
    """What absorbs light in one of its colours (*space): neither glass nor the unscanned black.

    Source:
        Macenko et al., ISBI 2009, 10.1109/ISBI.2009.5193250 (optical density of 0.15).
    """
    light = ndimage.uniform_filter(pixels.min(0), 5)
    tissue = (light < CLEAREST) & (pixels.max(0) > DARKEST)
    return tissue if tissue.any() else np.ones_like(tissue)


PROFILE = ModalityProfile(
    name="histopathology",
    prepare=scale_by_type,
    steps="divide by the range of the stored type; stains are neither stretched nor normalised "
    "(strong; Wölflein et al. 2024, arXiv:2311.11772)",
    augmentations={
        "global": Augmentation(
            crop=0.8, rotate_degrees=15, quarter_turns=0.75, flip_lr=0.5, flip_ud=0.5,
            brightness=0.2, contrast=0.2, stain=0.2, blur=0.7,
        ),
        "local": Augmentation(
            crop=0.8, rotate_degrees=15, quarter_turns=0.75, flip_lr=0.5, flip_ud=0.5,
            brightness=0.1, contrast=0.1, stain=0.15,
        ),
    },
    banned={
        "illuminant": Rule("colour is that of the stains: change their density with stain instead",
                           "Tellez et al. 2019, arXiv:1902.06543; derived"),
        "noise": Rule("chromatin texture is a sign, and slides are scanned with little noise",
                      "derived"),
        "poisson": Rule("chromatin texture is a sign, and slides are scanned with little noise",
                        "derived"),
        **foreign("bias_field", "depth_gain", "speckle", "rician", "ghosting"),
    },
    masking=Masking(0.65, 0.07, "derived; no sweep of the ratio is known", "weak"),
    degenerate={
        "rotation": Rule("tissue has no up and down",
                         "Zimmermann et al. 2024, arXiv:2408.00738; derived", "moderate"),
        "jigsaw": Rule("tissue has no order of parts", "derived"),
        "relative position": Rule("tissue has no order of parts", "derived"),
    },
    advice=(
        Rule("pretraining on slides beats ImageNet weights, most with few labels",
             "Kang et al. 2023, arXiv:2212.04690", "strong"),
        Rule("joint embedding (DINO, iBOT) over restoration of pixels for tiles",
             "Filiot et al. 2023, 10.1101/2023.07.21.23292757; Lai et al. 2023, arXiv:2310.13259",
             "strong"),
        Rule("shift rather than resize: the size of a nucleus is a sign",
             "Zimmermann et al. 2024, arXiv:2405.01688 and arXiv:2408.00738", "moderate"),
        Rule("choose tiles with at least 65 % tissue", "Zimmermann et al. 2024, arXiv:2408.00738",
             "moderate"),
        Rule("encoders know the hospital: split by site and report how well features tell it",
             "de Jong et al. 2025, arXiv:2501.18055; Kömen et al. 2025, arXiv:2507.17845",
             "strong"),
    ),
    foreground=find_tissue,
)  # fmt: skip
