"""The report: whole, partial and damaged run folders; escaping; what a browser makes of it."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from plotly.graph_objects import Figure

from report_fixture import PROTOCOL, Plot, invent_run
from tassl.errors import InputError
from tassl.evaluation.columns import columns_of
from tassl.evaluation.segmentation import dice_per_image
from tassl.report import draw_verdict, write_report
from tassl.report.advised import tell_outcome
from tassl.report.cases import choose_gallery
from tassl.report.cases.base import best_arm, pick_ranks
from tassl.report.loading import load_run, read_predictions
from tassl.report.pictures import Plane, fullest_slice, grey_range, show, show_outlined
from tassl.report.rendering import Table
from tassl.report.sketch import choose_ticks
from tassl.report.styles import style_arms
from tassl.report.tables import strengths_table, tuning_table
from tassl.report.words import (
    duration,
    list_cautions,
    markdown,
    number,
    probability,
    signed,
    sort_budgets,
)

ATTACK = "<script>alert(1)</script>"
SECTIONS = [
    "verdict",
    "curve",
    "differences",
    "trust",
    "results",
    "advice",
    "checks",
    "pretraining",
    "cases",
    "audit",
    "record",
]
PARTS = {
    "audit.json": "data audit",
    "advice.json": "advice",
    "pretrain": "pretrainings",
    "results.csv": "results table",
    "verdict.json": "verdict",
    "store": "images",
    "environment.json": "record of versions and times",
}

CHROMIUM = shutil.which("chromium")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@dataclass
class Page(HTMLParser):
    """What stands in a page: tags with their attributes, scripts and plain text."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    scripts: list[tuple[dict[str, str], str]] = field(default_factory=list)
    text: str = ""
    inside: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = {name: value or "" for name, value in attrs}
        self.tags.append((tag, facts))
        self.inside = tag
        if tag == "script":
            self.scripts.append((facts, ""))

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            facts, text = self.scripts[-1]
            self.scripts[-1] = (facts, text + data)
        elif self.inside != "style":
            self.text += data

    @property
    def figures(self) -> dict[str, dict[str, Any]]:
        """Specifications of the interactive figures."""
        data = [(f, t) for f, t in self.scripts if f.get("type") == "application/json"]
        return {facts["id"]: json.loads(text, parse_constant=pytest.fail) for facts, text in data}

    def find(self, tag: str) -> list[dict[str, str]]:
        """Attributes of every tag of this name."""
        return [facts for name, facts in self.tags if name == tag]


def read_page(file: Path) -> Page:
    page = Page()
    page.feed(file.read_text(encoding="utf-8"))
    return page


def write_page(run: Path) -> Page:
    return read_page(write_report(run))


@pytest.fixture(scope="module")
def classified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return invent_run(tmp_path_factory.mktemp("flat") / "run", Plot("classification"))


@pytest.fixture(scope="module")
def segmented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plot = Plot("segmentation", subjects=30, gain=-0.4)
    return invent_run(tmp_path_factory.mktemp("solid") / "run", plot)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plot = Plot("classification", name=ATTACK, note=ATTACK, classes=(ATTACK, "</script>"))
    run = invent_run(tmp_path_factory.mktemp("attack") / "run", plot)
    results = pd.read_csv(run / "results.csv", keep_default_na=False)
    results["arm"] = results.arm.replace({"mae (frozen)": ATTACK, "scratch": "</script><b>x"})
    results.to_csv(run / "results.csv", index=False)
    return run


@pytest.fixture
def run(classified: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(classified, tmp_path / "run"))


