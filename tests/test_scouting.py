"""Small pilots: what they may see, who goes on, and what is concluded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.linear_model import Ridge

import tassl
from tassl.advisor import Query
from tassl.advisor.advice import LEVEL_POINTS
from tassl.advisor.outlook import draw_gains
from tassl.checkpoint import build_encoder
from tassl.data.phantom import PhantomSpec, draw_cohort, save_npz
from tassl.errors import OptionError
from tassl.methods import METHODS
from tassl.pretraining import Schedule
from tassl.scouting import alignment, comparing, deciding, pilots, race, surveying, yardstick
from tassl.scouting.deciding import (
    BEST,
    FEW,
    LEVEL,
    NOT,
    PRIOR,
    SHORT,
    SLIGHT,
    UNSURE,
    Belief,
    Decision,
    Parts,
)
from tassl.scouting.ground import Ground
from tassl.scouting.pilots import Floor, Pilot, Voice
from tassl.scouting.points import sample_points
from tassl.scouting.records import Survey
from tassl.scouting.restoring import score_restored, undo_points
from tassl.scouting.rungs import (
    LEAST,
    RESERVE,
    RUNGS,
    Cost,
    Looks,
    explain_shortage,
    next_rung,
)
from tassl.scouting.weighing import explain
from tassl.study import Study, pretraining, running
from tassl.study.choosing import seek_advice
from tassl.study.clock import Clock
from tassl.study.narrator import Narrator
from tassl.study.preparation import Prepared, labelled_rows, prepare
from tassl.study.running import prepare_data
from tassl.study.scouting import expect_gains, lay_ground, list_candidates
from tassl.transforms.acquired import Acquired
from tassl.trials.targets.images import INPUT

KIND = {"modality": "ultrasound", "task": "classification"}
SCHEDULE = Schedule(epochs=8, batch=16, course="constant")
SILENT = Narrator(quiet=True)
VOICE = Voice(SILENT.say, SILENT.stage)
METHOD_OF = {"contrastive": ("simclr", "moco"), "generative": ("mae", "denoise")}
FIELD = ("mae", "simclr", "denoise", "moco")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 images of 40 subjects."""
    spec = PhantomSpec(subjects=40, images_per_subject=2, size=20, seed=2)
    file = save_npz(draw_cohort(spec), tmp_path_factory.mktemp("cohort") / "cohort.npz")
    arrays = dict(np.load(file))
    np.savez(file, **arrays, values=arrays["volumes_ml"])
    return file


