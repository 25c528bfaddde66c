"""The advisor's model: against slow algebra, and on simulated studies with planted effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tassl.advisor.effects import SCRATCH, Context, list_effects, name_regime
from tassl.advisor.evidence import Evidence, load
from tassl.advisor.fitting import GROUPS, design, fit_posterior
from tassl.advisor.mixed import Design, _Moments
from tassl.advisor.observations import Row, list_rows, logit
from tassl.advisor.posterior import Posterior, draw_scores, read_posterior, write_posterior
from tassl.methods import PARADIGMS

PLANTED = {"contrastive": -0.3, "predictive": 0.0, "generative": 0.0, "hybrid": 0.3}
BIAS, STUDY, NOISE, PRETRAINING = 0.5, 0.15, 0.1, 0.6
TASKS = ("classification", "segmentation")


def simulate(studies: int, seed: int, first: int = 0) -> list[Row]:
    """Studies of two tasks and six arms; in each the authors' own method has a lead.

    Contrast gains 0.6 on classification, restoration 0.6 on segmentation.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(first, first + studies):
        drift = dict(zip((*PARADIGMS, SCRATCH), STUDY * rng.standard_normal(5), strict=True))
        favourite = PARADIGMS[rng.integers(4)]
        for task in TASKS:
            level = rng.normal(1, 1)
            for arm, name in [*((p, p) for p in PARADIGMS), (SCRATCH, SCRATCH), (favourite, "own")]:
                own = "comparison" if name == "own" else ""
                score = level + expected(arm, task) + drift[arm] + NOISE * rng.standard_normal()
                context = Context(task, rng.choice(["ct", "mri"]), "3d", "many")
                rows.append(
                    Row(
                        case=f"{number} {task}",
                        study=f"study {number}",
                        context=context,
                        arm=arm,
                        method=f"{name} {number}" if own else name,
                        score=score + (BIAS if own else 0),
                        own=own,
                    )
                )
    return rows


def expected(arm: str, task: str) -> float:
    if arm == SCRATCH:
        return -PRETRAINING
    best = {"classification": "contrastive", "segmentation": "generative"}[task]
    return PLANTED[arm] + 0.6 * (arm == best)


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    return fit_posterior(simulate(16, seed=1))


def contrast(
    posterior: Posterior, left: str, right: str, context: Context
) -> tuple[float, float, float]:
    """Mean difference of two arms, its standard error, and that between studies."""
    mean, settled, between = posterior.predict([(left, ""), (right, "")], context)
    sign = np.array([1, -1])
    return (
        float(sign @ mean),
        float(sign @ settled @ sign) ** 0.5,
        float(sign @ between @ sign) ** 0.5,
    )


