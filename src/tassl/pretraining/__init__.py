"""The one pretraining loop: a method, an encoder and unlabelled images in, a checkpoint out."""

from tassl.pretraining.planning import Plan, correct_plan, plan_pretraining, read_plan, write_plan
from tassl.pretraining.ranks import Ranks
from tassl.pretraining.running import pretrain_method
from tassl.pretraining.schedule import Schedule, default_schedule, fall_back

__all__ = [
    "Plan",
    "Ranks",
    "Schedule",
    "correct_plan",
    "default_schedule",
    "fall_back",
    "plan_pretraining",
    "pretrain_method",
    "read_plan",
    "write_plan",
]
