"""VoCo: how much does a random window overlap with each cell of the image?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tassl.methods.base import Batch, Method
from tassl.methods.parts import build_mlp
from tassl.networks.base import Encoder
from tassl.transforms.augment import Augment
from tassl.transforms.windows import cut_window

CELLS = 3


class VoCo(Method):
    """Contrast of positions: the similarity of a window to fixed cells is to be their overlap.

    Cells lie in the plane, 3 x 3; in 3D they span the whole third axis.

    Loss:
        Distance between predicted and true overlap, -log(1 - |difference|), plus the mean
        similarity between different cells, eq. 2 to 4.

    Args:
        encoder: The network to train.
        augment: Draws the view that is cut.
        windows: Random windows of each image.
        projection: Width of the space in which windows are compared.

    Source:
        Wu et al., CVPR 2024, arXiv:2402.17300, eq. 1 to 4.
    """

    def __init__(
        self, encoder: Encoder, *, augment: Augment, windows: int = 2, projection: int = 128
    ) -> None:
        super().__init__(encoder, augment=augment)
        self.options = {"windows": windows, "projection": projection}
        self.windows = windows
        self.project = build_mlp(encoder.width, encoder.width, projection)

    def views(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Cells and windows (batch, n, channel, *cell), and overlaps (batch, window, cell)."""
        images, rng = self.augment(batch.images, batch.rng), batch.rng
        cell = [images.shape[2] // CELLS, images.shape[3] // CELLS]
        side = torch.tensor(cell, device=rng.device)
        grid = torch.arange(CELLS, device=rng.device)
        corners = torch.cartesian_prod(grid, grid) * side
        draws = torch.rand(self.windows, 2, generator=rng, device=rng.device)
        chosen = (draws * ((CELLS - 1) * side + 1)).long()
        overlaps = share_of(chosen, corners, side).expand(len(images), -1, -1)
        cells, windows = (
            torch.stack([cut_window(images, start, cell) for start in starts], 1)
            for starts in (corners, chosen)
        )
        return cells, windows, overlaps

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Predict the overlaps from similarities."""
        cells, windows, overlaps = views
        count = cells.shape[1]
        pieces = torch.cat([cells, windows], 1)
        features = self.project(self.encoder(pieces.flatten(0, 1))).float()
        unit = F.normalize(features, dim=1).unflatten(0, pieces.shape[:2])
        return overlap_error(unit[:, count:], unit[:, :count], overlaps)

    @torch.no_grad()
    def picture(self, views: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """The first cell and the windows."""
        windows = {f"window {k + 1}": views[1][:, k] for k in range(self.windows)}
        return {"first cell": views[0][:, 0]} | windows


def share_of(windows: Tensor, cells: Tensor, side: Tensor) -> Tensor:
    """Share of each window's area that lies in each cell of the same size.

    Args:
        windows: First row and column of each, (window, 2).
        cells: The same of each cell, (cell, 2).
        side: Rows and columns of both, (2,).

    Returns:
        (window, cell).
    """
    apart = (windows[:, None] - cells[None]).abs()
    return ((side - apart).clamp_min(0) / side).prod(2)


def overlap_error(windows: Tensor, cells: Tensor, overlaps: Tensor) -> Tensor:
    """Distance of similarities from overlaps, and likeness of different cells.

    Args:
        windows: (batch, window, width) unit vectors.
        cells: (batch, cell, width) unit vectors; they learn from the second term alone.
        overlaps: (batch, window, cell) shares.
    """
    guess = F.relu(windows @ cells.detach().transpose(1, 2))
    position = -(1 - (guess - overlaps).abs()).clamp_min(1e-6).log().mean()
    likeness = F.relu(cells @ cells.transpose(1, 2))
    count = cells.shape[1]
    others = ~torch.eye(count, dtype=torch.bool, device=cells.device)
    return position + (likeness * others).sum() / (len(cells) * count * (count - 1))
