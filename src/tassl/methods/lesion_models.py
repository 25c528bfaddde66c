"""What lesions look like in a modality, as far as a blob can tell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LesionModel:
    """How a planted ellipsoid differs from what surrounds it.

    Args:
        source: Who describes such lesions.
        darker: Share of the lesions that are darker than what they cover; the others are brighter.
        size: Factor of the radii.
        texture: Deviation of the noise inside, as a share of the largest change of brightness.
        ring: Strength of a rim of the opposite sign, as a share of the lesion's own change.
        shadow: Strength of a dark shadow beneath, in 2D, likewise as a share of its change.
    """

    source: str
    darker: float = 0.5
    size: float = 1.0
    texture: float = 0.2
    ring: float = 0.0
    shadow: float = 0.0


NODULE = "Hansell et al. (glossary of the Fleischner Society), 2008, 10.1148/radiol.2462070712"
LESION_MODELS = {
    "any": LesionModel("ours"),
    "ultrasound": LesionModel(
        "Stavros et al., Radiology 1995, 10.1148/radiology.196.1.7784555: markedly dark, shadowing",
        darker=0.9,
        shadow=0.5,
    ),
    "xray": LesionModel(f"{NODULE}: a rounded opacity", darker=0.0, texture=0.05),
    "ct": LesionModel(f"{NODULE}: a rounded opacity", darker=0.0, texture=0.05),
    "mri": LesionModel(
        "Menze et al., IEEE TMI 2015, 10.1109/TMI.2014.2377694: core and enhancing rim", ring=0.7
    ),
    "fundus": LesionModel(
        "Early Treatment Diabetic Retinopathy Study report 10, 1991, 10.1016/S0161-6420(13)38012-9:"
        " dark microaneurysms, bright exudates",
        size=0.3,
        texture=0.05,
    ),
}
