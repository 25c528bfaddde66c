"""Figures of how far single predictions can be trusted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from plotly.graph_objects import Figure

from tassl.evaluation.effects import wilson_interval
from tassl.evaluation.finding import Arm
from tassl.evaluation.protocol import Protocol
from tassl.evaluation.verdict import compare, score_all, tabulate
from tassl.heads import HEADS
from tassl.report.loading import load_run
from tassl.report.reliability import draw_reliability
from tassl.report.styles import Style
from tassl.report.trust import show_trust

ARMS = [Arm("scratch", "", "finetune"), Arm("mae (fine-tuned)", "mae", "finetune")]
PROTOCOL = Protocol(resamples=100)
LOOK = Style("#0072b2", "", "circle")
DRAWS = 3


def say_classes(rng: np.random.Generator, skill: float, classes: int = 3) -> pd.DataFrame:
    """Probabilities for two images of each of 30 subjects."""
    truth = np.arange(60) % classes
    raw = np.exp(rng.normal(size=(60, classes)) + skill * np.eye(classes)[truth])
    columns = {f"score_{k}": column for k, column in enumerate((raw / raw.sum(1)[:, None]).T)}
    return _name(pd.DataFrame({"label": truth} | columns))


def say_numbers(rng: np.random.Generator, skill: float) -> pd.DataFrame:
    """Numbers that are too large by 5, the nearer the better the skill."""
    truth = np.linspace(60.0, 300.0, 60)
    return _name(pd.DataFrame({"value": truth, "predicted": truth + 5 + rng.normal(0, 20, 60)}))


def _name(table: pd.DataFrame) -> pd.DataFrame:
    names = [f"<i>{row}" for row in range(len(table))]
    return table.assign(id=names, subject=np.repeat(np.arange(len(table) // 2), 2))


def invent(folder: Path, task: str, say: Callable[..., pd.DataFrame]) -> Path:
    """The parts of a run folder that the figures are drawn from."""
    (folder / "predictions").mkdir(parents=True)
    (folder / "study.yaml").write_text(f"task: {task}\n")
    (folder / "audit.json").write_text(json.dumps({"unit": "mm"}))
    rng = np.random.default_rng(0)
    tables = {(arm.name, "all"): [say(rng, 2.0) for _ in range(DRAWS)] for arm in ARMS}
    for k, arm in enumerate(ARMS):
        for draw, table in enumerate(tables[arm.name, "all"]):
            file = folder / "predictions" / f"{k}_all_{draw}.parquet"
            table.assign(arm=arm.name).to_parquet(file, index=False)
    metrics = HEADS[task].metrics
    scores = score_all(tables, metrics, PROTOCOL, 0)
    findings = compare(scores, ARMS, metrics[0], PROTOCOL)
    tabulate(scores, ARMS, findings, metrics[0], 0.95).to_csv(folder / "results.csv", index=False)
    return folder


@pytest.mark.parametrize("classes", [2, 4])
def test_bins_are_those_of_a_slow_count(classes: int):
    rng = np.random.default_rng(classes)
    draws = [say_classes(rng, 1.0, classes) for _ in range(DRAWS)]
    (trace,) = draw_reliability({"one": draws}, {"one": LOOK}, 0.95)["data"]
    bins: dict[int, list[tuple[float, bool, int]]] = {}
    for table in draws:
        for _, row in table.iterrows():
            scores = [row[f"score_{k}"] for k in range(classes)]
            entry = (max(scores), int(np.argmax(scores)) == row.label, row.subject)
            bins.setdefault(int(np.ceil(max(scores) * 15)), []).append(entry)
    assert len(trace["x"]) == len(bins)
    for place, key in enumerate(sorted(bins)):
        sure, right, subjects = map(np.array, zip(*bins[key], strict=True))
        assert trace["x"][place] == pytest.approx(sure.mean(), abs=1e-6)
        assert trace["y"][place] == pytest.approx(right.mean(), abs=1e-6)
        low, high = wilson_interval(right.mean(), len(set(subjects)), 0.95)
        assert trace["error_y"]["array"][place] == pytest.approx(high - right.mean(), abs=1e-6)
        assert trace["error_y"]["arrayminus"][place] == pytest.approx(right.mean() - low, abs=1e-6)


def test_classes_show_the_best_arm_beside_its_reference(tmp_path: Path):
    run = load_run(invent(tmp_path / "run", "classification", say_classes))
    (figure,) = show_trust(run)
    assert run.results is not None
    errors = run.results[run.results.metric == "ece"].set_index("arm")["mean"]
    for trace, arm in zip(figure.spec["data"], reversed(ARMS), strict=True):
        assert trace["name"].startswith(f"{arm.name}: ECE {errors[arm.name]:.3f} [")
    Figure(figure.spec)


def test_numbers_show_limits_and_points(tmp_path: Path):
    run = load_run(invent(tmp_path / "run", "regression", say_numbers))
    figures = show_trust(run)
    assert run.results is not None
    assert [figure.id for figure in figures] == ["agreement-0", "agreement-1"]
    reaches = {tuple(figure.spec["layout"]["yaxis"]["range"]) for figure in figures}
    assert len(reaches) == 1
    held = run.results.set_index(["arm", "metric"])
    named = {name.split(" of ")[1].split(",")[0] for name in (f.caption for f in figures)}
    assert named == {arm.name for arm in ARMS}
    for figure in figures:
        arm = figure.caption.split(" of ")[1].split(",")[0]
        shapes = figure.spec["layout"]["shapes"]
        lines = [shape["y0"] for shape in shapes if shape["type"] == "line"]
        wanted = [held.loc[(arm, m), "mean"] for m in ("agreement_high", "bias", "agreement_low")]
        assert lines == pytest.approx(wanted)
        bands = [(shape["y0"], shape["y1"]) for shape in shapes if shape["type"] == "rect"]
        assert all(low < line < high for line, (low, high) in zip(lines, bands, strict=True))
        off = np.array(figure.spec["data"][0]["y"])
        least, most = reaches.copy().pop()
        assert len(off) == 60
        assert least < off.min() < off.max() < most
        assert "<i>" not in "".join(figure.spec["data"][0]["text"])
        Figure(figure.spec)


def test_no_figure_without_predictions(tmp_path: Path):
    folder = invent(tmp_path / "run", "classification", say_classes)
    for file in (folder / "predictions").glob("1_*"):
        file.unlink()
    (figure,) = show_trust(load_run(folder))
    assert [trace["name"].split(":")[0] for trace in figure.spec["data"]] == ["scratch"]
    for file in (folder / "predictions").iterdir():
        file.write_text("damaged")
    assert show_trust(load_run(folder)) == []
    (folder / "results.csv").unlink()
    assert show_trust(load_run(folder)) == []
