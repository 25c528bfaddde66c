"""One look for each arm, the same in every figure, told apart without colour too."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from tassl.evaluation.finding import HELPS, HURTS, NO_EVIDENCE
from tassl.report.readers import each_row

# Source of the colours: Okabe & Ito 2008, then Tol 2021; safe for colour-blind readers.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#332288", "#882255")
BASELINES = (  # colour, dashes and marker
    ("#3f4650", "8 5", "square"),
    ("#767d87", "2 4", "diamond"),
    ("#a3a9b1", "10 4 2 4", "cross"),
    ("#5b6470", "4 3", "square-open"),
)
WORD_COLOURS = {HELPS: "#14713f", NO_EVIDENCE: "#5b6470", HURTS: "#b3261e"}
UNPROVEN = "#8a5a00"
WORD_MARKERS = {HELPS: "triangle-up", NO_EVIDENCE: "circle", HURTS: "triangle-down"}


@dataclass(frozen=True)
class Style:
    """How an arm is drawn.

    Args:
        colour: Hexadecimal.
        dash: Lengths of dashes and gaps, "" for a solid line.
        marker: Plotly's name of the marker.
    """

    colour: str
    dash: str
    marker: str


def style_arms(results: pd.DataFrame) -> dict[str, Style]:
    """Baselines dashed and grey, pretrained arms solid and coloured; frozen arms hollow."""
    arms = results.drop_duplicates("arm")
    styles: dict[str, Style] = {}
    for k, arm in enumerate(each_row(arms.loc[arms.method == ""])):
        styles[str(arm.arm)] = Style(*BASELINES[k % len(BASELINES)])
    for k, arm in enumerate(each_row(arms.loc[arms.method != ""])):
        marker = "circle-open" if arm.adaptation == "frozen" else "circle"
        styles[str(arm.arm)] = Style(COLOURS[k % len(COLOURS)], "", marker)
    return styles