def edit_json(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("kind", ["classified", "segmented"])
def test_whole_run_has_every_part(kind: str, request: pytest.FixtureRequest):
    run = request.getfixturevalue(kind)
    page = write_page(run)
    verdict = json.loads((run / "verdict.json").read_text())
    assert verdict["sentence"] in page.text
    shown = [f["id"] for f in page.find("section") if "id" in f]
    assert shown == [name for name in SECTIONS if name != "trust" or kind == "classified"]
    assert not [f for f in page.find("p") if f.get("class") == "absent"]
    for budget in verdict["budgets"]:
        assert f"{budget['difference']['value']:+.3f}" in page.text
    assert (run / "study.yaml").read_text() in page.text
    assert "tassl run images.npz" in page.text
    assert "image-00090" in page.text
    assert "an invented note.png" in page.text


@pytest.mark.parametrize("kind", ["classified", "segmented"])
def test_pictures_and_figures_are_explained(kind: str, request: pytest.FixtureRequest):
    page = write_page(request.getfixturevalue(kind))
    images = page.find("img")
    assert len(images) >= 7 + 7
    assert all(facts["alt"].strip() for facts in images)
    assert all(facts["src"].startswith("data:image/png;base64,") for facts in images)
    assert len(page.find("figure")) == len(page.find("figcaption"))
    assert all(f["aria-label"].strip() for f in page.find("div") if "data-figure" in f)
    drawn = [facts["data-figure"] for facts in page.find("div") if "data-figure" in facts]
    assert drawn == list(page.figures)
    for spec in page.figures.values():
        Figure(spec)  # plotly refuses properties that it does not know


def test_curves_show_the_results(classified: Path):
    page, results = write_page(classified), pd.read_csv(classified / "results.csv")
    figure = page.figures["efficiency-1"]
    rows = results[results.metric == "balanced_accuracy"]
    assert figure["layout"]["xaxis"]["ticktext"] == ["5", "25", "all"]
    assert [trace["name"] for trace in figure["data"]] == list(results.arm.unique())
    for trace in figure["data"]:
        own = rows[rows.arm == trace["name"]].set_index(rows.budget[rows.arm == trace["name"]])
        own = own.loc[["5", "25", "all"]]
        np.testing.assert_allclose(trace["y"], own["mean"], atol=1e-6)
        reach = np.array(trace["y"]) - trace["error_y"]["arrayminus"]
        np.testing.assert_allclose(reach, own.low, atol=1e-5)
        baseline = own.method.isna().all()
        assert (trace["line"]["dash"] != "solid") == baseline


def test_forest_shows_every_comparison(classified: Path):
    results = pd.read_csv(classified / "results.csv")
    forest = write_page(classified).figures["forest"]
    shown = sorted(x for trace in forest["data"] for x in trace["x"])
    np.testing.assert_allclose(shown, sorted(results.difference.dropna()), atol=1e-6)
    low, high = forest["layout"]["xaxis"]["range"]
    assert low < min(0, results.difference_low.min())
    assert high > max(0, results.difference_high.max())
    axis = forest["layout"]["yaxis"]
    label = dict(zip(axis["tickvals"], axis["ticktext"], strict=True))
    for trace in forest["data"]:
        for x, y in zip(trace["x"], trace["y"], strict=True):
            found = results[np.isclose(results.difference, x, atol=1e-6)]
            assert label[y] in set(found.arm)
            assert set(found.verdict) == {trace["name"].partition(":")[0]}


def test_styles_tell_arms_apart():
    names = [f"baseline {k}" for k in range(4)] + [f"arm {k}" for k in range(6)]
    methods = [""] * 4 + ["simclr"] * 6
    looks = style_arms(pd.DataFrame({"arm": names, "method": methods, "adaptation": "finetune"}))
    assert len({(look.colour, look.dash) for look in looks.values()}) == 10
    assert all(
        bool(looks[name].dash) == (method == "")
        for name, method in zip(names, methods, strict=True)
    )


@pytest.mark.parametrize("part", PARTS)
def test_missing_part_is_named(run: Path, part: str):
    path = run / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = write_page(run)
    assert f"left out: {PARTS[part]}." in page.text
    assert f"Not in this run folder: {PARTS[part]}." in (run / "card.md").read_text()


def test_barely_begun_run(run: Path):
    for path in run.iterdir():
        if path.name != "study.yaml":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = write_page(run)
    assert "No verdict yet" in page.text
    assert not page.figures
    assert "There are no results yet." in draw_verdict(run)
    assert "There is no verdict yet." in (run / "card.md").read_text()


def test_pretraining_under_way(run: Path):
    for name in ("health.json", "examples.npz", "checkpoint.json", "history.csv"):
        (run / "pretrain" / "mae" / name).unlink()
    page = write_page(run)
    assert "Its health has not been judged yet." in page.text
    assert "No training history is there yet." in page.text
    assert "training-simclr-loss" in page.figures


@pytest.mark.parametrize(
    "name",
    [
        "audit.json",
        "verdict.json",
        "results.csv",
        "environment.json",
        "store/store.json",
        "store/table.parquet",
        "pretrain/mae/history.csv",
        "pretrain/mae/examples.npz",
        "tuning/scratch.json",
    ],
)
def test_damaged_part_is_left_out_and_named(run: Path, name: str):
    (run / name).write_bytes((run / name).read_bytes()[:20])
    page = write_page(run)
    blamed = "store" if name.startswith("store/") else name
    assert f"{blamed} cannot be read and is left out" in page.text


def test_damaged_predictions_leave_no_cases(run: Path):
    for file in (run / "predictions").iterdir():
        file.write_bytes(b"PAR1")
    assert "No predictions of a pretrained arm are there yet." in write_page(run).text


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: shutil.rmtree(run), "does not exist"),
        (lambda run: (run / "study.yaml").unlink(), "holds no study.yaml"),
        (lambda run: (run / "study.yaml").write_text("a: [1"), "is not readable YAML"),
        (lambda run: (run / "study.yaml").write_text(""), "holds no settings"),
    ],
)
@pytest.mark.parametrize("call", [write_report, draw_verdict])
def test_folder_that_is_no_run_is_refused(run: Path, damage: Any, message: str, call: Any):
    damage(run)
    with pytest.raises(InputError, match=message) as caught:
        call(run)
    assert "\n" not in str(caught.value)


