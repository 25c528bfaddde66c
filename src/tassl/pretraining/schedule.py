"""How long and how fast to pretrain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count

from tassl.errors import OptionError
from tassl.methods import METHODS, MethodCard
from tassl.methods.usual import usual_batch, usual_epochs
from tassl.optimisation import constant_share, cosine_share
from tassl.registry import look_up

COURSES = ("cosine", "constant")
RISING_STEPS = 50  # of a constant course, which may not know how long it will be


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Args:
        epochs: Passes over the images.
        batch: Images per step.
        learning_rate: Peak of the course.
        weight_decay: Decoupled decay of the weights.
        warmup: Share of the steps in which the rate of a cosine rises.
        seed: Of initialisation, order, augmentation and masks.
        course: "cosine", or "constant" with a cool-down at the end: such a run can be taken up
            again with more epochs.
        cooldown: Share of the epochs in which a constant course cools down.
        early_stop: Whether a constant course cools down early where it has come to a plateau.
        parts: Parts in which a batch passes the network; their gradients are summed.
        recompute: Whether the encoder's activations are computed anew for the gradient.
        window: Most pixels along a side of a view; 0 leaves it to the size of the images.
        grow: Share of the training, from its start, on images of half the size.

    Raises:
        OptionError: The course is unknown, or stops early without a cool-down; the share is none,
            or is of a course that does not know its length.

    Source:
        Growing images: Tan & Le, ICML 2021, arXiv:2104.00298, section 4.
        Constant with a cool-down: Hu et al., 2024, arXiv:2404.06395, section 4; Hägele et al.,
        NeurIPS 2024, arXiv:2405.18392, section 3.
    """

    epochs: int
    batch: int
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    seed: int = 0
    course: str = "cosine"
    cooldown: float = 0.2
    early_stop: bool = False
    parts: int = 1
    recompute: bool = False
    window: int = 0
    grow: float = 0.0

    def __post_init__(self) -> None:
        look_up(dict.fromkeys(COURSES), self.course, "course of the learning rate")
        if self.early_stop and self.course == "cosine":
            raise OptionError(
                "A cosine that is stopped early ends at a high learning rate. "
                "Use the course 'constant', or no early stop."
            )
        if not 0 <= self.grow <= 1:
            raise OptionError(f"--grow is {self.grow}; wanted a share of the epochs, 0 to 1.")
        if self.grow and self.course == "constant":
            raise OptionError(
                "--grow is a share of the epochs, and a constant course does not know how many "
                "there will be. Use the course 'cosine' and no --scout, or no --grow."
            )

    @property
    def cooling_from(self) -> int:
        """Epochs before the cool-down; none of a cosine, which falls from the start."""
        if self.course == "cosine":
            return 0
        return self.epochs - max(1, round(self.cooldown * self.epochs))

    def share(self, step: int, steps_per_epoch: int) -> float:
        """Share of the peak learning rate at a step."""
        total = steps_per_epoch * self.epochs
        if self.course == "cosine":
            return cosine_share(step, total, self.warmup)
        return constant_share(step, total, steps_per_epoch * self.cooling_from, RISING_STEPS)

    def cooled_after(self, epoch: int) -> Schedule:
        """The same course, shortened to cool down from the end of this epoch."""
        plans = (replace(self, epochs=epochs) for epochs in count(epoch + 1))
        return next(plan for plan in plans if plan.cooling_from == epoch)

    def shares_start(self, other: Schedule, epoch: int) -> bool:
        """Whether both plans are the same up to the end of an epoch."""
        if self == other:
            return True
        longer = replace(self, epochs=other.epochs)
        return longer == other and epoch <= min(self.cooling_from, other.cooling_from)


def default_schedule(images: int, dims: int, seed: int, card: MethodCard) -> Schedule:
    """A schedule for a small machine: the usual epochs, batch and rate."""
    epochs, batch = usual_epochs(card, images, dims), usual_batch(card, images, dims)
    return Schedule(epochs, batch, learning_rate=card.rates[dims - 2], seed=seed)


def fall_back(method: str, images: int, batch: int | None = None) -> str:
    """The method, or the nearest that is safe with so few images in a step, if there is one.

    Args:
        method: Key in `METHODS`.
        images: Images to train on.
        batch: Images per step, where that is given.
    """
    fewest = min(images, batch or images)
    name = method
    while name and fewest < METHODS[name].smallest_batch:
        name = METHODS[name].fallback
    return name or method
