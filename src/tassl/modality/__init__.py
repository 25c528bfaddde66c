"""What each imaging modality asks for and forbids: one profile per file."""

from __future__ import annotations

from tassl.registry import Card

MODALITIES: dict[str, Card] = {
    "ct": Card("Computed tomography", at="tassl.modality.ct:PROFILE"),
    "mri": Card("Magnetic resonance imaging", at="tassl.modality.mri:PROFILE"),
    "ultrasound": Card("Ultrasound", at="tassl.modality.ultrasound:PROFILE"),
    "xray": Card("Radiography", at="tassl.modality.xray:PROFILE"),
}