@pytest.fixture(scope="module")
def ground(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return make_ground(cohort, tmp_path_factory.mktemp("store"))


def make_ground(data: Path, folder: Path, **choices: object) -> Ground:
    study = Study(data=str(data), steps=2, **(KIND | choices))
    return lay_ground(study, prepare(study, folder, SILENT))


# --- labels -------------------------------------------------------------------------------------


def test_no_label_but_those_of_training_subjects_is_ever_used(ground: Ground):
    table = ground.bench.tensors.store.table
    study = Study(data="", **KIND)
    assert len(ground.bench.test) == len(ground.bench.val) == 0
    assert set(ground.rows) <= set(ground.labelled) < set(ground.pool) < set(range(len(table)))
    assert study.task == "classification"
    whole = set(table.subject) - set(table.subject.to_numpy()[ground.pool])
    assert whole
    assert set(ground.subjects).isdisjoint(whole)


def test_labels_outside_training_do_not_change_a_score(ground: Ground):
    features = np.random.default_rng(0).normal(size=(len(ground.rows), 6))
    told = yardstick.probe_vectors(ground, features)
    target = ground.bench.target.copy()
    target[np.setdiff1d(np.arange(len(target)), ground.labelled)] = -7
    hidden = replace(ground, bench=replace(ground.bench, target=target))
    assert yardstick.probe_vectors(hidden, features) == told


def test_subjects_never_stand_on_both_sides_of_a_part(ground: Ground):
    assert len(ground.parts) == 10
    for fitted, scored in ground.parts:
        assert not set(ground.subjects[fitted]) & set(ground.subjects[scored])
        assert len(set(ground.strata[scored])) == 2


def test_a_probe_tells_signal_from_noise(ground: Ground):
    noise = np.random.default_rng(0).normal(size=(len(ground.rows), 6))
    signal = noise + 5 * ground.strata[:, None]
    for way, scores in yardstick.probe_vectors(ground, signal).items():
        assert np.mean(scores) > 0.95, way
    assert 0.2 < np.mean(yardstick.probe_vectors(ground, noise)[yardstick.FROZEN]) < 0.8


@pytest.mark.parametrize("task", ["segmentation", "regression"])
def test_other_tasks_have_a_yardstick_too(cohort: Path, tmp_path: Path, task: str):
    ground = make_ground(cohort, tmp_path, task=task)
    torch.manual_seed(0)
    encoder = build_encoder(ground.bench.recipe)
    scores = yardstick.probe(ground, encoder)
    assert set(scores) == {yardstick.FROZEN}
    assert len(scores[yardstick.FROZEN]) == len(ground.parts)
    start = lambda: (build_encoder(ground.bench.recipe), None)  # noqa: E731
    (tuned,) = yardstick.tune(ground, start, slice(1))
    assert np.isfinite([*scores[yardstick.FROZEN], tuned]).all()


def test_skill_of_a_constant_is_zero_and_of_the_truth_one(cohort: Path, tmp_path: Path):
    ground = make_ground(cohort, tmp_path, task="regression")
    fitted, scored = (ground.rows[places] for places in ground.parts[0])
    bench = replace(ground.bench, test=scored)
    table = bench.tensors.store.table.iloc[scored][["id", "subject", "value"]]
    usual = float(np.median(bench.target[fitted]))
    assert yardstick.score(bench, table.assign(predicted=usual), fitted) == pytest.approx(0)
    assert yardstick.score(bench, table.assign(predicted=table.value), fitted) == 1


@pytest.fixture(scope="module")
def noisy(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    folder = tmp_path_factory.mktemp("noisy")
    return make_ground(cohort, folder, task="reconstruction", degrade="noise:0.5")


def test_restoring_is_scored_by_the_error_that_is_gone(noisy: Ground):
    tensors, rows = noisy.bench.tensors, noisy.rows
    assert isinstance(tensors, Acquired)
    bench = replace(noisy.bench, test=rows)
    rest = bench.kind.floor(bench, INPUT).table.psnr.mean()
    halved = rest + 10 * np.log10(2)
    assert score_restored(bench, rest) == pytest.approx(0)
    assert score_restored(bench, halved) == pytest.approx(0.5)
    told = sample_points(tensors.clean(rows), 1).numpy()
    nothing = np.random.default_rng(0).normal(size=told.shape)
    assert np.min(undo_points(noisy, told, 1)) > 0.95
    assert -0.1 < np.mean(undo_points(noisy, nothing, 1)) < 0.6


def test_restorers_are_fine_tuned_on_folds(noisy: Ground):
    start = lambda: (build_encoder(noisy.bench.recipe), None)  # noqa: E731
    (tuned,) = yardstick.tune(noisy, start, slice(1))
    assert -1 < tuned < 1
    assert set(yardstick.probe(noisy, start()[0])) == {yardstick.FROZEN}


def test_without_clean_images_nothing_is_scored(cohort: Path, tmp_path: Path):
    assert not make_ground(cohort, tmp_path, task="reconstruction", clean="none").parts


# --- comparing ----------------------------------------------------------------------------------


def test_worse_is_told_by_nadeau_and_bengios_test():
    rng = np.random.default_rng(0)
    for shift in (0.0, -0.02, -0.05, -0.1):
        one, other = rng.normal(0.7, 0.05, 10) + shift, np.full(10, 0.7)
        gaps = one - other
        t = gaps.mean() / np.sqrt((1 / 10 + 1 / 4) * gaps.var(ddof=1))
        assert comparing.is_worse(one, other, 5) == (stats.t.cdf(t, 9) < 0.05)


def test_features_count_by_the_better_way_on_shared_parts():
    scores = {"frozen": [0.6, 0.6, 0.9, 0.9], "fine-tuned": [0.7, 0.7], "nearest neighbours": [1.0]}
    np.testing.assert_array_equal(comparing.pick_scores(scores, 4), [0.7, 0.7, np.nan, np.nan])
    assert comparing.pick_floor({"a": {"frozen": [0.5] * 4}, "b": scores}, 4)[0] == "b"


# --- rungs --------------------------------------------------------------------------------------


def test_climbing_pays_for_every_epoch_once_and_for_cooldowns_twice():
    cost = Cost("mae", Schedule(epochs=80, batch=8, course="constant"), 0.0, 1.0, 0.0)
    cooldowns = sum(cost.at(r).epochs - cost.at(r).cooling_from for r in RUNGS[:-1])
    assert sum(map(cost.training, RUNGS)) == 80 + cooldowns
    staged = replace(cost, method="mae-simclr")
    assert sum(map(staged.training, RUNGS)) == sum(80 * r for r in RUNGS)


def test_the_next_rung_is_climbed_only_where_all_can():
    costs = [Cost("mae", SCHEDULE, 0.0, 10.0, 0.0), Cost("moco", SCHEDULE, 0.0, 20.0, 0.0)]
    looks = Looks(1.0, 5.0)
    need = sum(cost.training(0.5) + 6 for cost in costs)
    assert next_rung(costs, looks, LEAST, need) == 0.5
    assert next_rung(costs, looks, LEAST, need - 1) is None
    assert next_rung(costs, looks, 1.0, 1e9) is None


# --- deciding -----------------------------------------------------------------------------------


def believe(*means: float, error: float = 1.0) -> Belief:
    return Belief(np.array(means, dtype=float), error**2 * np.eye(len(means)))


@pytest.mark.parametrize(
    ("belief", "answer", "place"),
    [
        (believe(2, 8), BEST, 1),
        (believe(5, 5.2, error=0.3), LEVEL, 0),
        (believe(-3, -1), NOT, 1),
        (believe(3, 5, error=9), UNSURE, 1),
        (believe(1, error=2), UNSURE, 0),  # the best of one, and as likely as not no help
        (believe(-2, error=4), UNSURE, 0),
    ],
)
def test_the_answer_follows_from_what_is_believed(belief: Belief, answer: str, place: int):
    found = deciding.decide(belief, seconds=[1.0, 2.0])
    assert (found.answer, found.place) == (answer, place)
    assert sum(found.best) == pytest.approx(1)
    assert found.loss >= 0


def test_probability_and_loss_agree_with_the_normal_distribution():
    found = deciding.decide(believe(-0.5, 2), seconds=[1, 1])
    gap, spread = 2.5, np.sqrt(2)
    behind = spread * stats.norm.pdf(gap / spread) - gap * stats.norm.sf(gap / spread)
    assert found.best[1] == pytest.approx(stats.norm.cdf(gap / spread), abs=0.01)
    assert found.helps == pytest.approx(stats.norm.cdf(2), abs=0.01)
    assert found.loss == pytest.approx(behind, abs=0.02)


def test_weighing_is_bayes_rule():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(2, 3, 3))
    prior, measured = (Belief(rng.normal(size=3), r @ r.T + np.eye(3)) for r in root)
    exact = [np.linalg.inv(b.covariance) for b in (prior, measured)]
    covariance = np.linalg.inv(sum(exact))
    mean = covariance @ (exact[0] @ prior.mean + exact[1] @ measured.mean)
    found = deciding.update(prior, measured)
    np.testing.assert_allclose(found.mean, mean)
    np.testing.assert_allclose(found.covariance, covariance)


def test_measured_gains_have_the_corrected_error_of_their_mean():
    rng = np.random.default_rng(0)
    floor = rng.normal(0.6, 0.1, 10)
    one = floor + rng.normal(0.05, 0.02, 10)
    found = deciding.measure_gains(Parts(deciding.list_gains([one], floor), 5, 500, ranked=True))
    gains = 100 * (one - floor)
    assert found.mean[0] == pytest.approx(gains.mean())
    reach = stats.t.ppf(0.9, 9) * np.sqrt((1 / 10 + 1 / 4) * gains.var(ddof=1))
    assert found.interval(0) == pytest.approx((gains.mean() - reach, gains.mean() + reach))


POWER = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)


