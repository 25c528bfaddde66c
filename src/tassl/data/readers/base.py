"""What every reader gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


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
