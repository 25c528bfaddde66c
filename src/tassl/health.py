"""Is a pretraining healthy? Measures features while it trains, and says what went wrong.

Sources: per-dimension deviation as in Chen & He, CVPR 2021, arXiv:2011.10566, section 4.1;
effective rank as in Garrido et al. (RankMe), ICML 2023, arXiv:2210.02885, eq. 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_SPREAD = 0.01
LEAST_SHARE_OF_START = 0.05
LEAST_RANK = 1.5
SOLVED_SHARE, EASY_SHARE, EARLY = 0.02, 0.05, 0.2  # of the first loss; of the planned epochs
LEAST_GAIN, FEWEST_EPOCHS = 0.02, 5
STEEP = 0.05


@dataclass(frozen=True)
class Epoch:
    """One line of the history.

    Args:
        epoch: Number from 1; 0 is the state before training.
        loss: Mean over the steps, NaN for epoch 0.
        feature_std: Spread of unit feature vectors, 0 (all alike) to 1; the mean cosine between
            two images is 1 less its square.
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
        verdict: "healthy ...", "diverged at epoch N: ...", "collapsed at epoch N: ...", "solved at
            epoch N ...", "stagnated: ..." or "shortcut: ...".
        healthy: Whether the checkpoint can be trusted.
        action: What to do next, in words.
        kept: Epoch whose weights are kept instead of the last, after a collapse or a divergence.
    """

    verdict: str
    healthy: bool
    action: str
    kept: int | None = None


SOUND = Health("healthy", True, "Go on.")


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


def judge(history: Sequence[Epoch], *, epochs: int | None = None, steady: bool = True) -> Health:
    """Judge a history; the first epoch in it is the state before training.

    Args:
        history: What is known so far.
        epochs: Planned epochs; as many as there are unless given.
        steady: Whether the loss means the same all along. It does not where a teacher or a memory
            sets the task; then only divergence and collapse are judged.
    """
    planned = epochs or len(history) - 1
    start, trained = history[0], history[1:]
    for line in trained:
        if not _finite(line):
            kept = last_sound(history[: line.epoch])
            return Health(
                f"diverged at epoch {line.epoch}: the loss or the features are not finite",
                False,
                "Lower the learning rate, and look for images with extreme values in the audit. "
                f"The checkpoint holds the weights of epoch {kept}.",
                kept,
            )
        if _collapsed(line, start):
            kept = last_sound(history[: line.epoch])
            return Health(
                f"collapsed at epoch {line.epoch}: features of different images are alike "
                f"(mean cosine {1 - line.feature_std**2:.3f}, spread {line.feature_std:.3f}, "
                f"{start.feature_std:.3f} before training; effective rank "
                f"{line.effective_rank:.1f})",
                False,
                "Use a larger batch, a lower learning rate or another method. The checkpoint holds "
                f"the weights of epoch {kept}, before features began to shrink.",
                kept,
            )
    return _judge_loss(trained, planned) if steady else SOUND


def last_sound(history: Sequence[Epoch]) -> int:
    """The last epoch whose features have at least half of the usual spread and rank so far.

    Scores without labels may reject a checkpoint, not choose one: a sound run keeps its last epoch,
    the only one at which the learning rate has come down. Within one run the effective rank could
    choose (Garrido et al. 2023, section 5), but on breast ultrasound it was higher before training
    than after for five methods of five; and a loss on images that are trained on does not tell
    when they are learned by heart.
    """
    known = [history[0], *[line for line in history[1:] if _finite(line)]]
    for count in range(len(known), 1, -1):
        last, so_far = known[count - 1], known[:count]
        spread = median(line.feature_std for line in so_far)
        rank = median(line.effective_rank for line in so_far)
        if last.feature_std >= spread / 2 and last.effective_rank >= rank / 2:
            return last.epoch
    return 0


def _finite(line: Epoch) -> bool:
    return math.isfinite(line.loss) and math.isfinite(line.feature_std)


def _collapsed(line: Epoch, start: Epoch) -> bool:
    floor = max(LEAST_SPREAD, LEAST_SHARE_OF_START * start.feature_std)
    return line.feature_std < floor or line.effective_rank < LEAST_RANK


def _judge_loss(trained: Sequence[Epoch], planned: int) -> Health:
    """Solved too early, never learned, easy, or cut short."""
    if not trained or (first := trained[0].loss) <= 0:
        return SOUND
    early = trained[: max(2, round(EARLY * planned))]
    if solved := _first_below(early, SOLVED_SHARE * first):
        return Health(
            f"solved at epoch {solved} of {planned}: the loss is below "
            f"{SOLVED_SHARE:.0%} of its first value",
            False,
            "The task is too easy: a border, a marker or an intensity may give the answer away. "
            "Look at the pictures of the task and at the audit, then use stronger views or "
            "another method.",
        )
    if len(trained) < max(planned, FEWEST_EPOCHS):
        return SOUND
    last, earlier = (_mean(trained, share) for share in ((0.9, 1.0), (0.8, 0.9)))
    if last > (1 - LEAST_GAIN) * first:
        return Health(
            f"stagnated: after {planned} epochs the loss is {last:.3f}, {first:.3f} in the first",
            False,
            "Raise the learning rate, train longer or use milder views.",
        )
    if easy := _first_below(early, EASY_SHARE * first):
        return Health(
            f"healthy, but easy: at epoch {easy} of {planned} the loss was below {EASY_SHARE:.0%} "
            "of its first value",
            True,
            "Go on; a harder pretext may teach more than so many epochs of this one.",
        )
    if last < (1 - STEEP) * earlier:
        return Health(
            f"healthy, and still improving by {1 - last / earlier:.0%} in the last tenth",
            True,
            "Go on; more epochs would probably help.",
        )
    return SOUND


def _first_below(trained: Sequence[Epoch], level: float) -> int | None:
    """The first epoch with a lower loss."""
    return next((line.epoch for line in trained if line.loss < level), None)


def _mean(trained: Sequence[Epoch], share: tuple[float, float]) -> float:
    """Mean loss over a share of the epochs."""
    low, high = (math.floor(part * len(trained)) for part in share)
    part = trained[min(low, len(trained) - 1) : max(high, low + 1)]
    return sum(line.loss for line in part) / len(part)