def test_second_time_gives_the_same(run: Path):
    names = ("report.html", "card.md")
    write_report(run)
    first = [(run / name).read_bytes() for name in names]
    write_report(run)
    assert [(run / name).read_bytes() for name in names] == first
    assert not list(run.glob("*.part"))


def test_nothing_is_fetched(classified: Path):
    page = write_page(classified)
    for tag, facts in page.tags:
        for name in ("src", "href", "srcset", "poster", "data", "action"):
            assert facts.get(name, "#").startswith(("#", "data:")), (tag, facts)
    text = (classified / "report.html").read_text()
    style = text[text.index("<style>") : text.index("</style>")]
    assert "@import" not in style
    assert "url(" not in style
    policy = next(f["content"] for f in page.find("meta") if "http-equiv" in f)
    assert policy.startswith("default-src 'none'")
    assert sum("plotly.js v" in script for _, script in page.scripts) == 1


def test_planted_script_stands_escaped(attacked: Path):
    page = write_page(attacked)
    ids = [facts["data-figure"] for facts in page.find("div") if "data-figure" in facts]
    assert [facts.get("id") for facts, _ in page.scripts] == [*ids, None, None]
    assert not any("alert(1)" in text for facts, text in page.scripts if "id" not in facts)
    assert page.text.count(ATTACK) >= 8
    names = [trace["name"] for trace in page.figures["efficiency-0"]["data"]]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in names
    for trace in page.figures["forest"]["data"]:
        assert not any("<script" in text for text in trace["text"])
    assert "<script" not in (attacked / "card.md").read_text()
    ElementTree.fromstring(draw_verdict(attacked))
    assert "<script" not in draw_verdict(attacked)


def test_shuffled_labels_are_announced(run: Path, classified: Path):
    study = yaml.safe_load((run / "study.yaml").read_text())
    (run / "study.yaml").write_text(yaml.safe_dump(study | {"shuffle_labels": True}))
    assert "Negative control: labels were shuffled." in write_page(run).text
    assert "Negative control: labels were shuffled." in (run / "card.md").read_text()
    assert "Negative control" not in write_page(classified).text


@pytest.mark.parametrize(
    ("control", "words"),
    [("shuffle_pixels", "pixels were shuffled"), ("plant_confounder", "a mark was planted")],
)
def test_controls_of_images_are_announced(run: Path, classified: Path, control: str, words: str):
    study = yaml.safe_load((run / "study.yaml").read_text())
    (run / "study.yaml").write_text(yaml.safe_dump(study | {control: True}))
    assert words in write_page(run).text
    assert words in (run / "card.md").read_text()
    assert words not in write_page(classified).text


def save_checks(run: Path, **tables: str) -> None:
    (run / "checks").mkdir(exist_ok=True)
    for name, text in tables.items():
        (run / "checks" / name.replace("_", ".")).write_text(text)


