"""The page of advice shows what the advisor says, offline, to eyes and keyboards."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tassl.advisor.advice import weigh
from tassl.advisor.evidence import load
from tassl.advisor.evidence.browsing import count_cells
from tassl.errors import OptionError
from tassl.methods import METHODS, PARADIGMS
from tassl.modality import MODALITIES
from tassl.report.advice_page import Situation, list_situations, tell_cells, write_advisor

ASKED = (
    Situation("ultrasound", 2, "classification", 50, 5_000, False),
    Situation("ct", 3, "segmentation", 10, 500, False),
    Situation("histopathology", 2, "classification", 250, 50_000, True),
    Situation("pet", 3, "reconstruction", 10, 500, False),
)
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_advisor(tmp_path_factory.mktemp("page") / "advisor.html")


@pytest.fixture(scope="module")
def facts(page: Path) -> dict:
    found = re.search(
        r'<script type="application/json" id="facts">(.*?)</script>', page.read_text()
    )
    assert found
    return json.loads(found[1].replace("<\\/", "</"))


class TestFacts:
    def test_every_situation_is_there(self, facts: dict):
        keys = [situation.key for situation in list_situations()]
        assert len(set(keys)) == len(keys)
        assert set(facts["situations"]) == set(keys)

    @pytest.mark.parametrize("situation", ASKED, ids=lambda situation: situation.key)
    def test_they_are_what_the_advisor_says(self, facts: dict, situation: Situation):
        advice, told = weigh(situation.query), facts["situations"][situation.key]
        assert facts["words"][told["answer"]] == advice.answer
        assert [facts["words"][k] for k in told["because"]] == list(advice.because)
        assert [row[0] for row in told["ranking"]] == [item.method for item in advice.ranking]
        for row, item in zip(told["ranking"], advice.ranking, strict=True):
            expected = (item.gain.mean, *item.gain.likely, *item.gain.wide, 100 * item.best)
            assert row[1] == pytest.approx(expected, abs=0.006)
        assert dict(told["vetoes"]).keys() == advice.vetoes.keys()

    def test_cells_hold_the_studies_of_the_evidence(self):
        counts = count_cells(load())
        cells = tell_cells(load())
        for modality in MODALITIES:
            for task in ("classification", "segmentation", "detection"):
                for paradigm in PARADIGMS:
                    told = cells.get(f"{modality}|{task}|{paradigm}", [])
                    assert len({study for study, _ in told}) == counts[modality, task, paradigm]


class TestPage:
    def test_needs_no_network(self, page: Path):
        text = page.read_text()
        assert not re.search(r"<(script|link|img)[^>]+(src|href)=\"(?!data:)", text)
        assert len(text) < 4_000_000

    def test_is_not_overwritten(self, page: Path):
        before = page.read_bytes()
        with pytest.raises(OptionError, match="exists"):
            write_advisor(page)
        assert page.read_bytes() == before

    def test_folder_that_is_missing(self, tmp_path: Path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OptionError, match="cannot be written"):
            write_advisor(tmp_path / "file" / "advisor.html")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
class TestBrowser:
    @pytest.mark.parametrize("situation", ASKED, ids=lambda situation: situation.key)
    def test_shows_the_situation_of_its_address(self, page: Path, tmp_path, situation: Situation):
        advice = weigh(situation.query)
        shown = browse(page, tmp_path, situation)
        assert re.findall(r'<tr data-method="([a-z-]+)">', shown) == [
            item.method for item in advice.ranking
        ]
        assert f'<p class="word">{advice.answer.capitalize()}</p>' in shown
        for item in advice.ranking:
            assert METHODS[item.method].title in shown
        assert shown.count('class="here') == len(PARADIGMS)

    def test_impossible_numbers_are_told(self, page: Path, tmp_path: Path):
        shown = browse(page, tmp_path, Situation("ct", 3, "segmentation", 1_000, 500, False))
        assert "More labelled images than images" in shown


def browse(page: Path, profile: Path, situation: Situation) -> str:
    """What the page holds once its code has run."""
    chosen = {
        "modality": situation.modality,
        "dims": situation.dims,
        "task": situation.task,
        "labels": situation.labels,
        "images": situation.images,
        "natural": int(situation.natural),
    }
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += ["--no-first-run", "--disable-background-networking", f"--user-data-dir={profile}"]
    command += ["--virtual-time-budget=5000", f"{page.as_uri()}#{urlencode(chosen)}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