def test_needed_subjects_follow_from_the_variance_of_means_over_those_scored():
    gains = np.random.default_rng(0).normal([[5.0], [20.0]], 6.0, (2, 10))
    for rival, apart in ((0, gains[1] - gains[0]), (None, gains[1])):
        needed = deciding.count_needed(Parts(gains, 5, 40, ranked=False), 1, rival)
        error = apart.mean() / POWER
        assert needed == np.ceil(40 * apart.var(ddof=1) / 5 / error**2)
    level = gains - gains.mean(1, keepdims=True)
    needed = deciding.count_needed(Parts(level, 5, 40, ranked=False), 1, None)
    assert needed == np.ceil(40 * level[1].var(ddof=1) / 5 / (LEVEL_POINTS / POWER) ** 2)


@pytest.mark.parametrize("each", [1, 2, 10])
def test_needed_subjects_do_not_hang_on_the_size_of_folds_that_rank(each: int):
    rng = np.random.default_rng(0)
    ill, well = rng.random((2, 20_000, each))
    auroc = 100 * (ill[:, :, None] > well[:, None]).mean((1, 2))
    needed = deciding.count_needed(Parts(auroc[None] - 50, 5, 10 * each, ranked=True), 0, None)
    # Mann and Whitney: (1 / p + 1 / q) / 12 for many of either class.
    assert needed == pytest.approx(100**2 * 4 / 12 / (LEVEL_POINTS / POWER) ** 2, rel=0.03)


