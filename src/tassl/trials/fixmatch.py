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
from tassl.transforms.corruption import draw_block, inside_block

THRESHOLD, WEIGHT = 0.95, 1.0  # the paper's, never tuned: few labels leave nothing to tune on
RATIO = 2  # unlabelled images per labelled one; the paper has 7, at 3.5 times the cost
PASTED = 0.5  # largest share of an image that another one's block takes


@dataclass(frozen=True)
class FixMatch:
    """What a mild view is surely taken for is what a strong view of the same image is taught.

    Where every pixel has a class, the strong view is one of the mild view itself, so that pixels
    stay where they are, and carries a block of another image with what was guessed there.

    Args:
        tensors: The images.
        rows: Rows without labels, or whose labels are not looked at.
        mild: Views to guess the class from.
        strong: Views to learn it on; of grey values alone where every pixel has a class.
        batch: Unlabelled images per step.

    Source:
        Sohn et al., NeurIPS 2020, arXiv:2001.07685, algorithm 1; for pixels: Yang et al., CVPR
        2023, arXiv:2208.09910; blocks: French et al., BMVC 2020, arXiv:1906.01916.
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
        seen = self.mild(images, rng)
        with torch.no_grad():
            guesses = head.predict(seen)
        if head.dense:
            views, guesses = paste_blocks(self.strong(seen, rng), guesses, rng)
        else:
            views = self.strong(images, rng)
        return WEIGHT * consistency(guesses, head(views).float())


def paste_blocks(images: Tensor, guesses: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Put a block of the next image into each, and what was guessed there along with it.

    Args:
        images: (batch, channel, *space).
        guesses: Probabilities, (batch, class, *space).
        rng: Source of the random numbers.
    """
    block = draw_block(PASTED, len(images), images.dim() - 2, rng)
    inside = inside_block(*block, tuple(images.shape[2:]))
    pasted, told = (torch.where(inside, own.roll(1, 0), own) for own in (images, guesses))
    return pasted, told


def consistency(guesses: Tensor, scores: Tensor) -> Tensor:
    """Cross entropy with the classes that were guessed surely; the others count as zero.

    Args:
        guesses: Probabilities of a mild view, (batch, class) or (batch, class, *space).
        scores: Scores of a strong view before the softmax, shaped alike.
    """
    surest, classes = guesses.max(1)
    return (F.cross_entropy(scores, classes, reduction="none") * (surest >= THRESHOLD)).mean()
