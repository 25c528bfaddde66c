"""Artefacts belong to the acquisition that makes them; elsewhere they only teach a shortcut."""

from __future__ import annotations

from tassl.modality.base import Rule

ORIGINS = {
    "bias_field": "a smooth gain over the image comes from MRI coils",
    "depth_gain": "a gain along depth comes from the time-gain compensation of echoes",
    "stain": "stains are those of histology",
    "illuminant": "there is no lamp, hence no colour cast",
    "speckle": "multiplicative speckle comes from coherent waves",
    "rician": "Rician noise is that of magnitude MRI",
    "poisson": "noise of this kind comes from counting photons",
    "ghosting": "shifted copies come from phase encoding in MRI",
}


def foreign(*operations: str) -> dict[str, Rule]:
    """Ban operations that the physics of the acquisition cannot produce."""
    return {name: Rule(ORIGINS[name], "physics of the acquisition") for name in operations}
