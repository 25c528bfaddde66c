"""The one pretraining loop: a method, an encoder and unlabelled images in, a checkpoint out."""

from tassl.pretraining.running import pretrain_method
from tassl.pretraining.schedule import Schedule, default_schedule, fall_back

__all__ = ["Schedule", "default_schedule", "fall_back", "pretrain_method"]
