"""What a poorer acquisition does to images, by name; readable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tassl.errors import OptionError
from tassl.modality import MODALITIES
from tassl.registry import Card, look_up


@dataclass(frozen=True)
class DegradationCard(Card):
    """A card with the strength that a degradation takes.

    Args:
        usual: Strength unless the user gives one.
        unit: What the strength is, in words.
        least: Smallest strength that degrades.
        most: Largest strength that leaves something to restore.
        modalities: Keys in `MODALITIES` in which it happens; every one unless given.
    """

    usual: float = 1.0
    unit: str = ""
    least: float = 0.01
    most: float = 10.0
    modalities: tuple[str, ...] = ()


PLACE = "tassl.transforms.degrading"
DEGRADATIONS: dict[str, DegradationCard] = {
    "noise": DegradationCard(
        "Noise",
        at=f"{PLACE}:Noise",
        source="Rician: Gudbjartsson & Patz 1995, 10.1002/mrm.1910340618; others: Foi et al. 2008, "
        "10.1109/TIP.2008.2001399",
        usual=0.5,
        unit="standard deviations of the images",
    ),
    "blur": DegradationCard(
        "Gaussian blur, and noise of 0.05 standard deviations",
        at=f"{PLACE}:Blur",
        usual=1.5,
        unit="pixels of deviation",
        least=0.3,
    ),
    "lowres": DegradationCard(
        "Lower resolution: means over blocks, interpolated back",
        at=f"{PLACE}:LowResolution",
        usual=2,
        unit="pixels along a side of a block",
        least=1.5,
        most=8,
    ),
    "undersample": DegradationCard(
        "Cartesian undersampling of k-space, simulated from magnitude images with zero phase; "
        "lines along the first axis of space, the centre in full",
        at=f"{PLACE}:Undersampling",
        source="Zbontar et al. 2018, arXiv:1811.08839",
        usual=4,
        unit="times fewer lines",
        least=1.5,
        most=16,
        modalities=("mri",),
    ),
    "lowdose": DegradationCard(
        "Low dose, simulated in the image: noise with the ramp spectrum that filtered "
        "back-projection gives it; no streaks",
        at=f"{PLACE}:LowDose",
        source="Riederer et al. 1978, 10.1088/0031-9155/23/3/008",
        usual=0.5,
        unit="standard deviations of the images",
        modalities=("ct",),
    ),
}
LAWS = {"rician": "Rician", "speckle": "speckle", "poisson": "Poisson"}  # by range of the views


@dataclass(frozen=True)
class Degradation:
    """A degradation as a study chose it.

    Args:
        kind: Key in `DEGRADATIONS`.
        strength: In the unit of its card.
        law: Of the noise: Gaussian, Rician, speckle or Poisson.
    """

    kind: str
    strength: float
    law: str = "Gaussian"

    def __str__(self) -> str:
        card = DEGRADATIONS[self.kind]
        law = f"{self.law} " if self.kind == "noise" else ""
        return f"{law}{card.title}".capitalize() + f" ({self.strength:g} {card.unit})"

    def load(self) -> Any:
        """What it does to tensors."""
        return DEGRADATIONS[self.kind].load()(self.strength, self.law)


def choose_degradation(text: str, modality: str) -> Degradation:
    """Read "KIND" or "KIND:STRENGTH"; the modality decides on the noise, and on all of it for "".

    Raises:
        OptionError: The degradation is unknown, impossible in the modality, or too weak or strong.
    """
    usual = next((k for k, card in DEGRADATIONS.items() if modality in card.modalities), "noise")
    kind, colon, told = text.partition(":")
    card = look_up(DEGRADATIONS, kind or usual, "degradation")
    if card.modalities and modality not in card.modalities:
        raise OptionError(
            f"--degrade {kind} is for {' and '.join(card.modalities)}; the modality is {modality}. "
            "Use noise, blur or lowres."
        )
    try:
        strength = float(told) if colon else card.usual
    except ValueError:
        strength = float("nan")
    if not card.least <= strength <= card.most:
        raise OptionError(
            f"--degrade {text}: wanted {card.least:g} to {card.most:g} {card.unit}, as in "
            f"{kind}:{card.usual:g}."
        )
    return Degradation(kind or usual, strength, _noise_law(modality))


def _noise_law(modality: str) -> str:
    """The law of the noise that the views of a modality have."""
    views = MODALITIES[modality].load().augmentations["local"]
    return next((law for name, law in LAWS.items() if getattr(views, name)), "Gaussian")
