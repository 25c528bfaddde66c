"""The main job: a study in, a run folder out."""

from tassl.study.configuration import Study
from tassl.study.running import Outcome, run_study

__all__ = ["Outcome", "Study", "run_study"]