def slow_posterior(data: Design, variances: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the effects from dense matrices, free case means as a flat prior."""
    cases = np.eye(data.cases.max() + 1)[data.cases]
    both = np.hstack([data.effects, cases])
    prior = np.diag([*(1 / np.asarray(variances)[data.groups]), *np.zeros(cases.shape[1])])
    weights = np.diag(data.precision / variances[-1])
    covariance = np.linalg.inv(both.T @ weights @ both + prior)
    mean = covariance @ both.T @ weights @ data.scores
    count = data.effects.shape[1]
    return mean[:count], covariance[:count, :count]


def test_the_algebra_equals_dense_matrices():
    data, _ = design([replace(r, trust=0.5 if r.arm == SCRATCH else 1.0) for r in simulate(3, 0)])
    variances = np.random.default_rng(0).uniform(0.01, 0.3, len(GROUPS) + 1)
    mean, covariance, _ = _Moments(data).condition(variances)
    slow_mean, slow_covariance = slow_posterior(data, variances)
    np.testing.assert_allclose(mean, slow_mean, atol=1e-8)
    np.testing.assert_allclose(covariance, slow_covariance, atol=1e-8)


def test_the_likelihood_is_that_of_differences_within_cases():
    """Against the density of the rows on an orthonormal basis of within-case contrasts."""
    data, _ = design(simulate(2, 0))
    cases = np.eye(data.cases.max() + 1)[data.cases]
    basis = np.linalg.svd(cases)[0][:, cases.shape[1] :]
    flat = basis.T @ data.scores

    def slow(variances: np.ndarray) -> float:
        spread = data.effects * variances[:-1][data.groups] @ data.effects.T
        inner = basis.T @ (spread + variances[-1] * np.eye(len(data.scores))) @ basis
        return np.linalg.slogdet(inner)[1] + flat @ np.linalg.solve(inner, flat)

    one, two = np.random.default_rng(1).uniform(0.02, 0.4, (2, len(GROUPS) + 1))
    moments = _Moments(data)
    fast = moments.condition(one)[2] - moments.condition(two)[2]
    assert fast == pytest.approx(slow(one) - slow(two), abs=1e-6)


def test_the_gradient_is_that_of_the_likelihood():
    data, _ = design(simulate(3, 0))
    moments, logs = _Moments(data), np.random.default_rng(2).normal(-3, 0.5, len(GROUPS) + 1)
    steps = np.eye(len(logs)) * 1e-5
    slow = [(moments.evaluate(logs + s)[0] - moments.evaluate(logs - s)[0]) / 2e-5 for s in steps]
    np.testing.assert_allclose(moments.evaluate(logs)[1], slow, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_planted_effects_are_found(posterior: Posterior, task: str):
    context = Context(task, "ct", "3d", "many")
    for left in PARADIGMS:
        for right in (*PARADIGMS, SCRATCH):
            truth = expected(left, task) - expected(right, task)
            mean, error, _ = contrast(posterior, left, right, context)
            assert abs(mean - truth) < 3.5 * error + 1e-9
            if abs(truth) > 0.5:
                assert np.sign(mean) == np.sign(truth)


def test_the_bias_of_authors_is_found_and_taken_out(posterior: Posterior):
    place = posterior.names.index(("own", "comparison"))
    error = posterior.covariance[place, place] ** 0.5
    assert abs(posterior.mean[place] - BIAS) < 3 * error
    assert error < BIAS / 3
    carried = list(list_effects("hybrid", Context("classification"), "own 3"))
    assert "own" not in {group for group, _ in carried}


def test_intervals_hold_the_differences_of_unseen_studies(posterior: Posterior):
    """240 pairs of 20 studies: the 80% intervals may miss a fifth, give or take."""
    rows = [row for row in simulate(20, seed=7, first=100) if not row.own]
    held = []
    for study in {row.study for row in rows}:
        for task in TASKS:
            case = [r for r in rows if (r.study, r.context.task) == (study, task)]
            arms = [(row.arm, row.method) for row in case]
            mean, settled, between = posterior.predict(arms, case[0].context)
            between = between + posterior.noise**2 * np.eye(len(arms))
            draws = draw_scores(mean, settled, between, 1000)
            for i, j in [(0, 1), (1, 2), (2, 3), (3, 0), (0, 4), (2, 4)]:
                low, high = np.quantile(draws[:, i] - draws[:, j], [0.1, 0.9])
                held.append(low <= case[i].score - case[j].score <= high)
    assert 0.70 < np.mean(held) < 0.92


def test_a_cell_of_few_studies_shrinks_to_its_parents():
    """Two studies of PET put hybrid 2 behind; the model believes less, yet is less sure."""
    odd = [
        replace(row, context=replace(row.context, modality="pet"), score=row.score - 2)
        if row.arm == "hybrid"
        else replace(row, context=replace(row.context, modality="pet"))
        for row in simulate(2, seed=5, first=50)
    ]
    fitted = fit_posterior([*simulate(12, seed=1), *odd])
    ct, pet = (Context("classification", m, "3d", "many") for m in ("ct", "pet"))
    usual, sure, _ = contrast(fitted, "hybrid", "predictive", ct)
    there, unsure, _ = contrast(fitted, "hybrid", "predictive", pet)
    assert usual - 2 < there < usual
    assert unsure > sure


def test_what_studies_add_sums_to_the_mean(posterior: Posterior):
    np.testing.assert_allclose(posterior.moves.sum(1), posterior.mean, atol=1e-8)


def test_an_effect_that_was_not_seen_widens(posterior: Posterior):
    seen, unseen = (Context("classification", m, "3d", "many") for m in ("ct", "oct"))
    assert (
        contrast(posterior, "hybrid", SCRATCH, unseen)[1]
        > contrast(posterior, "hybrid", SCRATCH, seen)[1]
    )


def test_a_wild_study_is_trusted_less():
    wild = [
        replace(row, score=row.score + 1.5 * (-1) ** number)
        for number, row in enumerate(simulate(1, seed=9, first=70))
    ]
    fitted = fit_posterior([*simulate(10, seed=1), *wild])
    scales = dict(zip(fitted.studies, fitted.scales, strict=True))
    assert scales["study 70"] > 2 * np.median(list(scales.values()))


def test_draws_have_the_moments_asked_for():
    settled, between = np.array([[0.3, 0.1], [0.1, 0.2]]), np.diag([0.2, 0.1])
    draws = draw_scores(np.array([1.0, -1.0]), settled, between, 200_000)
    np.testing.assert_allclose(draws.mean(0), [1, -1], atol=0.02)
    # Student's t with 4 degrees of freedom has twice the variance of its scale.
    np.testing.assert_allclose(np.cov(draws.T), settled + 2 * between, atol=0.06)


def test_a_posterior_is_kept(posterior: Posterior, tmp_path: Path):
    write_posterior(posterior, tmp_path / "posterior.npz")
    again = read_posterior(tmp_path / "posterior.npz")
    assert (again.names, again.studies, again.noise) == (
        posterior.names,
        posterior.studies,
        posterior.noise,
    )
    np.testing.assert_allclose(again.mean, posterior.mean)
    np.testing.assert_allclose(again.covariance, posterior.covariance, rtol=1e-5, atol=1e-8)


def test_the_shipped_posterior_rests_on_the_shipped_studies():
    shipped, known = read_posterior(), {line["study_id"] for line in load().studies}
    assert set(shipped.studies) <= known
    assert set(shipped.studies) == {row.study for row in list_rows(load())}
    np.testing.assert_allclose(shipped.moves.sum(1), shipped.mean, atol=1e-5)
    assert np.linalg.eigvalsh(shipped.covariance).min() > -1e-6


@pytest.mark.slow
def test_the_shipped_posterior_is_what_fitting_gives():
    shipped = read_posterior()
    fitted = fit_posterior(list_rows(load()), start=shipped)
    places = [fitted.names.index(name) for name in shipped.names if name[0] != "method"]
    here = [place for place, name in enumerate(shipped.names) if name[0] != "method"]
    np.testing.assert_allclose(fitted.mean[places], shipped.mean[here], atol=0.02)


@pytest.mark.parametrize(
    ("share", "labels", "regime"),
    [
        (0.005, 5000, "few"),
        (0.3, 40, "few"),
        (0.3, 400, "some"),
        (0.9, 400, "many"),
        (None, 60, "many"),
    ],
)
def test_regimes(share: float | None, labels: int, regime: str):
    assert name_regime(share, labels) == regime


def test_rows_leave_out_what_cannot_be_compared():
    line = {
        "case_id": "a-1", "study_id": "a", "modality": "ct", "dims": "3d", "task": "segmentation",
        "label_regime": "full", "adaptation": None, "metric": "dice", "winner": "A = B",
        "winner_is_authors_method": True, "same_pretraining_data": "no", "overlaps": False,
        "seen": "secondary", "doubtful": False,
    }  # fmt: skip
    methods = [
        {"method": m, "canonical": c} for m, c in (("A", "MAE"), ("B", "SimCLR"), ("C", "?"))
    ]
    results = [
        {"case_id": "a-1", "method": m, "paradigm": p, "value": v}
        for m, p, v in (("A", "generative", 0.8), ("B", "contrastive", 0.8), ("C", "unknown", 0.9))
    ]
    evidence = Evidence(comparisons=(line,), results=tuple(results), methods=tuple(methods))
    first, second = list_rows(evidence)
    assert (first.method, first.own, second.own) == ("MAE", "comparison", "comparison")
    assert first.score == pytest.approx(np.log(4))
    assert first.trust == pytest.approx(0.25)
    for change in ({"metric": "psnr"}, {"metric": None}, {"overlaps": True}):
        assert list_rows(replace(evidence, comparisons=(line | change,))) == []
    assert list_rows(replace(evidence, results=tuple(results[:1]))) == []


def test_logit_keeps_off_the_ends():
    assert logit(1.0) == logit(0.98) == pytest.approx(-logit(0.0))
