"""Every arm on every label subset: fit, predict the test subjects, keep the predictions."""

from tassl.trials.bench import Bench, list_arms
from tassl.trials.fitting import adapt_once
from tassl.trials.fixmatch import RATIO, FixMatch
from tassl.trials.predictions import read_predictions
from tassl.trials.targets import TARGETS, target_of
from tassl.trials.working import count_work, run_trials

__all__ = [
    "RATIO",
    "TARGETS",
    "Bench",
    "FixMatch",
    "adapt_once",
    "count_work",
    "list_arms",
    "read_predictions",
    "run_trials",
    "target_of",
]
