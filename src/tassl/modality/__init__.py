"""What each imaging modality asks for and forbids: one profile per file."""

from __future__ import annotations

from tassl.registry import Card

MODALITIES: dict[str, Card] = {
    "ct": Card(
        "Computed tomography",
        at="tassl.modality.ct:PROFILE",
        source="Isensee et al. 2021, 10.1038/s41592-020-01008-z",
    ),
    "dermoscopy": Card(
        "Dermoscopy and skin photographs",
        at="tassl.modality.dermoscopy:PROFILE",
        source="Azizi et al. 2021, arXiv:2101.05224",
        dims=(2,),
    ),
    "endoscopy": Card(
        "Endoscopy",
        at="tassl.modality.endoscopy:PROFILE",
        source="Sanderson & Matuszewski 2024, arXiv:2401.06278",
        dims=(2,),
    ),
    "fundus": Card(
        "Colour fundus photography",
        at="tassl.modality.fundus:PROFILE",
        source="Zhou et al. 2023, 10.1038/s41586-023-06555-x",
        dims=(2,),
    ),
    "histopathology": Card(
        "Histopathology",
        at="tassl.modality.histopathology:PROFILE",
        source="Kang et al. 2023, arXiv:2212.04690",
        dims=(2,),
    ),
    "mammography": Card(
        "Mammography and tomosynthesis",
        at="tassl.modality.mammography:PROFILE",
        source="MammoDINO 2025, arXiv:2510.11883",
    ),
    "microscopy": Card(
        "Microscopy of cells",
        at="tassl.modality.microscopy:PROFILE",
        source="Kraus et al. 2024, arXiv:2404.10242",
    ),
    "mri": Card(
        "Magnetic resonance imaging",
        at="tassl.modality.mri:PROFILE",
        source="Wald et al. 2025, arXiv:2410.23132",
    ),
    "oct": Card(
        "Optical coherence tomography",
        at="tassl.modality.oct:PROFILE",
        source="Holland et al. 2024, arXiv:2208.02529",
    ),
    "pet": Card(
        "Positron emission tomography",
        at="tassl.modality.pet:PROFILE",
        source="arXiv:2605.21835 (2026)",
    ),
    "ultrasound": Card(
        "Ultrasound",
        at="tassl.modality.ultrasound:PROFILE",
        source="VanBerlo et al. 2025, arXiv:2504.07904",
    ),
    "xray": Card(
        "Radiography",
        at="tassl.modality.xray:PROFILE",
        source="Xiao et al. 2023, arXiv:2210.12843",
        dims=(2,),
    ),
}
