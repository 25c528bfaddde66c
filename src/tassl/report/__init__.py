"""The report: a run folder in, one self-contained HTML file, a card and a picture out."""

from __future__ import annotations

import os
from pathlib import Path

from tassl.report.loading import load_run
from tassl.report.page import render_audit, render_documents
from tassl.report.scouted import render_scout
from tassl.report.sketch import sketch_verdict

__all__ = ["draw_verdict", "write_audit", "write_report", "write_scout"]


def write_report(run: Path) -> Path:
    """Write report.html and card.md into a run folder, finished or not.

    Args:
        run: The run folder.

    Returns:
        Path of report.html: one file that opens offline.

    Raises:
        InputError: The folder does not exist or holds no readable study.yaml.
    """
    page, card = render_documents(load_run(run))
    _write(run / "card.md", card)
    _write(run / "report.html", page)
    return run / "report.html"


def write_audit(run: Path) -> Path:
    """Write audit.html, the data's part of the report alone, into a run folder.

    Args:
        run: A folder with study.yaml and audit.json.

    Returns:
        Path of audit.html: one file that opens offline.

    Raises:
        InputError: The folder does not exist or holds no readable study.yaml.
    """
    _write(run / "audit.html", render_audit(load_run(run)))
    return run / "audit.html"


def write_scout(run: Path) -> Path:
    """Write scout.html, what pilots found, into a folder.

    Args:
        run: A folder with study.yaml and scout.json.

    Returns:
        Path of scout.html: one file that opens offline.

    Raises:
        InputError: The folder holds no readable study.yaml or scout.json.
    """
    _write(run / "scout.html", render_scout(load_run(run)))
    return run / "scout.html"


def draw_verdict(run: Path) -> str:
    """Draw the label-efficiency curve under the verdict's sentence.

    Args:
        run: The run folder.

    Returns:
        A standalone SVG, 800 units wide.

    Raises:
        InputError: The folder does not exist or holds no readable study.yaml.
    """
    return sketch_verdict(load_run(run))


def _write(file: Path, text: str) -> None:
    draft = file.with_name(file.name + ".part")
    draft.write_text(text, encoding="utf-8", newline="\n")
    os.replace(draft, file)
