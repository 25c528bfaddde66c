"""Is a pretraining healthy? Measures features while it trains, and says what went wrong.

Sources: per-dimension deviation as in Chen & He, CVPR 2021, arXiv:2011.10566, section 4.1;
effective rank as in Garrido et al. (RankMe), ICML 2023, arXiv:2210.02885, eq. 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_SPREAD = 0.01
LEAST_SHARE_OF_START = 0.05
LEAST_RANK = 1.5


@dataclass(frozen=True)
class Epoch:
    """One line of the history.

    Args:
        epoch: Number from 1; 0 is the state before training.
        loss: Mean over the steps, NaN for epoch 0.
        feature_std: Spread of unit feature vectors, 0 (all alike) to 1.
        effective_rank: Directions that the features use.
        learning_rate: At the end of the epoch.
        seconds: Time that the epoch took.
    """

    epoch: int
    loss: float
    feature_std: float
    effective_rank: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class Health:
    """A verdict on a pretraining.

    Args:
        verdict: "healthy", "collapsed at epoch N: ..." or "diverged at epoch N: ...".
        healthy: Whether the checkpoint can be trusted.
        action: What to do next, in words.
    """

    verdict: str
    healthy: bool
    action: str


def measure_features(features: Tensor) -> tuple[float, float]:
    """Spread and effective rank of (image, width) features.

    Returns:
        Root of the summed variance of unit vectors, and exp(entropy of the singular values) of
        the centred unit vectors.
    """
    unit = F.normalize(features.float(), dim=1)
    centred = unit - unit.mean(0)
    spread = float(centred.square().sum(1).mean().sqrt())
    if not math.isfinite(spread):
        return math.nan, math.nan
    share = torch.linalg.svdvals(centred)
    share = share / share.sum().clamp_min(1e-12)
    entropy = -(share * share.clamp_min(1e-12).log()).sum()
    return spread, float(entropy.exp())


def judge(history: Sequence[Epoch]) -> Health:
    """Judge a history; the first epoch in it is the state before training."""
    start = history[0]
    floor = max(LEAST_SPREAD, LEAST_SHARE_OF_START * start.feature_std)
    for line in history[1:]:
        if not (math.isfinite(line.loss) and math.isfinite(line.feature_std)):
            return Health(
                f"diverged at epoch {line.epoch}: the loss or the features are not finite",
                False,
                "Lower the learning rate, and look for images with extreme values in the audit.",
            )
        if line.feature_std < floor or line.effective_rank < LEAST_RANK:
            return Health(
                f"collapsed at epoch {line.epoch}: features of different images are alike "
                f"(spread {line.feature_std:.3f}, {start.feature_std:.3f} before training; "
                f"effective rank {line.effective_rank:.1f})",
                False,
                "Use a larger batch, a lower learning rate or another method; do not use this "
                "checkpoint.",
            )
    return Health("healthy", True, "Go on.")
