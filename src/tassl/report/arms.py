"""What the arms are, in words."""

from __future__ import annotations

from tassl.report.loading import Run
from tassl.report.readers import each_row
from tassl.transforms.degradations import choose_degradation

BASELINES = {
    "scratch": "trains the same network from random weights",
    "random (frozen)": "leaves an untrained encoder as it is and fits only what comes after it",
    "raw pixels": "is a linear model on the pixels",
    "degraded input": "is the image as it came",
    "total variation": "is a filter that learns from no image",
}
NATURAL = "starts from weights of natural images"
FIXMATCH = {
    "segmentation": "is semi-supervised: it learns from labelled images as scratch does, and where "
    "it is sure of a pixel of an unlabelled one, to say the same in other grey values and with a "
    "block of another image pasted in (Yang et al. 2023, arXiv:2208.09910; French et al. 2020, "
    "arXiv:1906.01916)",
    "classification": "is semi-supervised: it learns from labelled images as scratch does, and "
    "where it is sure of an unlabelled one, to say the same of a strong view of it (Sohn et al. "
    "2020, arXiv:2001.07685)",
}
ALONE = {
    "undersample": "some of the measured lines of k-space are held out and told from the others "
    "(SSDU, Yaman et al. 2020, arXiv:1912.07669)",
    "noise": "some pixels are hidden and told from those around them (Krull et al. 2019, "
    "arXiv:1811.10980)",
}


def tell_baselines(run: Run) -> dict[str, str]:
    """What each baseline of a run does, by its name."""
    if run.results is None:
        return {}
    known = BASELINES | {"fixmatch": FIXMATCH.get(str(run.study.get("task")), "")}
    arms = run.results.loc[run.results.method == ""].drop_duplicates("arm")
    return {str(row.arm): known.get(row.arm, NATURAL) for row in each_row(arms)}


def tell_teacher(run: Run) -> str:
    """How arms learn to restore images without clean ones; "" where they have them."""
    study = run.study
    if study.get("clean") != "none":
        return ""
    degradation = choose_degradation(str(study.get("degrade") or ""), str(study.get("modality")))
    return f"No arm is fitted to clean images: {ALONE[degradation.kind]}."
