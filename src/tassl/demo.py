"""The main job on the embedded phantom cohort: no data and no network needed."""

from __future__ import annotations

from pathlib import Path

from tassl.data.phantom import PhantomSpec, draw_cohort, save_npz
from tassl.steps import run
from tassl.study import Outcome

SUBJECTS, SIZE = 500, 48
CHOICES = {"budgets": (5, 25), "epochs": 25, "steps": 80}


def run_demo(out: Path, seed: int) -> Outcome:
    """Draw a cohort beside the run folder and study it, with fewer epochs and draws.

    Args:
        out: Run folder; the cohort goes to a file beside it.
        seed: Of the cohort and of the study.
    """
    data = out.with_name(f"{out.name}-cohort-{seed}.npz")
    if not data.exists():
        data.parent.mkdir(parents=True, exist_ok=True)
        spec = PhantomSpec(seed=seed, subjects=SUBJECTS, size=SIZE, modality="ultrasound")
        save_npz(draw_cohort(spec), data)
    return run(
        data,
        modality="ultrasound",
        task="classification",
        out=out,
        seed=seed,
        **CHOICES,
    )
