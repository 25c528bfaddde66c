"""What report and terminal say of the pilots, and whether their expectation held."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from report_fixture import Plot, invent_run
from tassl.advisor.evidence import own_scouts
from tassl.advisor.evidence.adding import add
from tassl.advisor.evidence.own_scouts import read_scout
from tassl.advisor.evidence.reading import load
from tassl.data.files import write_json
from tassl.errors import InputError, RunFolderError
from tassl.methods import METHODS
from tassl.report import write_report, write_scout
from tassl.report.foretold import tell_foresight
from tassl.report.loading import Run, load_run
from tassl.report.scout_figures import draw_gains, draw_rungs
from tassl.scouting.alignment import ASKED
from tassl.scouting.deciding import BEST
from tassl.scouting.records import Survey, Tried
from tassl.scouting.telling import tell_survey

HELD = dict.fromkeys(ASKED, 0.5)
GAINS = {"prior": (2.0, -4.0, 8.0), "measured": (5.0, 1.0, 9.0), "posterior": (4.0, 1.0, 7.0)}
CURVE = ((0.125, 0.6), (0.25, 0.7), (0.5, 0.8))
BEST_ONE = Tried(
    "mae", "", 600.0, **GAINS, best=0.9, profile=HELD, share=0.5, scores={"frozen": 0.8},
    health="healthy", curve=CURVE,
)  # fmt: skip
FOUND = Survey(
    answer=BEST,
    method="mae",
    because=("an invented reason",),
    helps=0.95,
    loss=0.2,
    needed=None,
    floor="random features",
    floors={"random features": {"frozen": 0.65}},
    random=HELD,
    tried=(
        BEST_ONE,
        replace(BEST_ONE, method="swin-unetr", best=0.1),
        Tried("moco", "failed: RuntimeError: planted", 500.0),
    ),
    labelled=50,
    seconds=(90.0, 120.0),
    everything=1800.0,
)
FACTS = {"task": "classification", "modality": "ultrasound", "vetoes": {"jigsaw": "small images"}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = invent_run(tmp_path_factory.mktemp("run") / "run", Plot("classification", subjects=60))
    write_json(folder / "scout.json", FOUND.facts() | FACTS)
    return folder


def test_a_report_tells_of_its_pilots_and_one_without_them_does_not(run: Path):
    page = write_report(run).read_text()
    section = page.split('<section id="scout">')[1].split("</section>")[0]
    for words in (BEST, "an invented reason", "Rung by rung", "site leakage", "RuntimeError"):
        assert words in section
    for told in ("+2.0 [-4.0, +8.0]", "+5.0 [+1.0, +9.0]", "+4.0 [+1.0, +7.0]"):
        assert told in section
    assert "5% of the 30 min" in section
    assert tell_foresight(load_run(run)).replace("'", "&#39;") in section
    (run / "scout.json").rename(run / "hidden.json")
    try:
        assert 'id="scout"' not in write_report(run).read_text()
        with pytest.raises(InputError, match="Give a folder that 'tassl scout' wrote"):
            write_scout(run)
    finally:
        (run / "hidden.json").rename(run / "scout.json")


def test_a_scout_becomes_evidence_that_is_marked_as_doubtful(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TASSL_CACHE", str(tmp_path / "home"))
    for name in ("scout.json", "audit.json", "study.yaml"):
        (tmp_path / name).write_text((run / name).read_text())
    assert add([tmp_path])["comparisons"] == 1
    assert set(add([tmp_path]).values()) == {0}
    (row,) = (row for row in load(local=True).comparisons if row["study_id"].startswith("run-"))
    assert row["doubtful"]
    assert row["winner"].split(" = ")[0] == "Masked autoencoder, 50% of the usual epochs"
    values = {
        result["method"]: result["value"]
        for result in load(local=True).results
        if result["case_id"] == row["case_id"]
    }
    assert values["random features"] == 0.65
    assert len(values) == 3
    study = yaml.safe_load((run / "study.yaml").read_text())
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study | {"shuffle_labels": True}))
    with pytest.raises(RunFolderError, match="negative control"):
        read_scout(tmp_path)
    write_json(tmp_path / "scout.json", FOUND.facts() | FACTS | {"floors": {}})
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    with pytest.raises(RunFolderError, match="measured nothing"):
        read_scout(tmp_path)
    (tmp_path / "scout.json").write_text("{")
    with pytest.raises(RunFolderError, match="is damaged"):
        read_scout(tmp_path)


def test_of_an_error_evidence_holds_the_share_that_is_left():
    rows = list(own_scouts._list_rows(FOUND.facts() | FACTS | {"task": "regression"}))
    assert [float(row["mean"]) for row in rows] == pytest.approx([0.35, 0.2, 0.2])


def make_run(run: Path, value: float, low: float, high: float, metric: str = "auroc") -> Run:
    """A run whose one pretrained arm with all labels differs so from the best baseline."""
    told = {"reference": "scratch", "verdict": "no evidence", "draws": 3, "test_subjects": 40}
    arms = [("mae (frozen)", 0.6, np.nan), ("mae (fine-tuned)", 0.7, value)]
    rows = [
        {"arm": arm, "method": "mae", "adaptation": "", "budget": budget, "metric": metric,
         "mean": mean, "low": 0.5, "high": 0.9, "difference": gap, "difference_low": low,
         "difference_high": high} | told
        for arm, mean, gap in arms for budget in ("5", "all")
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    table.loc[table.budget == "5", "difference"] = -0.5
    return replace(load_run(run), results=table, verdict={"metric": metric})


def test_an_expectation_holds_where_both_errors_span_the_gap(run: Path):
    # Errors: 3 / 1.2816 = 2.341 points expected, 2 / 1.9600 = 1.020 measured; 2.554 together.
    for gap, held in ((4.9, "held"), (5.1, "did not hold")):
        value = (4.0 + gap) / 100
        told = tell_foresight(make_run(run, value, value - 0.02, value + 0.02))
        assert f"expectation {held}:" in told
        assert "mae (fine-tuned) against scratch" in told
        assert "with all labels" in told


@pytest.mark.parametrize(("difference", "held"), [(-3.0, "held"), (3.0, "did not hold")])
def test_of_an_error_only_the_sign_is_compared(run: Path, difference: float, held: str):
    told = tell_foresight(make_run(run, difference, difference - 1, difference + 1, "mae"))
    assert f"expectation {held}:" in told


def test_nothing_is_foretold_of_what_was_not_measured(run: Path):
    whole = make_run(run, 0.1, 0.0, 0.2)
    assert tell_foresight(replace(whole, scout={})) == ""
    assert tell_foresight(replace(whole, verdict={})) == ""
    assert tell_foresight(replace(whole, scout={**whole.scout, "method": "moco"})) == ""


@pytest.mark.parametrize("scale", [0.03, 1.0, 40.0])
def test_ticks_of_gains_hold_every_interval_and_nothing(scale: float):
    item = {"method": "mae"} | {kind: [scale * v for v in gain] for kind, gain in GAINS.items()}
    drawn = draw_gains([item])
    (row,), (first, *_, last) = drawn["rows"], drawn["ticks"]
    assert all(first[0] <= bar.low < bar.x < bar.high <= last[0] for bar in row.bars)
    zero = next(x for x, word in drawn["ticks"] if word == "+0")
    assert (row.bars[0].x - zero) / (row.bars[2].x - zero) == pytest.approx(2 / 4, rel=0.01)


def test_rungs_lie_evenly_and_higher_scores_higher():
    drawn = draw_rungs([{"method": "mae", "curve": CURVE}], 0.65)
    (curve,) = drawn["curves"]
    x, y = zip(*[mark[:2] for mark in curve.marks], strict=True)
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.11)
    assert y[0] > drawn["floor"] > y[1] > y[2]
    assert drawn["floor"] == pytest.approx((y[0] + y[1]) / 2, abs=0.11)
    assert draw_rungs([{"method": "mae", "curve": ()}], None) == {}


def test_the_terminal_tells_every_candidate_and_profile_in_80_columns():
    lines = list(tell_survey(FOUND))
    assert max(map(len, lines)) <= 80
    assert lines[0] == f"{BEST}: {METHODS['mae'].title}"
    for tried in FOUND.tried:
        assert any(line.strip().startswith(tried.method) for line in lines)
    random, mae, swin = (line.split() for line in lines if line.count("0.50") == len(ASKED))
    assert (random[0], mae[0], swin[0]) == ("random", "mae", "swin-unetr")
    assert mae[-1] == "10m"
