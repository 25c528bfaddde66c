"""Losses that compare across a batch, when the batch is spread over processes.

One rule keeps the gradient right: the mean over the processes of what each returns as its loss is
the loss of the whole batch. Gathered rows send the gradients of every process back to the one
they came from, and the engine averages the gradients of the weights.

On a single process every function here gives back what it is given.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn


def count_ranks() -> int:
    """Processes that train together."""
    ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if ready else 1


def gather(rows: Tensor, views: int = 1) -> Tensor:
    """Rows of the whole batch, with gradient.

    Args:
        rows: (views * share, ...), this process's share of the batch, view after view.
        views: Views of each image that stand in `rows`.

    Returns:
        (views * batch, ...), view after view, in each the shares in the order of the processes.
    """
    if count_ranks() == 1:
        return rows
    parts: Tensor = _Gather.apply(rows)  # type: ignore[assignment]
    return parts.unflatten(1, (views, -1)).transpose(0, 1).flatten(0, 2)


def average(value: Tensor) -> Tensor:
    """Mean over the processes, without gradient."""
    if count_ranks() == 1:
        return value
    return gather(value.detach().float()[None]).mean(0)


class _Gather(torch.autograd.Function):
    """(row, ...) to (process, row, ...); torch's own deprecated it and has no lasting successor."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        rows = rows.contiguous()
        parts = [torch.empty_like(rows) for _ in range(count_ranks())]
        distributed.all_gather(parts, rows)
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(gradient)
        return gradient[distributed.get_rank()]


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of (row, feature) by the statistics of the whole batch.

    Torch's own SyncBatchNorm runs on GPUs alone.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise this process's rows."""
        if not self.training or count_ranks() == 1:
            return super().forward(input)
        share = len(input)
        return super().forward(gather(input)).narrow(0, distributed.get_rank() * share, share)