def test_checks_are_shown(run: Path):
    assert "Nothing of this has been measured yet." in write_page(run).text
    ends = "{0},{0}_low,{0}_high,{0}_p"
    gap = ends.format("difference")
    against = ends.format("against")
    drops = f"arm,kind,severity,plain,changed,{gap},{against},p_adjusted\n"
    save_checks(
        run,
        leakage_csv=f"arm,{ends.format('accuracy')},chance,{ends.format('robustness')},sites,"
        "subjects\nmae (frozen),.81,.7,.92,0,.5,,,,,2,64\n",
        subgroups_csv=f"arm,kind,name,subjects,{ends.format('score')}\n"
        "scratch,sex,F,31,.71,.6,1.2,0\nscratch,sex,M,4,,,,\n",
        gaps_csv=f"arm,kind,best,worst,{gap},p\nscratch,sex,F,M,.2,.1,.3,.01,.002\n",
        changes_csv=f"{drops}scratch,blur,3,.8,.61,-.19,-.25,-.13,0,,,,,0\n"
        "scratch,noise,3,.8,.75,-.05,-.1,0,.05,,,,,1\n"
        "scratch,mean of all,3,.8,.68,-.12,-.2,-.04,.01,,,,,.02\n",
        confounder_csv=f"{drops}scratch,no mark,1,.9,.6,-.3,-.4,-.2,0,,,,,.001\n"
        "mae (frozen),no mark,1,.7,.7,0,-.1,.1,1,.3,.2,.4,0,1\n",
        neighbours_csv=f"arm,budget,{ends.format('score')},linear,{ends.format('gain')},fewest,"
        "most\nmae (frozen),5,.62,.5,.7,0,.6,.02,-.1,.14,.7,1,5\n"
        "mae (frozen),all,.77,.7,1.1,0,.8,-.03,-.1,.04,.4,10,50\n",
        notes_json="{}",
    )
    text = write_page(run).text
    for words in (
        "0.810", "[0.700, 0.920]", "64 subjects of 2 sites", "n/a",
        "too few", "[0.600, 1.000]", "+0.200", "0.002",
        "-0.120 [-0.200, -0.040]", "blur, x3 (-0.190)",
        "falls", "no evidence of a fall",
        "0.620 (+0.020)", "[0.700, 1.000]", "-0.030 [-0.100, +0.040]", "10 to 50",
    ):  # fmt: skip
        assert words in text, words
    assert "Nothing of this has been measured yet." not in text


def test_checks_that_could_not_be_made_say_why(run: Path):
    save_checks(run, notes_json='{"leakage": "Fewer than <two> sites are known."}')
    assert "Fewer than &lt;two&gt; sites are known." in (write_report(run)).read_text()
    save_checks(run, leakage_csv="arm,else\nscratch,1\n", changes_csv="arm\n")
    text = write_page(run).text
    assert "checks/leakage.csv cannot be read." in text
    assert "checks/changes.csv cannot be read." in text


def test_tuning_of_every_arm_is_told(run: Path):
    facts = {"arm": "raw pixels", "strengths": [0.1, 1, 10], "chosen": {"5": [0.1, 10], "all": [1]}}
    (run / "tuning" / "raw-pixels.json").write_text(json.dumps(facts))
    loaded = load_run(run)
    trained = {row[0]: row[1:] for row in tuning_table(loaded).rows}
    assert set(trained) == {"scratch", "simclr (fine-tuned)", "mae (fine-tuned)"}
    scores = "rate 0.0003: 0.700; rate 0.001: 0.750; rate 0.003: 0.600"
    assert set(trained.values()) == {("3", "100", "25", "rate 0.001", scores)}
    linear = strengths_table(loaded)
    assert linear.columns[2:] == ("Chosen with 5", "Chosen with all")
    assert linear.rows == (("raw pixels", "3", "0.1, 10", "1"),)
    text = write_page(run).text
    assert scores in text
    assert "0.1, 10" in text


def test_the_epoch_is_told_whose_weights_are_kept(run: Path):
    assert "epochs 12, weights of epoch 12," in write_page(run).text
    file = run / "pretrain" / "mae" / "checkpoint.json"
    edit_json(file, training=json.loads(file.read_text())["training"] | {"kept": 3})
    assert "epochs 12, weights of epoch 3," in write_page(run).text


