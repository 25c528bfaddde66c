"""What every reader gives, and what none may do: follow a header that asks for too much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tassl.errors import UnreadableFile

MOST_BYTES = 2**31
DEFLATE = 1032  # zlib packs no more bytes than this into one, https://zlib.net/zlib_tech.html


@dataclass(frozen=True)
class Picture:
    """An image as it stands in its file.

    Args:
        pixels: Values in the file's own units, (channel, *space).
        spacing: Voxel size in mm along each axis of space, None where the file does not say.
        facts: Technical facts of the acquisition by name, never who or when.
        notes: What was done to the pixels that a person should know of.
    """

    pixels: np.ndarray
    spacing: tuple[float, ...] | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def check_size(wanted: int) -> None:
    """Refuse an image that would take more memory than one image may.

    Args:
        wanted: Bytes that reading it takes.

    Raises:
        UnreadableFile: More than `MOST_BYTES`.
    """
    if wanted > MOST_BYTES:
        raise UnreadableFile(
            f"asks for {wanted / 1e9:.1f} GB of memory; at most {MOST_BYTES / 1e9:.1f} GB are "
            "given to one image. If it is sound, crop it or reduce its resolution"
        )


def check_held(wanted: int, held: int, ratio: int = 1) -> None:
    """Refuse a file that cannot hold what its header promises.

    Args:
        wanted: Bytes that the header promises, unpacked.
        held: Bytes of the file.
        ratio: Most bytes that its compression packs into one.

    Raises:
        UnreadableFile: The file is too short.
    """
    if wanted > held * ratio:
        raise UnreadableFile(
            f"promises {wanted:,} bytes of pixels, more than its {held:,} bytes can hold: it is "
            "cut short or its header is damaged. Fetch it again"
        )


def drop_alpha(pixels: np.ndarray) -> np.ndarray:
    """Lay an image with transparency on black; one that is equally opaque everywhere stays.

    Args:
        pixels: (channel, *space), the last channel alpha; whole numbers from 0, or 0 to 1.

    Returns:
        The channels without alpha, of the same type.
    """
    *colours, alpha = pixels
    if (alpha == alpha.flat[0]).all():
        return pixels[:-1]
    whole = pixels.dtype.kind in "iu"
    opacity = alpha.astype(np.float32) / (np.iinfo(pixels.dtype).max if whole else 1)
    laid = [np.rint(colour * opacity) if whole else colour * opacity for colour in colours]
    return np.stack(laid).astype(pixels.dtype)


def is_grey(pixels: np.ndarray) -> bool:
    """Tell whether every channel of an image (channel, *space) holds the same."""
    return all(np.array_equal(pixels[0], channel) for channel in pixels[1:])
