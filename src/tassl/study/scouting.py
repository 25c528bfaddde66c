"""A scout of a study: its candidates, what is expected of them, and what becomes of it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic

import numpy as np

from tassl.advisor import Advice, Query
from tassl.advisor.outlook import USUAL, draw_gains
from tassl.advisor.posterior import read_posterior
from tassl.amounts import parse_time
from tassl.data.files import write_atomically, write_json
from tassl.data.manifest import SPLITS
from tassl.errors import OptionError
from tassl.heads import HEADS
from tassl.methods import METHODS
from tassl.pretraining.history import STABLE
from tassl.scouting.deciding import NOT, Belief
from tassl.scouting.ground import Ground
from tassl.scouting.pilots import Voice, place_of
from tassl.scouting.records import Survey
from tassl.scouting.surveying import survey
from tassl.scouting.telling import tell_survey
from tassl.scouting.yardstick import PROBES
from tassl.study.choosing import seek_advice
from tassl.study.clock import Clock
from tassl.study.configuration import Study
from tassl.study.narrator import Narrator
from tassl.study.preparation import Prepared, labelled_rows
from tassl.study.pretraining import plan_schedule, strong_views
from tassl.study.trying import lay_bench
from tassl.trials.targets import target_of

PILOTS, FOUND = "scout", "scout.json"
LOWEST, HIGHEST = 0.05, 0.95  # scores of a baseline at which gains are told in points


def list_candidates(advice: Advice) -> list[str]:
    """The best method of every paradigm in the order of the advice, then the second of each."""
    leaders = advice.pick(len(advice.ranking))
    seconds = (name for leader in leaders for name in advice.others[leader.paradigm][:1])
    return [*(leader.method for leader in leaders), *seconds]


def expect_gains(query: Query, methods: Sequence[str], base: float) -> Belief:
    """What published evidence expects of methods, in points over the best baseline.

    Args:
        query: The situation.
        methods: Keys in `METHODS`.
        base: Score of the best baseline; the task's usual one where it is not a number.
    """
    usual = USUAL.get(query.task, 0.75)
    base = usual if np.isnan(base) else float(np.clip(base, LOWEST, HIGHEST))
    paradigms, draws = draw_gains(query, base)
    places = [paradigms.index(METHODS[name].paradigm) for name in methods]
    drawn, spread = draws[:, places], read_posterior().spread
    # Studies seldom compare methods of a paradigm in one case; there they vary as paradigms do.
    logits = np.hypot(spread["method in study"], spread["paradigm in case"])
    own = (100 * base * (1 - base) * logits) ** 2 * np.eye(len(methods))
    return Belief(drawn.mean(0), np.atleast_2d(np.cov(drawn.T)) + own)


def lay_ground(study: Study, prepared: Prepared) -> Ground:
    """What pilots may use of a study: labels of training subjects, and no other.

    Raises:
        InputError: The labels are of one class or value only.
        OptionError: Nothing is known that scores a pilot for this task.
    """
    if HEADS[study.task].target not in PROBES:
        fitting = ", ".join(name for name, card in HEADS.items() if card.target in PROBES)
        raise OptionError(
            f"Pilots cannot be scored for {study.task} yet; they can for {fitting}. "
            "Use 'tassl advise', or 'tassl run' with --method."
        )
    labelled, nothing = labelled_rows(prepared, study.task, "train"), np.empty(0, dtype=int)
    if study.clean == "none":
        labelled = nothing  # only clean images score a restored one
    classes = 0
    if len(labelled):
        sides = {side: labelled for side in SPLITS}
        classes = target_of(study.task).count(prepared.store, sides)
    bench = lay_bench(study, prepared, classes, test=nothing, val=nothing, checkpoints={})
    pool, views = prepared.rows("train", "val"), strong_views(study, prepared)
    return Ground(bench, labelled, pool, prepared.profile, views)


def scout_study(
    study: Study, prepared: Prepared, folder: Path, narrator: Narrator, clock: Clock
) -> Survey:
    """Try the candidates of a study, small, and say which to run in full.

    Args:
        study: The configuration; its `scout` is the time.
        prepared: Its data.
        folder: Gets scout.json, and the pilots in `scout/`.
        narrator: Speaks.
        clock: Knows how long reading the data took, which is part of that time.

    Raises:
        OptionError: The time is too short for one pilot.
    """
    assert study.scout
    began = monotonic() - clock.facts["seconds"]["data"]
    every_label = replace(study, protocol=replace(study.protocol, budgets=()))
    advice = seek_advice(every_label, prepared)
    methods = study.methods or list_candidates(advice)
    images, dims = len(prepared.rows("train", "val")), prepared.store.dims
    with clock.timing("scout"):
        found = survey(
            lay_ground(study, prepared),
            {name: plan_schedule(study, images, dims, name) for name in methods},
            parse_time(study.scout),
            folder / PILOTS,
            prior=partial(expect_gains, advice.query),
            voice=Voice(narrator.say, narrator.stage),
            spent=monotonic() - began,
        )
    facts = {"task": study.task, "modality": study.modality, "vetoes": advice.vetoes}
    write_json(folder / FOUND, found.facts() | facts)
    for line in tell_survey(found):
        narrator.say(line)
    for name, why in advice.vetoes.items():
        narrator.say(f"not tried: {name}, {why}")
    return found


def scout_method(
    study: Study, prepared: Prepared, folder: Path, narrator: Narrator, clock: Clock
) -> str:
    """The method that pilots choose for a run; its pretraining goes on from its pilot's."""
    found = scout_study(study, prepared, folder, narrator, clock)
    if found.answer == NOT:
        narrator.warn("it is tried all the same: the verdict on test subjects is what counts")
    take_up(folder, found)
    return found.method


def take_up(folder: Path, found: Survey) -> None:
    """Leave the state of the chosen pilot where its pretraining will go on, if it can."""
    share = next(tried.share for tried in found.tried if tried.method == found.method)
    saved = place_of(folder / PILOTS, found.method, share) / STABLE
    place = folder / "pretrain" / found.method / STABLE
    if saved.exists() and not place.exists():
        write_atomically(place, lambda draft: shutil.copyfile(saved, draft))