def test_cautions_are_given_only_where_due(run: Path):
    edit_json(run / "audit.json", notes=[])
    assert list_cautions(load_run(run)) == []

    health = {"verdict": "collapsed at epoch 3: alike", "healthy": False, "action": "Lower it."}
    edit_json(run / "pretrain" / "mae" / "health.json", **health)
    edit_json(run / "verdict.json", test_subjects=19)
    edit_json(run / "audit.json", notes=["no subject ids: each image is its own"])
    page = write_page(run)
    assert "Masked autoencoder is not healthy: collapsed at epoch 3: alike. Lower it." in page.text
    assert "Only 19 subjects were tested." in page.text
    assert "(too few test subjects for any claim)" in page.text
    assert "(too few test subjects for any claim)" in draw_verdict(run)
    assert "The data name no subjects" in page.text
    assert len(list_cautions(load_run(run))) == 3

    results = pd.read_csv(run / "results.csv")
    results.assign(draws=1).to_csv(run / "results.csv", index=False)
    assert "Every budget was drawn once" in write_page(run).text


def test_whether_the_advice_held(run: Path):
    """The fixture's advice puts SimCLR first; the scores are set by hand."""
    metric = json.loads((run / "verdict.json").read_text())["metric"]
    results = pd.read_csv(run / "results.csv")

    def tell(simclr: float, mae: float) -> str:
        means = results.method.map({"simclr": simclr, "mae": mae}).fillna(0.9)
        results.assign(mean=means.where(results.metric == metric, 0.0)).to_csv(
            run / "results.csv", index=False
        )
        return tell_outcome(load_run(run))

    assert tell(0.8, 0.7).startswith("The advice held: it put SimCLR before Masked autoencoder")
    assert "Masked autoencoder 0.700, SimCLR 0.600" in tell(0.6, 0.7)
    assert tell(0.6, 0.7).startswith("The advice did not hold")
    assert "The advice did not hold" in write_page(run).text
    edit_json(run / "advice.json", ranking=[{"method": "mae"}])
    assert tell(0.6, 0.7) == ""


def test_methods_named_by_hand_are_not_said_to_be_advised(run: Path):
    words = "The methods of this run were named by hand: mae, dino."
    for methods in ([], ["mae", "dino"]):
        study = yaml.safe_load((run / "study.yaml").read_text()) | {"methods": methods}
        (run / "study.yaml").write_text(yaml.safe_dump(study))
        assert (words in write_page(run).text) == bool(methods)


def test_given_checkpoints_are_not_missing(run: Path):
    study = yaml.safe_load((run / "study.yaml").read_text())
    given = {"checkpoints": {"ours": "models/ours"}}
    (run / "study.yaml").write_text(yaml.safe_dump(study | given))
    shutil.rmtree(run / "pretrain")
    page = write_page(run)
    assert "left out" not in page.text
    assert "ours: models/ours" in page.text
    assert "ours: the checkpoint models/ours" in (run / "card.md").read_text()


def test_methods_stand_in_the_order_of_the_study(run: Path):
    def order() -> list[str]:
        return [part.method for part in load_run(run).pretrainings]

    study = yaml.safe_load((run / "study.yaml").read_text())
    assert order() == ["simclr", "mae"]
    (run / "study.yaml").write_text(yaml.safe_dump(study | {"methods": ["mae", "simclr"]}))
    assert order() == ["mae", "simclr"]
    (run / "study.yaml").write_text(yaml.safe_dump(study | {"methods": []}))
    assert order() == ["simclr", "mae"]  # that of the advice


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("helps", "no evidence"), "helps"),
        (("no evidence", "hurts"), "hurts"),
        (("no evidence", "no evidence"), "no-evidence"),
        (("helps", "hurts"), "helps-and-hurts"),
    ],
)
def test_verdict_word(run: Path, words: tuple[str, str], shown: str):
    verdict = json.loads((run / "verdict.json").read_text())
    budgets = [found | {"verdict": w} for found, w in zip(verdict["budgets"], words, strict=False)]
    edit_json(run / "verdict.json", budgets=budgets, overall=None)
    page = write_page(run)
    assert {"class": f"verdict {shown}"} in page.find("div")
    assert shown.replace("-", " ").capitalize() in page.text


