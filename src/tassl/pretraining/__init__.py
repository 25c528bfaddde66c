"""The one pretraining loop: a method, an encoder and unlabelled images in, a checkpoint out."""

from tassl.pretraining.ranks import Ranks
from tassl.pretraining.running import pretrain_method
from tassl.pretraining.schedule import Schedule, default_schedule

__all__ = ["Ranks", "Schedule", "default_schedule", "pretrain_method"]
