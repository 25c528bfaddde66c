"""The demo: the main job on the embedded cohort, with shorter settings than `make demo`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tassl import demo
from tassl.cli import main


def test_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(demo, "SUBJECTS", 60)
    monkeypatch.setattr(demo, "SIZE", 24)
    monkeypatch.setattr(demo, "CHOICES", {"epochs": 2, "steps": 3, "budgets": (5,), "draws": 2})
    monkeypatch.setattr(sys, "argv", ["tassl", "demo", "--out", str(tmp_path / "demo")])
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr().out
    assert stop.value.code == 0
    assert "95% interval" in said
    assert "AUROC" in said
    assert "auroc" not in said
    assert str(tmp_path / "demo" / "report.html") in said.replace("\n", "")
    assert (tmp_path / "demo" / "report.html").stat().st_size > 1e6
