"""Predictions of images larger than the windows that a head was fitted to."""

from __future__ import annotations

from typing import Any

from monai.inferers.utils import sliding_window_inference
from torch import Tensor

from tassl.heads.base import Head

OVERLAP = 0.5


def predict_by_windows(head: Head, images: Tensor, window: tuple[int, ...]) -> Tensor:
    """Probabilities from overlapping windows, whose middle counts most.

    A head normalises over what it sees: shown another size than it was fitted to, it sees another
    image. Memory is that of one window, whatever the size of the image.

    Args:
        head: A dense head.
        images: (batch, channel, *space).
        window: Pixels along each axis, none larger than the images.

    Returns:
        (batch, class, *space).

    Source:
        Isensee et al., Nature Methods 2021, 10.1038/s41592-020-01008-z (half overlap, Gaussian
        weights).
    """
    found: Any = sliding_window_inference(
        images, window, 1, head.predict, overlap=OVERLAP, mode="gaussian"
    )
    return found
