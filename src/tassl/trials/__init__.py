"""Every arm on every label subset: fit, predict the test subjects, keep the predictions."""

from tassl.trials.bench import Bench, default_tuning, list_arms
from tassl.trials.fitting import adapt_once
from tassl.trials.predictions import read_predictions
from tassl.trials.working import count_work, run_trials

__all__ = [
    "Bench",
    "adapt_once",
    "count_work",
    "default_tuning",
    "list_arms",
    "read_predictions",
    "run_trials",
]
