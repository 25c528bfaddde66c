"""Total variation: what restores images without having seen others."""

from __future__ import annotations

import torch
from torch import Tensor

from tassl.transforms.acquired import Measurement

STEPS, RATE = 120, 0.05
EDGE = 1e-2  # steps between pixels, in deviations of the images, below which they count less


@torch.enable_grad()
def smooth_variation(measurement: Measurement, weight: float) -> Tensor:
    """Look for smooth images with sharp edges that would have been measured so.

    Minimises half the squared distance between the images, degraded but for the noise, and what
    was measured, plus `weight` times their total variation. Channels are smoothed apart.

    Returns:
        (batch, channel, *space); what was measured in k-space is put back.

    Source:
        Rudin, Osher & Fatemi 1992, 10.1016/0167-2789(92)90242-F; for k-space: Lustig et al. 2007,
        10.1002/mrm.21391; by Adam on a smooth form of it (Kingma & Ba 2015, arXiv:1412.6980).
    """
    seen, degrader, drawn = measurement.images, measurement.degrader, measurement.drawn
    found = seen.clone().requires_grad_()
    optimizer = torch.optim.Adam([found], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        misfit = (degrader.blunt(found, drawn) - seen).square().sum() / 2
        (misfit + weight * total_variation(found)).backward()
        optimizer.step()
        schedule.step()
    return measurement.agree(found.detach())


def total_variation(images: Tensor) -> Tensor:
    """Summed length of the gradients of images (batch, channel, *space), one number."""
    square = torch.full_like(images, EDGE**2)
    for axis in range(2, images.dim()):
        step = images.diff(dim=axis, append=images.narrow(axis, -1, 1))
        square = square + step.square()
    return square.sqrt().sum()