def test_candidates_that_go_together_tell_no_more_than_one():
    """Three times the same gains have the degrees of freedom of one."""
    gains = np.random.default_rng(0).normal(3.0, 6.0, (1, 10))
    one, three = (
        deciding.measure_gains(Parts(np.repeat(gains, times, 0), 5, 500, ranked=True))
        for times in (1, 3)
    )
    assert three.interval(2) == pytest.approx(one.interval(0))


def test_parts_that_agree_by_chance_are_not_sure():
    """Of 2 and 2 subjects a part's area moves by 25 points when two change their order."""
    same = np.zeros((3, 10))
    found = deciding.measure_gains(Parts(same, 5, 20, ranked=True))
    reach = stats.t.ppf(0.9, 3 * 9) * np.sqrt((1 / 10 + 1 / 4) * 25**2 / 10)
    assert found.interval(1) == pytest.approx((-reach, reach))
    assert found.covariance[0, 1] == 0
    assert deciding.count_needed(Parts(same, 5, 20, ranked=True), 0, None) > 20
    assert deciding.measure_gains(Parts(same, 5, 20, ranked=False)).error.tolist() == [0, 0, 0]


def test_reasons_say_where_not_all_labels_are_scored(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
):
    known = len(set(ground.subjects))
    monkeypatch.setattr("tassl.scouting.ground.MOST_ROWS", 20)
    unsure = Decision(UNSURE, 0, (1.0,), 1.0, 0.5, needed=90)
    pilot, gain = Pilot("mae", 1.0, {}, "healthy", 1.0), (0.1, -1.0, 1.0)
    floor = Floor({}, {}, 3, 1.0, 1.0, 1.0)
    few = replace(ground)
    wanted = f"pilots are scored on {len(set(few.subjects))} of {known}; 'tassl run' uses them all"
    for own, told in ((few, True), (ground, False)):
        reasons = explain(own, unsure, [pilot], [(gain, None, gain)], "raw pixels", floor)
        assert (wanted in reasons) is told
        assert any("about 90 labelled subjects would tell whether" in why for why in reasons)


def test_a_prior_is_the_advisors_own():
    query = Query("ultrasound", "classification", labels=50, images=500)
    found = expect_gains(query, FIELD, 0.8)
    paradigms, draws = draw_gains(query, 0.8)
    for k, name in enumerate(FIELD):
        own = draws[:, paradigms.index(METHODS[name].paradigm)]
        assert found.mean[k] == pytest.approx(own.mean())
        assert found.error[k] > own.std()
    assert np.linalg.eigvalsh(found.covariance).min() > 0


