"""What the report says that its arms are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tassl.report.arms import NATURAL, tell_baselines, tell_teacher
from tassl.report.loading import load_run
from tassl.trials import list_arms


@pytest.mark.parametrize("task", ["classification", "segmentation", "reconstruction"])
def test_every_baseline_is_described(tmp_path: Path, task: str):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"task": task}))
    semi = task != "reconstruction"
    arms = list_arms(task, ["mae"], [] if semi else ["resnet18.x"], fixmatch=semi)
    results = pd.DataFrame({"arm": [a.name for a in arms], "method": [a.method for a in arms]})
    told = tell_baselines(replace(load_run(tmp_path), results=results))
    assert list(told) == [arm.name for arm in arms if not arm.method]
    assert all(told.values())
    assert ("fixmatch" in told) == semi
    assert {name for name, words in told.items() if words == NATURAL} == (
        set() if semi else {"resnet18.x (fine-tuned)"}
    )


@pytest.mark.parametrize(
    ("study", "words"),
    [
        ({"clean": "none", "degrade": "noise:0.5", "modality": "ct"}, "pixels are hidden"),
        ({"clean": "none", "degrade": "", "modality": "mri"}, "SSDU"),
        ({"clean": "paired", "modality": "mri"}, ""),
        ({}, ""),
    ],
)
def test_who_teaches_to_restore(tmp_path: Path, study: dict[str, Any], words: str):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"task": "reconstruction"} | study))
    told = tell_teacher(load_run(tmp_path))
    assert words in told
    assert bool(told) == bool(words)
