"""Cut an image into tiles for puzzles, each a little off its place so that edges do not match."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from tassl.transforms.windows import cut_window

GAP = 0.85  # side of a tile as a share of its cell


def cut_tiles(images: Tensor, cells: int, rng: torch.Generator) -> Tensor:
    """Cut one tile from each cell of a grid, at a random place within its cell.

    Every tile is brought to zero mean and unit deviation, since brightness would tell neighbours.

    Args:
        images: (batch, channel, *space).
        cells: Cells along each axis.
        rng: Source of the places, the same for the whole batch.

    Returns:
        (batch, tile, channel, *tile space), tiles in row-major order.
    """
    sides = [size // cells for size in images.shape[2:]]
    tile = [max(2, int(GAP * side)) for side in sides]
    tiles = []
    for place in itertools.product(range(cells), repeat=len(sides)):
        draws = torch.rand(len(sides), generator=rng, device=rng.device)
        starts = [
            cell * side + (draw * (side - size + 1)).long()
            for cell, side, size, draw in zip(place, sides, tile, draws, strict=True)
        ]
        tiles.append(cut_window(images, starts, tile))
    stacked = torch.stack(tiles, 1)
    flat = stacked.flatten(2)
    shape = (*flat.shape[:2], *[1] * (stacked.dim() - 2))
    mean, deviation = flat.mean(2).view(shape), flat.std(2).view(shape)
    return (stacked - mean) / (deviation + 1e-3)


def lay_tiles(tiles: Tensor, cells: int, space: tuple[int, ...]) -> Tensor:
    """Lay tiles out as one picture of the size `space`, with gaps, for a person to look at."""
    picture = tiles.new_full((len(tiles), tiles.shape[2], *space), float(tiles.min()))
    places = itertools.product(range(cells), repeat=len(space))
    for k, place in enumerate(places):
        starts = [c * (size // cells) for c, size in zip(place, space, strict=True)]
        window = [slice(s, s + n) for s, n in zip(starts, tiles.shape[3:], strict=True)]
        picture[(..., *window)] = tiles[:, k]
    return picture


def far_permutations(count: int, wanted: int, seed: int = 0) -> Tensor:
    """Permutations that differ in many places, chosen greedily from random ones.

    Source:
        Noroozi & Favaro, ECCV 2016, arXiv:1603.09246, algorithm 1.

    Returns:
        (permutation, count), the same for the same seed.
    """
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.stack([torch.randperm(count, generator=rng) for _ in range(1000)])
    pool = torch.unique(drawn, dim=0)
    chosen = [pool[0]]
    distance = torch.full((len(pool),), count)
    for _ in range(min(wanted, len(pool)) - 1):
        distance = torch.minimum(distance, (pool != chosen[-1]).sum(1))
        chosen.append(pool[int(distance.argmax())])
    return torch.stack(chosen)
