"""Microscopy of cells: channels are proteins, and there is no orientation."""

import numpy as np
from scipy import ndimage

from tassl.modality.artefacts import foreign
from tassl.modality.base import Augmentation, Masking, ModalityProfile, Rule
from tassl.modality.preparing import clip_channels, sample, scale_by_type, threshold_otsu

COLOURS = 3
TRANSMITTED = 0.35  # median level of colours under white light, at least; fluorescence is dark


def scale_channels(pixels: np.ndarray) -> np.ndarray:
    """Clip each channel to its 0.1 and 99.9 percentiles and scale it to [0, 1].

    Stains under white light keep the ratios of their colours: they are divided by the range of
    their type.
    """
    light = scale_by_type(pixels)
    return light if is_transmitted(light) else clip_channels(pixels, 0.1, 99.9)


def is_transmitted(pixels: np.ndarray) -> bool:
    """Whether an image between 0 and 1 shows colours on a bright ground."""
    return len(pixels) == COLOURS and bool(np.median(sample(pixels)) > TRANSMITTED)


def find_cells(pixels: np.ndarray) -> np.ndarray:
    """What absorbs the white light, or else shines in some channel (*space)."""
    signal = 1 - pixels.min(0) if is_transmitted(pixels) else pixels.max(0)
    signal = np.sqrt(ndimage.uniform_filter(signal, 3).clip(0))
    cells = signal > threshold_otsu(sample(signal[None]))
    return cells if cells.any() else np.ones_like(cells)


PROFILE = ModalityProfile(
    name="microscopy",
    prepare=scale_channels,
    steps="clip each channel to its 0.1 and 99.9 percentiles, scale to [0, 1]; colours on a bright "
    "ground are divided by the range of the stored type instead (weak; derived)",
    augmentations={
        "global": Augmentation(
            crop=0.5, rotate_degrees=15, quarter_turns=0.75, flip_lr=0.5, flip_ud=0.5,
            elastic=0.02, brightness=0.2, contrast=0.3, gamma=0.2, bias_field=0.2, blur=0.5,
            noise=0.05, poisson=0.1,
        ),
        "local": Augmentation(
            crop=0.5, rotate_degrees=15, quarter_turns=0.75, flip_lr=0.5, flip_ud=0.5,
            elastic=0.02, brightness=0.2, contrast=0.2, gamma=0.2, bias_field=0.2, noise=0.05,
            poisson=0.05,
        ),
    },
    banned={
        "illuminant": Rule("a channel is a protein: their balance is the signal", "derived"),
        **foreign("depth_gain", "stain", "speckle", "rician", "ghosting"),
    },
    masking=Masking(
        0.75, 0.05, "Kraus et al. 2024, arXiv:2404.10242 (8-pixel patches; ratio unverified)",
        "moderate",
    ),
    degenerate={
        "rotation": Rule("cells have no up and down", "derived"),
        "jigsaw": Rule("cells lie in no order", "derived"),
        "relative position": Rule("cells lie in no order", "derived"),
    },
    advice=(
        Rule("masked autoencoders with small patches beat weakly supervised features and grow with "
             "data", "Kraus et al. 2024, arXiv:2404.10242", "strong"),
        Rule("where stains differ between sets, encode each channel by itself",
             "Kraus et al. 2024, arXiv:2404.10242", "moderate"),
        Rule("plates and batches are shortcuts: split by batch", "arXiv:2503.19149 (2025)",
             "moderate"),
        Rule("for stained smears under white light histopathology also changes the stain",
             "derived"),
    ),
    foreground=find_cells,
)  # fmt: skip
