"""Scores of restored images, image by image: columns `psnr`, `ssim` and `nrmse`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import ndimage

MOST_PSNR = 100.0  # dB; a perfect image would be at infinity, and the mean of all with it
DEVIATION, REACH = 1.5, 5  # of the Gaussian window, in pixels


def column(name: str) -> Callable[[pd.DataFrame], np.ndarray]:
    """One of the columns, (row,)."""
    return lambda table: table[name].to_numpy(dtype=float)


def measure_image(restored: np.ndarray, clean: np.ndarray, span: float) -> dict[str, float]:
    """Scores of one image.

    Args:
        restored: (channel, *space); what is not finite counts as wrong by the whole range.
        clean: (channel, *space).
        span: Range of the data, the same for all images of a study.

    Returns:
        psnr in dB, of at most 100; ssim, the mean over channels; nrmse, the root of the mean
        squared error over the range of the clean image itself, NaN where it is constant.
    """
    clean = clean.astype(np.float64)
    restored = np.where(np.isfinite(restored), restored, clean + span)
    error = float(np.mean((restored - clean) ** 2))
    own = float(np.ptp(clean))
    return {
        "psnr": psnr(error, span),
        "ssim": float(np.mean([ssim(*pair, span) for pair in zip(restored, clean, strict=True)])),
        "nrmse": error**0.5 / own if own else np.nan,
    }


def psnr(error: float, span: float) -> float:
    """Peak signal-to-noise ratio in dB, from the mean squared error and the range of the data."""
    return min(MOST_PSNR, 10 * float(np.log10(span**2 / error))) if error else MOST_PSNR


def ssim(one: np.ndarray, other: np.ndarray, span: float) -> float:
    """Structural similarity of two images (*space), over the places where the window fits.

    Axis by axis: the dense window of the libraries at hand has 1,331 voxels in 3D.

    Source:
        Wang et al., IEEE TIP 2004, 10.1109/TIP.2003.819861: Gaussian window of 11 pixels and
        deviation 1.5, K1 = 0.01, K2 = 0.03; smaller where the image is.
    """
    reach = min(REACH, (min(one.shape) - 1) // 2)

    def smooth(image: np.ndarray) -> np.ndarray:
        wide = ndimage.gaussian_filter(image, DEVIATION, radius=reach)
        return wide[tuple(slice(reach, n - reach) for n in wide.shape)]

    one, other = one.astype(np.float64), other.astype(np.float64)
    mean, mean_other = smooth(one), smooth(other)
    variance, variance_other = smooth(one**2) - mean**2, smooth(other**2) - mean_other**2
    shared = smooth(one * other) - mean * mean_other
    light, contrast = (0.01 * span) ** 2, (0.03 * span) ** 2
    likeness = (2 * mean * mean_other + light) * (2 * shared + contrast)
    return float(
        np.mean(
            likeness / ((mean**2 + mean_other**2 + light) * (variance + variance_other + contrast))
        )
    )
