"""What the frozen features of each pretrained arm tell of the site; pixels and chance beside."""

from __future__ import annotations

from collections.abc import Sequence

from joblib import delayed

from tassl.evaluation.finding import Arm
from tassl.evaluation.leakage import Cells, Leakage, measure_leakage
from tassl.trials.bench import Bench
from tassl.trials.fitting import make_features
from tassl.trials.working import work_off


def list_frozen(methods: Sequence[str]) -> list[Arm]:
    """Arms whose features are fixed: pixels, an encoder of random weights, each pretrained one."""
    baselines = [Arm("raw pixels", "", "pixels"), Arm("random (frozen)", "", "frozen")]
    return baselines + [Arm(f"{method} (frozen)", method, "frozen") for method in methods]


def measure_sites(bench: Bench, cells: Cells) -> dict[str, Leakage]:
    """The leakage of each frozen arm by its name."""
    arms = list_frozen(list(bench.checkpoints))
    found: dict[str, Leakage] = {}
    work_off([delayed(_measure)(bench, arm, cells) for arm in arms], found.update)
    return {arm.name: found[arm.name] for arm in arms}


def _measure(bench: Bench, arm: Arm, cells: Cells) -> dict[str, Leakage]:
    features = make_features(bench, arm, cells.rows)
    return {arm.name: measure_leakage(features, cells, bench.protocol.confidence, bench.seed)}