def test_undefined_numbers_are_shown_as_such(run: Path):
    verdict = json.loads((run / "verdict.json").read_text())
    gone = dict.fromkeys(("value", "low", "high", "p", "detectable"), float("nan"))
    edit_json(run / "verdict.json", budgets=[verdict["budgets"][0] | {"difference": gone}])
    results = pd.read_csv(run / "results.csv")
    results.loc[0, ["mean", "low", "high"]] = np.nan
    results.to_csv(run / "results.csv", index=False)
    page = write_page(run)
    assert "n/a" in page.text
    assert page.figures["efficiency-0"]["data"][0]["y"][0] is None
    ElementTree.fromstring(draw_verdict(run))

    results.assign(mean=np.nan, low=np.nan, high=np.nan).to_csv(run / "results.csv", index=False)
    assert "No predictions of a pretrained arm" in write_page(run).text
    ElementTree.fromstring(draw_verdict(run))


def test_classified_cases(classified: Path):
    run = load_run(classified)
    best = best_arm(run)
    assert best is not None
    arm, budget = best
    results = pd.read_csv(classified / "results.csv")
    rows = results[(results.metric == "auroc") & (results.budget == "all")]
    assert rows.set_index("arm").loc[arm, "mean"] == rows[rows.method.notna()]["mean"].max()
    assert budget == "all"

    table, masks = read_predictions(run, arm, budget)
    assert table is not None
    assert masks is None
    scores = columns_of(table, "score_")
    wrong = scores.argmax(1) != table.label.to_numpy()
    gallery = choose_gallery(run)
    assert gallery is not None
    errors, hits = gallery.groups
    assert wrong.sum() > len(errors.cases) == 6
    surest = table.id[wrong].to_numpy()[np.argsort(-scores.max(1)[wrong], kind="stable")]
    assert [case.id for case in errors.cases] == list(surest[:6])
    assert set(table.id[wrong]).isdisjoint(case.id for case in hits.cases)
    assert f"{wrong.sum()} of {len(table)}" in gallery.summary
    first = table.set_index("id").loc[errors.cases[0].id]
    assert f"truth: {('benign', 'malignant')[int(first.label)]}" in errors.cases[0].facts


def test_cases_without_pictures_keep_their_words(run: Path):
    shutil.rmtree(run / "store")
    page = write_page(run)
    assert "picture not in the run folder" in page.text
    assert "truth: benign" in page.text


def test_segmented_cases(segmented: Path):
    run = load_run(segmented)
    arm, budget = best_arm(run) or ("", "")
    table, masks = read_predictions(run, arm, budget)
    assert table is not None
    assert masks is not None
    order = table.id.to_numpy()[np.argsort(dice_per_image(table), kind="stable")]
    gallery = choose_gallery(run)
    assert gallery is not None
    worst, middle, best = gallery.groups
    assert [case.id for case in worst.cases] == list(order[:3])
    assert [case.id for case in best.cases] == list(order[-3:])
    assert len(middle.cases) == 3
    assert [heading for heading, _ in worst.cases[0].panels] == [
        "image",
        "reference",
        "pretrained",
        "scratch",
    ]
    assert [name for name, _ in gallery.legend] == ["mask value 1", "mask value 2"]


def test_cases_without_predicted_masks(segmented: Path, tmp_path: Path):
    run = Path(shutil.copytree(segmented, tmp_path / "run"))
    for pattern, kept in {"scratch*": "image reference pretrained", "*": "image reference"}.items():
        for file in (run / "predictions").glob(f"{pattern}.npz"):
            file.unlink()
        gallery = choose_gallery(load_run(run))
        assert gallery is not None
        assert [heading for heading, _ in gallery.groups[0].cases[0].panels] == kept.split()
        assert ("cannot be shown" in gallery.summary) == (pattern == "*")
        assert "Dice scratch: " in gallery.groups[0].cases[0].facts[1]


@pytest.mark.parametrize("count", [1, 3, 4, 7, 9, 40])
def test_ranks_repeat_nothing(count: int):
    worst, middle, best = pick_ranks(np.arange(count))
    picked = [*worst, *middle, *best]
    assert len(set(picked)) == len(picked) == min(count, 9)
    assert picked == sorted(picked)
    assert worst[0] == 0
    if count > 3:
        assert best[-1] == count - 1
    if count == 40:
        assert list(middle) == [18, 19, 20]


