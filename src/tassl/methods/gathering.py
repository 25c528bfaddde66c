"""Losses that compare across a batch, when the batch is spread over processes.

One rule keeps the gradient right: the mean over the processes of what each returns as its loss is
the loss of the whole batch. Gathered rows send the gradients of every process back to the one
they came from, and the engine averages the gradients of the weights.

On a single process every function here gives back what it is given.
"""

from __future__ import annotations

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
    from torch.distributed.nn.functional import all_gather  # not in every build of torch

    parts = [part.unflatten(0, (views, -1)) for part in all_gather(rows)]
    return torch.cat(parts, 1).flatten(0, 1)


def average(value: Tensor) -> Tensor:
    """Mean over the processes, without gradient."""
    if count_ranks() == 1:
        return value
    return gather(value.detach().float()[None]).mean(0)


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
