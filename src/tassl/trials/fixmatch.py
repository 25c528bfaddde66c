"""FixMatch: the semi-supervised baseline, which sees the same unlabelled images as pretraining."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tassl.data.tensors import Tensors
from tassl.heads.base import Head
from tassl.transforms.augment import Augment

THRESHOLD, WEIGHT = 0.95, 1.0  # the paper's, never tuned: few labels leave nothing to tune on
RATIO = 2  # unlabelled images per labelled one; the paper has 7, at 3.5 times the cost


@dataclass(frozen=True)
class FixMatch:
    """What a mild view is surely taken for is what a strong view of the same image is taught.

    Args:
        tensors: The images.
        rows: Rows without labels, or whose labels are not looked at.
        mild: Views to guess the class from.
        strong: Views to learn it on.
        batch: Unlabelled images per step.

    Source:
        Sohn et al., NeurIPS 2020, arXiv:2001.07685, algorithm 1.
    """

    tensors: Tensors
    rows: np.ndarray
    mild: Augment
    strong: Augment
    batch: int

    def __call__(self, head: Head, rng: torch.Generator) -> Tensor:
        """The loss on a batch that is drawn anew, one scalar."""
        chosen = torch.randint(len(self.rows), (self.batch,), generator=rng, device=rng.device)
        images = self.tensors.images(self.rows[chosen.cpu().numpy()]).to(rng.device)
        with torch.no_grad():
            guesses = head.predict(self.mild(images, rng))
        return WEIGHT * consistency(guesses, head(self.strong(images, rng)).float())


def consistency(guesses: Tensor, scores: Tensor, threshold: float = THRESHOLD) -> Tensor:
    """Cross entropy with the classes that were guessed surely; the others count as zero.

    Args:
        guesses: Probabilities of a mild view, (batch, class).
        scores: Scores of a strong view before the softmax, (batch, class).
        threshold: Least probability of a guess that is taught.
    """
    surest, classes = guesses.max(1)
    return (F.cross_entropy(scores, classes, reduction="none") * (surest >= threshold)).mean()