def test_every_paradigm_sends_a_candidate_before_any_sends_two(cohort: Path, tmp_path: Path):
    study = Study(data=str(cohort), **KIND)
    names = list_candidates(seek_advice(study, prepare(study, tmp_path, SILENT)))
    paradigms = [METHODS[name].paradigm for name in names]
    first = len(set(paradigms))
    assert len(names) == len(set(names)) > first
    assert len(set(paradigms[:first])) == first


# --- the walk, with pilots whose scores are planted ----------------------------------------------


Plant = Callable[[str, float], float]


@pytest.fixture
def walk(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Run a survey in which a method's mean score is planted; the noise of parts is shared."""
    noise = np.random.default_rng(0).normal(0, 0.05, 10)

    def run(plant: Plant, seconds: float = 1e6, used: Ground = ground) -> Survey:
        def draw(mean: float, number: int) -> dict[str, list[float]]:
            own = np.random.default_rng(number).normal(0, 0.004, 10)
            return {"frozen": (mean + noise + own - own.mean()).tolist()} if used.parts else {}

        def fly(_: Ground, cost: Cost, share: float, *more: object) -> Pilot:
            flown.append((cost.method, share))
            if (mean := plant(cost.method, share)) < 0:
                return Pilot(cost.method, share, {}, "", 1.0, "RuntimeError: planted")
            health = "collapsed at epoch 1: planted" if mean == 0 else "healthy"
            return Pilot(cost.method, share, draw(mean, FIELD.index(cost.method)), health, 1.0)

        floor = Floor({"random features": draw(0.6, 9)} if used.parts else {}, {}, 0, 1.0, 1.0, 2.0)
        flown.clear()
        run.folder.mkdir(exist_ok=True)
        monkeypatch.setattr(surveying, "measure_floor", lambda *_: floor)
        monkeypatch.setattr(Parts, "least", 0.0)  # as if many subjects were labelled
        monkeypatch.setattr(race, "measure_pilot", lambda g, m, s, f: COSTS[m])
        monkeypatch.setattr(race, "fly", fly)
        monkeypatch.setattr(race, "finish", lambda g, pilot, parts, f: pilot)
        flat = lambda methods, base: believe(*[0.0] * len(methods), error=9)  # noqa: E731
        schedules = dict.fromkeys(FIELD, SCHEDULE)
        return surveying.survey(used, schedules, seconds, run.folder, prior=flat, voice=VOICE)

    run.flown, run.folder = (flown := []), tmp_path / "scout"  # type: ignore[attr-defined]
    return run


COSTS = {name: Cost(name, SCHEDULE, 0.0, 10.0 + k, 1.0) for k, name in enumerate(FIELD)}


def test_a_planted_best_wins(walk: Callable):
    found = walk(lambda method, share: 0.9 if method == "moco" else 0.7)
    assert (found.answer, found.method) == (BEST, "moco")
    assert found.helps > 0.99
    assert found.loss < 1


def test_the_worse_of_a_paradigm_goes_early_and_the_better_never(walk: Callable):
    planted = {"mae": 0.55, "denoise": 0.5, "simclr": 0.9, "moco": 0.8}
    found = walk(lambda method, share: planted[method])
    fates = {tried.method: tried for tried in found.tried}
    assert {name for name in fates if not fates[name].fate} == {"mae", "simclr"}
    assert "worse than SimCLR" in fates["moco"].fate
    assert fates["moco"].share == RUNGS[0]
    assert fates["mae"].share == RUNGS[-1]
    assert walk.flown.count(("moco", RUNGS[0])) == 1
    assert ("moco", RUNGS[1]) not in walk.flown


def test_candidates_that_do_not_differ_are_called_so_and_the_cheapest_is_chosen(walk: Callable):
    found = walk(lambda method, share: 0.75)
    assert (found.answer, found.method) == (LEVEL, "mae")


def test_where_nothing_helps_the_answer_is_not_to_pretrain(walk: Callable):
    found = walk(lambda method, share: 0.5)
    assert found.answer == NOT
    assert found.helps < 0.2


def test_a_small_gain_asks_for_more_time_until_none_would_tell_more(walk: Callable):
    small = lambda method, share: 0.603  # noqa: E731
    least = sum(Looks(1.0, 1.0).climb(cost, LEAST) + cost.took for cost in COSTS.values())
    assert walk(small, seconds=(least + 8) / RESERVE).answer == SHORT
    found = walk(small)
    assert found.answer == SLIGHT
    assert 0.2 < found.helps < 0.8


def test_a_crash_or_a_collapse_is_recorded_and_does_not_end_the_rest(walk: Callable):
    planted = {"mae": -1.0, "simclr": 0.0, "denoise": 0.7, "moco": 0.9}
    found = walk(lambda method, share: planted[method])
    fates = {tried.method: tried.fate for tried in found.tried}
    assert found.method == "moco"
    assert fates["mae"] == "failed: RuntimeError: planted"
    assert fates["simclr"].startswith("vetoed: collapsed")
    with pytest.raises(OptionError, match="No pilot came to an end: mae failed"):
        walk(lambda method, share: -1.0)


def test_a_crash_on_the_second_rung_leaves_what_the_first_told(walk: Callable):
    breaks = lambda method, share: -1.0 if (method, share) == ("simclr", RUNGS[1]) else 0.9  # noqa: E731
    found = walk(breaks)
    ended = {tried.method: (tried.fate, tried.share, len(tried.curve)) for tried in found.tried}
    assert ended.pop("simclr") == ("failed: RuntimeError: planted", RUNGS[1], 1)
    assert set(ended.values()) == {("", RUNGS[-1], len(RUNGS))}
    assert sum(found.method == tried.method for tried in found.tried) == 1


def test_what_a_method_raises_is_kept_as_its_fate_and_found_again(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("planted\nand more")

    with monkeypatch.context() as patch:
        patch.setattr(pilots, "pretrain_method", fail)
        crashed = pilots.fly(ground, COSTS["mae"], LEAST, tmp_path, VOICE)
    assert crashed.error == "RuntimeError: planted"
    assert pilots.fly(ground, COSTS["mae"], LEAST, tmp_path, VOICE) == crashed

    def measure(_: Ground, method: str, *__: object) -> Cost:
        return fail() if method == "mae" else COSTS[method]  # type: ignore[return-value]

    monkeypatch.setattr(race, "measure_pilot", measure)
    fates: dict[str, str] = {}
    schedules = dict.fromkeys(FIELD, SCHEDULE)
    costs, alive = race.admit(ground, schedules, Looks(1.0, 1.0), 1e6, 1e6, tmp_path, fates, VOICE)
    assert fates == {"mae": "failed: RuntimeError: planted"}
    assert [cost.method for cost in costs] == [cost.method for cost in alive] == list(FIELD[1:])


def test_time_says_how_many_are_tried_and_how_far(walk: Callable):
    need = Looks(1.0, 1.0).climb(COSTS["mae"], LEAST)
    found = walk(lambda method, share: 0.75, seconds=(need + 8) / 0.9)
    fates = {tried.method: tried.fate for tried in found.tried}
    assert fates["mae"] == ""
    assert [fates[name] for name in FIELD[1:]] == [race.OUT_OF_TIME] * 3
    assert max(share for _, share in walk.flown) == LEAST


def test_too_short_a_time_is_refused_with_one_that_does(walk: Callable):
    with pytest.raises(OptionError, match="10s is too short") as refusal:
        walk(lambda method, share: 0.75, seconds=10)
    assert not walk.folder.exists()  # so that the run folder can be used again
    told = str(refusal.value).split("Give ")[1].split(" or more")[0]
    assert walk(lambda method, share: 0.75, seconds=tassl_seconds(told)).tried


def test_the_time_asked_for_pays_for_the_fine_tuning_that_it_brings():
    looks, given, left = Looks(1.0, 5.0, growth=0.2), 30.0, 4.0
    told = explain_shortage([COSTS["mae"]], looks, left, given).split("Give ")[1].split(" or ")[0]
    time, need = tassl_seconds(told), looks.climb(COSTS["mae"], LEAST)
    assert left + RESERVE * (time - given) - looks.growth * time > need


def tassl_seconds(text: str) -> float:
    from tassl.amounts import parse_time

    return parse_time(text)


def test_without_labels_the_answer_is_a_prior(walk: Callable, ground: Ground):
    bare = replace(ground, labelled=np.empty(0, dtype=int))
    found = walk(lambda method, share: 0.75, used=bare)
    assert (found.answer, found.labelled, found.floor) == (PRIOR, 0, "")
    assert all(tried.measured is tried.posterior is None for tried in found.tried)
    assert "no labelled training subjects" in found.because[-1]
    assert max(share for _, share in walk.flown) == LEAST


def test_too_few_labels_say_how_many_would_be_measured(walk: Callable, ground: Ground):
    first = [np.flatnonzero(ground.strata == c)[:3] for c in (0, 1)]
    few = replace(ground, labelled=ground.rows[np.concatenate(first)])
    found = walk(lambda method, share: 0.75, used=few)
    assert (found.answer, found.needed) == (FEW, 8)
    known = len(set(few.subjects))
    assert f"{known} labelled training subjects" in found.because[-1]
    assert "from 8 on, 4 of each class" in found.because[-1]


# --- what features hold -------------------------------------------------------------------------


def test_dots_are_round_bright_and_where_they_were_asked_for():
    images = torch.zeros(2, 1, 20, 24)
    shown = alignment.plant_dots(images, np.array([[5, 6], [12, 20]]), np.array([2.0, 6.0]))
    for image, centre, radius in zip(shown[:, 0], [(5, 6), (12, 20)], [1, 3], strict=True):
        assert image[centre] == alignment.DOT_LEVEL
        area = float(image.sum() / alignment.DOT_LEVEL)
        assert area == pytest.approx(np.pi * radius**2, rel=0.35)


def test_recovery_is_one_for_what_is_held_and_none_for_noise():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 5))
    subjects = np.arange(200) // 2
    held = Ridge().fit(features, features[:, 0]).predict(features)[:, None]
    assert alignment.recover(features, held, subjects) > 0.99
    assert alignment.recover(features, rng.normal(size=(200, 1)), subjects) < 0.1