def decode(source: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


def test_axial_slice_hangs_as_radiologists_do(tmp_path: Path):
    volume = np.zeros((6, 8, 4), np.float32)  # left to right, back to front, foot to head
    volume[5, 7, 2] = 1.0  # the patient's right, in front
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([1, 1, 3, 1])), tmp_path / "v.nii")
    flat = Plane(3, (1.0, 1.0, 3.0)).cut(volume)
    assert flat.shape == (8, 6)
    assert flat[0, 0] == 1.0
    assert Plane(3).cut(np.moveaxis(volume, 2, 0)).tolist() == volume[..., 2].tolist()


def test_lengths_are_true():
    assert Plane(2).enlarge(np.zeros((64, 32))).shape == (192, 96)
    tall = Plane(3, (1.0, 2.0, 1.0)).enlarge(np.zeros((30, 60)))  # rows of 2 mm
    assert tall.shape == (192, 192)
    assert set(np.unique(Plane(2).enlarge(np.eye(5)))) == {0.0, 1.0}


def test_fullest_slice():
    mask = np.zeros((5, 6, 7), np.uint8)
    mask[1, :2], mask[3] = 1, 2
    assert fullest_slice(mask, Plane(3)) == 3
    mask[:, :, 6] = 1
    assert fullest_slice(mask, Plane(3, (1.0, 1.0, 1.0))) == 6
    assert fullest_slice(mask * 0, Plane(3)) is None
    assert fullest_slice(mask[0], Plane(2)) is None


def test_picture_keeps_grey_and_colour():
    image = np.linspace(0, 1, 64 * 64).reshape(1, 64, 64)
    grey = decode(show(image, Plane(2), "ramp").source)
    assert grey.ndim == 2
    assert grey[0, 0] == 0
    assert grey[-1, -1] == 255
    assert (np.diff(grey[::3, 0].astype(int)) >= 0).all()
    colour = decode(show(np.repeat(image, 3, axis=0) * [[[1]], [[0]], [[0]]], Plane(2), "").source)
    assert colour.shape == (192, 192, 3)
    assert colour[-1, -1].tolist() == [255, 0, 0]
    flat = grey_range(np.full((1, 4, 4), 3.0))
    assert flat[1] > flat[0]


def test_outline_is_the_border_only():
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 1
    drawn = decode(show_outlined(np.ones((1, 32, 32)), mask, Plane(2), "", None).source)
    plain = decode(show(np.ones((1, 32, 32)), Plane(2), "").source)
    changed = (drawn != plain[..., None]).any(-1)
    assert changed[48, 48:144].all()
    assert changed[48:144, 143].all()
    assert not changed[47].any()
    assert not changed[60:130, 60:130].any()
    assert changed.sum() == 96**2 - 92**2


def test_sketch_draws_every_arm_and_verdict(classified: Path):
    sketch = ElementTree.fromstring(draw_verdict(classified))
    space = "{http://www.w3.org/2000/svg}"
    assert sketch.get("width") == "800"
    words = [text.text or "" for text in sketch.iter(f"{space}text")]
    results = pd.read_csv(classified / "results.csv")
    assert set(results.arm) <= set(words)
    verdict = json.loads((classified / "verdict.json").read_text())
    assert " ".join(verdict["sentence"].split()) in " ".join(words)
    for budget in verdict["budgets"]:
        assert any(word.endswith(f" {budget['verdict']}") for word in words)
    lines = {
        group.get("stroke"): [float(pair.split(",")[1]) for pair in line.get("points", "").split()]
        for group in sketch.iter(f"{space}g")
        for line in group.iter(f"{space}polyline")
    }
    assert len(lines) == results.arm.nunique()
    heights = np.array(list(lines.values()))
    means = results[results.metric == "auroc"].pivot_table("mean", "arm", "budget", sort=False)
    assert np.corrcoef(heights.ravel(), means.to_numpy().ravel())[0, 1] == pytest.approx(-1, 1e-3)
    assert "<script" not in draw_verdict(classified)


@pytest.mark.parametrize(("low", "high"), [(0.41, 0.98), (0.5, 0.5), (0.9712, 0.9788), (-0.1, 1)])
def test_ticks_embrace_the_values(low: float, high: float):
    ticks = choose_ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert ticks[-1] > ticks[0]
    assert 2 <= len(ticks) <= 7
    assert np.ptp(np.diff(ticks)) < 1e-5


