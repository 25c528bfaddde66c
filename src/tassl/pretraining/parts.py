"""A batch in parts: the gradient of the whole, with the activations of one part at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tassl.methods.base import Method

SCALE = 2.0**10  # a power of two changes no gradient, and keeps small ones alive in fp16


def loss_in_parts(method: Method, views: tuple[Tensor, ...], parts: int) -> Tensor:
    """The loss of a batch whose views pass the network in parts.

    Loss and gradient are those of the whole batch where the loss is a mean over images (the
    card's `per_image`), whatever the number of parts.

    Args:
        method: Gives loss and weights.
        views: Of the whole batch, each (batch, ...).
        parts: Number of parts; those of a small batch are fewer.
    """
    parts = min(parts, len(views[0]))
    if parts == 1:
        return method.loss(views)
    weights = [weight for weight in method.parameters() if weight.requires_grad]
    split = list(zip(*[view.tensor_split(parts) for view in views], strict=True))
    return _SummedParts.apply(method, split, *weights)  # type: ignore[return-value]


class _SummedParts(torch.autograd.Function):
    """Takes every part's gradient at once, so that its activations are freed before the next."""

    @staticmethod
    def forward(ctx: Any, method: Method, split: list[tuple[Tensor, ...]], *weights: Tensor) -> Any:
        total, sums = torch.zeros((), device=weights[0].device), [None] * len(weights)
        count = sum(len(views[0]) for views in split)
        for views in split:
            with torch.enable_grad():
                loss = method.loss(views) * (len(views[0]) / count)
                grads = torch.autograd.grad(loss * SCALE, weights, allow_unused=True)
            total += loss.detach()
            sums = [_add(old, new) for old, new in zip(sums, grads, strict=True)]
        ctx.sums = sums
        return total

    @staticmethod
    def backward(ctx: Any, *scale: Tensor) -> Any:
        factor = scale[0] / SCALE
        return None, None, *[None if grad is None else grad * factor for grad in ctx.sums]


def _add(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    return old if new is None else new if old is None else old + new