def test_a_feature_that_leaps_in_one_image_does_not_hide_what_the_others_hold():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 5))
    wanted = features[:, :1].copy()
    features[:, 4] = 1e-5 * rng.normal(size=200)
    features[7, 4] = 1.0
    assert alignment.recover(features, wanted, np.arange(200) // 2) > 0.9


def test_subjects_and_sites_are_found_again_where_features_tell_them():
    rng = np.random.default_rng(0)
    subjects = np.repeat(np.arange(30), 2)
    sites = np.where(subjects % 2, "a", "b").astype(object)
    noise = rng.normal(size=(60, 8))
    own = rng.normal(size=(30, 8))[subjects]
    assert alignment.find_again(own + 0.01 * noise, subjects) == 1
    assert alignment.find_again(noise, subjects) < 0.2
    told = noise + 5 * (subjects % 2)[:, None]
    assert alignment.tell_sites(told, sites, subjects) == 1
    assert alignment.tell_sites(noise, np.full(60, "", dtype=object), subjects) is None


def test_a_profile_is_the_same_again_and_lies_between_nought_and_one(ground: Ground):
    torch.manual_seed(0)
    encoder = build_encoder(ground.bench.recipe)
    found = alignment.profile_encoder(ground, encoder)
    assert found == alignment.profile_encoder(ground, encoder)
    assert {"global semantics", "small structures", "invariance", "site leakage"} <= set(found)
    assert all(0 <= value <= 1 for value in found.values())
    assert set(found) <= set(alignment.ASKED)


# --- end to end ---------------------------------------------------------------------------------


SMALL = {"epochs": 4, "steps": 2, "methods": ("mae", "moco"), "batch": 16, "quiet": True}


@contextmanager
def known_costs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Costs that are planted instead of measured in another process; fewer looks at features."""

    def measure(_: Ground, method: str, schedule: Schedule, __: Path) -> Cost:
        return Cost(method, schedule, 0.0, 1.0, 1.0)

    with monkeypatch.context() as patch:
        patch.setattr(race, "measure_pilot", measure)
        patch.setattr(pilots, "FEWEST_TUNED", 99)
        patch.setattr(pilots, "profile_encoder", lambda *_: {"local anatomy": 0.5})
        patch.setattr("tassl.scouting.ground.REPEATS", 1)
        yield


def plain(file: Path) -> dict:
    """What a scout found, without what its clock showed."""
    found = json.loads(file.read_text())
    return found | {
        "seconds": None,
        "because": [why for why in found["because"] if why != surveying.DEAR],
    }


def test_a_scout_that_was_cut_short_ends_as_one_that_was_not(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole, cut, flights = tmp_path / "whole", tmp_path / "cut", []
    monkeypatch.setattr("tassl.scouting.rungs.RUNGS", (0.25,))
    with known_costs(monkeypatch):
        found = tassl.scout(cohort, out=whole, time="1h", **KIND, **SMALL)
        real = race.fly

        def halt(*given: object) -> Pilot:
            flights.append(given)
            if len(flights) == 2:
                raise KeyboardInterrupt
            return real(*given)  # type: ignore[arg-type]

        monkeypatch.setattr(race, "fly", halt)
        with pytest.raises(KeyboardInterrupt):
            tassl.scout(cohort, out=cut, time="1h", **KIND, **SMALL)
        assert not (cut / "scout.json").exists()
        tassl.scout(cohort, out=cut, time="1h", **KIND, **SMALL)
    assert plain(cut / "scout.json") == plain(whole / "scout.json")
    assert {tried.share for tried in found.tried} == {0.25}
    reading = json.loads((whole / "environment.json").read_text())["seconds"]["data"]
    assert json.loads((whole / "scout/floor.json").read_text())["took"] > reading
    page = (whole / "scout.html").read_text()
    assert found.answer in page
    assert "http" not in page.split("<main>")[1].replace("http-equiv", "")


def test_a_run_lets_pilots_choose_and_goes_on_from_the_chosen_one(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    epochs, trained = [], []
    pretrain = pretraining.pretrain_method

    def watch(*given: Any, on_epoch: Callable, **job: Any) -> Any:
        trained.append(job["method"])
        return pretrain(*given, on_epoch=lambda line: epochs.append(line.epoch), **job)

    def read(study: Study, folder: Path, narrator: Narrator, clock: Clock) -> Prepared:
        found = prepare_data(study, folder, narrator, clock)
        clock.facts["seconds"]["data"] += 1000
        return found

    monkeypatch.setattr("tassl.scouting.rungs.RUNGS", (0.5,))
    monkeypatch.setattr(pretraining, "pretrain_method", watch)
    monkeypatch.setattr(running, "prepare_data", read)
    monkeypatch.setattr(running, "make_bench", Halt())
    choices = SMALL | {"scout": "1h"}
    with known_costs(monkeypatch), pytest.raises(Halt):
        tassl.run(cohort, out=tmp_path / "run", **KIND, **choices)
    found = json.loads((tmp_path / "run/scout.json").read_text())
    assert found["seconds"][0] > 1000  # reading is part of the time
    assert trained == [found["method"]]
    assert epochs == [2, 3, 4]  # the pilot's first epoch is not trained again


class Halt(Exception):
    """Stops a run before its trials."""

    def __call__(self, *_: object) -> None:
        raise self


def test_labelled_rows_of_the_study_are_the_grounds(cohort: Path, tmp_path: Path):
    study = Study(data=str(cohort), **KIND)
    prepared = prepare(study, tmp_path, SILENT)
    np.testing.assert_array_equal(
        lay_ground(study, prepared).labelled, labelled_rows(prepared, study.task, "train")
    )