def test_words():
    assert (number(0.81249), number(None), number(float("nan"))) == ("0.812", "n/a", "n/a")
    assert (signed(0.0314), signed(-0.5)) == ("+0.031", "-0.500")
    assert (probability(0.0004), probability(0.0321)) == ("< 0.001", "0.032")
    assert (duration(3.14), duration(75), duration(7384)) == ("3.1 s", "1 min 15 s", "2 h 3 min")
    assert sort_budgets(["all", "100", "5", "25", "5"]) == ["5", "25", "100", "all"]
    assert sort_budgets(["all", "10%", "0.5%", "100%"]) == ["0.5%", "10%", "100%", "all"]
    assert markdown("a_b <i>\n* c|") == r"a\_b &lt;i&gt; \* c\|"
    assert Table(("n", "t"), (("+1.0", "a"), ("", "2b"), ("[1, 2]", "3"))).numeric == (True, False)


def test_report_needs_no_torch():
    code = "import sys, tassl.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@dataclass(frozen=True)
class Visit:
    """What a browser made of a page."""

    dom: str
    console: list[str]
    requests: list[str]


def visit(file: Path, folder: Path, *options: str) -> Visit:
    """Open a page in a browser that can reach nothing, and let its scripts run."""
    assert CHROMIUM is not None
    log = folder / "net.json"
    quiet = "disable-gpu disable-background-networking disable-component-update disable-sync"
    command = [CHROMIUM, "--headless", "--no-sandbox", *(f"--{name}" for name in quiet.split())]
    command += ["--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND", *options]
    command += [f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}"]
    command += ["--enable-logging=stderr", "--v=0", "--virtual-time-budget=10000", "--dump-dom"]
    done = subprocess.run(
        [*command, file.as_uri()], capture_output=True, text=True, check=True, timeout=120
    )
    facts = json.loads(log.read_text())
    start = facts["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    started = [e.get("params", {}) for e in facts["events"] if e["type"] == start]
    # The browser's own errands have no page for an initiator.
    asked = [p["url"] for p in started if p.get("initiator", "not an origin") != "not an origin"]
    return Visit(
        done.stdout,
        [line for line in done.stderr.splitlines() if "CONSOLE" in line],
        [url for url in asked if not url.startswith(("file:", "data:"))],
    )


@needs_browser
@pytest.mark.parametrize("kind", ["classified", "segmented", "attacked"])
def test_browser_draws_every_figure(kind: str, request: pytest.FixtureRequest, tmp_path: Path):
    file = write_report(request.getfixturevalue(kind))
    seen = visit(file, tmp_path)
    figures = len(read_page(file).figures)
    assert figures >= 8
    assert seen.console == []
    assert seen.requests == []
    drawn = Page()
    drawn.feed(seen.dom)
    classes = [facts.get("class", "") for _, facts in drawn.tags]
    assert sum("js-plotly-plot" in name for name in classes) == figures
    assert classes.count("main-svg") >= figures
    assert sum(name.startswith("trace scatter") for name in classes) >= figures
    if kind == "attacked":
        labels = re.findall(r'<text class="legendtext"[^>]*>(.*?)</text>', seen.dom)
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in labels


@needs_browser
def test_browser_check_can_fail(tmp_path: Path):
    page = tmp_path / "page.html"
    page.write_text('<img src="http://example.org/x.png"><script>nothing.here</script>')
    seen = visit(page, tmp_path)
    assert seen.requests == ["http://example.org/x.png"]
    assert any("nothing is not defined" in line for line in seen.console)


@needs_browser
@pytest.mark.parametrize("kind", ["classified", "segmented"])
def test_page_fits_a_phone(kind: str, request: pytest.FixtureRequest, tmp_path: Path):
    file = write_report(request.getfixturevalue(kind))
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe src="{file.as_uri()}" width="390" height="1600" style="border: 0"></iframe>'
        "<script>onload = () => { const page = frames[0].document.documentElement;"
        "document.body.dataset.width = page.scrollWidth; }</script>"
    )
    seen = visit(frame, tmp_path, "--allow-file-access-from-files", "--hide-scrollbars")
    assert re.findall(r'data-width="(\d+)"', seen.dom) == ["390"]


def test_draws_are_those_of_the_protocol(classified: Path):
    assert f"in {PROTOCOL.draws} random draws" in write_page(classified).text
