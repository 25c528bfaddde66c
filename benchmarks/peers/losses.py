"""Our losses beside lightly's on the same tensors.

Conventions that differ, and how they are brought together:

* NT-Xent: none.
* Barlow Twins: both divide by the biased deviation, with 1e-5 added to the variance.
* VICReg: both take unbiased variances and covariances, and halve the summed hinges.
* BYOL: lightly gives the mean of -cos, we that of 2 - 2 cos.
* DINO: lightly moves its centre within the loss, we in `after_step`; both start from zeros here.
* MAE: lightly's example gathers hidden patches, we weigh maps by the mask. Normalised pixels
  (section 3 of the paper, lightly's `normalize_mean_var`) are not offered by us.
* MoCo: our negatives are the batch's other keys and the memory; lightly's are its bank, which
  holds both here, for one query at a time.
* DenseCL: ours finds a place among all places of the other view, both ways round; as for MoCo the
  bank holds the other places. It passes no gradient, so that the value alone is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.figures import Figure
from tassl.methods.barlow import barlow_twins
from tassl.methods.byol import prediction_error
from tassl.methods.dense import contrast_places
from tassl.methods.dino import distil
from tassl.methods.mae import masked_error
from tassl.methods.moco import info_nce
from tassl.methods.simclr import nt_xent
from tassl.methods.vicreg import vicreg
from tassl.transforms.draws import seeded
from tassl.transforms.masks import draw_block_masks

BATCH, WIDTH, HEAT, PATCH = 32, 64, 0.2, 8
MOST = 1e-5
Loss = Callable[[Tensor, Tensor], Tensor]


def measure() -> Iterator[Figure]:
    """Relative differences of the losses, and of their gradients where lightly has them."""
    rng = seeded(0)
    vectors = torch.randn(2, BATCH, WIDTH, generator=rng)
    pictures = torch.randn(2, BATCH, 3, 32, 32, generator=rng)
    for name, (ours, theirs) in _pair_up().items():
        first, second = pictures if name == "MAE" else vectors
        values, slopes = zip(
            *[_differentiate(loss, first, second) for loss in (ours, theirs)], strict=True
        )
        yield Figure(f"{name}: value beside lightly's", _distance(*values), "relative", MOST)
        if name != "DenseCL":
            yield Figure(f"{name}: gradient beside lightly's", _distance(*slopes), "relative", MOST)


def _differentiate(loss: Loss, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    first = first.clone().requires_grad_()
    value = loss(first, second)
    return value.detach(), torch.autograd.grad(value, first)[0]


def _distance(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


def _pair_up() -> dict[str, tuple[Loss, Loss]]:
    """Our loss and lightly's, by name."""
    from lightly import loss as their

    half = BATCH // 2
    cosine = their.NegativeCosineSimilarity()
    return {
        "NT-Xent": (
            lambda a, b: nt_xent(torch.cat([a, b]), HEAT), their.NTXentLoss(temperature=HEAT)
        ),
        "Barlow Twins": (lambda a, b: barlow_twins(a, b, 0.005), their.BarlowTwinsLoss(0.005)),
        "VICReg": (lambda a, b: vicreg(a, b, 25.0, 25.0, 1.0), their.VICRegLoss()),
        "BYOL": (prediction_error, lambda a, b: 2 + 2 * cosine(a, b)),
        "DINO": (
            lambda a, b: distil(a.split(8), (b / 0.04).softmax(1).split(8)[:2], 0.1),
            lambda a, b: their.DINOLoss(WIDTH, teacher_temp=0.04)(b.split(8)[:2], a.split(8)),
        ),
        "MAE": (_our_mae, _their_mae),
        "MoCo": (
            lambda a, b: info_nce(
                a[:half], F.normalize(b[:half], dim=1), torch.arange(half),
                F.normalize(b[half:], dim=1), torch.arange(half, BATCH), HEAT,
            ),
            lambda a, b: _contrast_by_bank(a[:half], b),
        ),
        "DenseCL": (
            lambda a, b: contrast_places(a[None], b[None], torch.ones(1, BATCH).bool(), HEAT),
            lambda a, b: (_contrast_by_bank(a, b) + _contrast_by_bank(b, a)) / 2,
        ),
    }  # fmt: skip


def _our_mae(restored: Tensor, images: Tensor) -> Tensor:
    return masked_error(restored, images, _hide(images))


def _their_mae(restored: Tensor, images: Tensor) -> Tensor:
    """As in lightly's example: the error over gathered patches."""
    from lightly.models import utils

    cells = _hide(images)[..., ::PATCH, ::PATCH].flatten(1)
    hidden = cells.nonzero()[:, 1].view(len(images), -1)
    made, wanted = (
        utils.get_at_index(utils.patchify(maps, PATCH), hidden) for maps in (restored, images)
    )
    return F.mse_loss(made, wanted)


def _hide(images: Tensor) -> Tensor:
    return draw_block_masks(len(images), tuple(images.shape[2:]), PATCH, 0.75, seeded(1))


def _contrast_by_bank(queries: Tensor, keys: Tensor) -> Tensor:
    """lightly's criterion with a bank, which for each query holds every key but its own."""
    from lightly.loss import NTXentLoss

    terms = []
    for k in range(len(queries)):
        criterion = NTXentLoss(HEAT, memory_bank_size=(len(keys) - 1, WIDTH))
        others = torch.cat([keys[:k], keys[k + 1 :]]).detach()
        criterion.memory_bank.bank = F.normalize(others, dim=1)
        terms.append(criterion(queries[k : k + 1], keys[k : k + 1]))
    return torch.stack(terms).mean()
