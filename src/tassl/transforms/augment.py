"""A random view of every image of a batch, by the ranges of a modality."""

from __future__ import annotations

import torch
from torch import Tensor

from tassl.data.tensors import Normalisation
from tassl.errors import OptionError
from tassl.modality.base import Augmentation
from tassl.transforms import colour, corruption, geometry, intensity
from tassl.transforms.boxes import draw_box_centres, move_boxes
from tassl.transforms.draws import uniform
from tassl.transforms.saliency import draw_spots

# Beyond these a bend may fold, a window close, a density turn negative.
MOST = {"elastic": 0.05, "window": 0.5, "stain": 1.0, "ghosting": 1.0, "cutout": 1.0}
COLOURS = 3
WINDOW = 64  # voxels a side
CACHED = 2**18  # pixels that stay in a processor's cache while they are changed


class Augment:
    """Draws a view of each image, in the order in which an image comes about.

    Geometry first, then stain and lamp, grey values, blur, noise, and what is left out. Stain and
    illuminant pass over images that have not three channels, such as grey ones of a colour
    modality.

    Args:
        ranges: Strength of each operation; operations at zero cost nothing.
        patch: Pixels of a view that is a window of the image; the whole size unless given.
        normalisation: Of the images; stain and illuminant need it, since they act on colours
            between 0 and 1.

    Raises:
        OptionError: A strength is out of range, or a colour operation lacks the normalisation.
    """

    def __init__(
        self,
        ranges: Augmentation,
        patch: tuple[int, ...] | None = None,
        normalisation: Normalisation | None = None,
    ) -> None:
        for name, most in MOST.items():
            if (value := getattr(ranges, name)) > most:
                raise OptionError(f"{name} is {value}; wanted at most {most}. Lower it.")
        if (ranges.stain or ranges.illuminant) and normalisation is None:
            raise OptionError(
                "stain and illuminant act on colours between 0 and 1, and the images came without "
                "their normalisation. Give it, or set both to 0."
            )
        self.ranges = ranges
        self.patch = patch
        self.normalisation = normalisation

    def __call__(self, images: Tensor, rng: torch.Generator, spots: Tensor | None = None) -> Tensor:
        """Return one view per image, (batch, channel, *patch), that shows its spot if one is given.

        Spots are (batch, dims) in torch's places, NaN where none is wanted.
        """
        size = _portion(images)
        parts = images.split(size)
        around = spots.split(size) if spots is not None else [None] * len(parts)
        return torch.cat(
            [
                self._view(part, self._grid(part, rng, own), rng)
                for part, own in zip(parts, around, strict=True)
            ]
        )

    def paired(
        self, images: Tensor, masks: Tensor, rng: torch.Generator, spots: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Augment images and move their masks (batch, *space) along; spots are as in `__call__`."""
        views, moved, size = [], [], _portion(images)
        parts = images.split(size), masks[:, None].split(size)
        around = spots.split(size) if spots is not None else [None] * len(parts[0])
        for part, layer, own in zip(*parts, around, strict=True):
            grid = self._grid(part, rng, own)
            views.append(self._view(part, grid, rng))
            moved.append(geometry.resample(layer.to(part.dtype), grid, nearest=True)[:, 0])
        return torch.cat(views), torch.cat(moved).to(masks.dtype)

    def boxed(self, images: Tensor, boxes: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Augment images and move their boxes (batch, box, class and corners) along with them.

        Half of the windows of large images are drawn around a box.
        """
        space, spots = tuple(images.shape[2:]), None
        if self.patch:
            spots = draw_box_centres(boxes, space, rng)
            spots[uniform(len(images), 0, 1, rng) < 0.5] = torch.nan
        affine, bend = self._draw(images, rng, spots)
        grid = geometry.sampling_grid(affine, self.patch or space, bend)
        parts = zip(images.split(_portion(images)), grid.split(_portion(images)), strict=True)
        views = torch.cat([self._view(*part, rng) for part in parts])
        return views, move_boxes(boxes, affine, bend, space, self.patch or space)

    def milder(self) -> Augment:
        """The same with mild ranges."""
        return Augment(self.ranges.mild(), self.patch, self.normalisation)

    def windows(self, patch: tuple[int, ...]) -> Augment:
        """The same ranges for windows of another size."""
        return Augment(self.ranges, patch, self.normalisation)

    def pair(self, first: Tensor, second: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """A view of each image of two batches; with `keep_spot` around a salient spot of each.

        Views of one image then share its spot, so that a small sign is not cropped away from one.
        """
        if not self.ranges.keep_spot:
            return self(first, rng), self(second, rng)
        spots = draw_spots(first, rng)
        others = spots if second is first else draw_spots(second, rng)
        kept = uniform(len(first), 0, 1, rng) < self.ranges.keep_spot
        nowhere = torch.full_like(spots, torch.nan)
        spots = torch.where(kept[:, None], spots, nowhere)
        others = torch.where(kept[:, None], others, nowhere)
        return self(first, rng, spots), self(second, rng, others)

    def placed(self, images: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """One view per image, without bends, and the map from its places to those of the image."""
        space = tuple(images.shape[2:])
        affine = geometry.draw_affine(self.ranges, len(images), space, rng, self.patch)
        grid = geometry.sampling_grid(affine, self.patch or space)
        return self._view(images, grid, rng), affine

    def _grid(self, images: Tensor, rng: torch.Generator, spots: Tensor | None = None) -> Tensor:
        affine, bend = self._draw(images, rng, spots)
        return geometry.sampling_grid(affine, self.patch or tuple(images.shape[2:]), bend)

    def _draw(
        self, images: Tensor, rng: torch.Generator, spots: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        r, batch, space = self.ranges, len(images), tuple(images.shape[2:])
        affine = geometry.draw_affine(r, batch, space, rng, self.patch, spots)
        bend = geometry.draw_bend(r.elastic, batch, len(space), rng) if r.elastic else None
        return affine, bend

    def _view(self, images: Tensor, grid: Tensor, rng: torch.Generator) -> Tensor:
        images = geometry.resample(images, grid)
        for change in (self._recolour, self._regrade, self._corrupt):
            images = change(images, rng)
        return images

    def _recolour(self, images: Tensor, rng: torch.Generator) -> Tensor:
        r, scale, shape = self.ranges, self.normalisation, (len(images), COLOURS)
        if not (r.stain or r.illuminant) or scale is None or images.shape[1] != COLOURS:
            return images
        mean, deviation = (
            images.new_tensor(values).view(1, -1, *[1] * (images.dim() - 2))
            for values in (scale.mean, scale.deviation)
        )
        colours = images * deviation + mean
        if r.stain:
            colours = colour.apply_stain(colours, uniform(shape, 1 - r.stain, 1 + r.stain, rng))
        if r.illuminant:
            gain = colour.draw_illuminant(r.illuminant, len(images), rng)
            colours = colour.apply_illuminant(colours, gain)
        return (colours - mean) / deviation

    def _regrade(self, images: Tensor, rng: torch.Generator) -> Tensor:
        r, batch, shape = self.ranges, len(images), tuple(images.shape)
        if r.bias_field:
            field = intensity.draw_field(shape, r.bias_field, rng)
            images = intensity.apply_field(images, field)
        if r.depth_gain:
            gain = intensity.draw_depth_gain(shape, r.depth_gain, rng)
            images = intensity.apply_field(images, gain)
        if r.contrast or r.brightness:
            contrast = uniform(batch, 1 - r.contrast, 1 + r.contrast, rng)
            brightness = uniform(batch, -r.brightness, r.brightness, rng)
            images = intensity.apply_gain(images, contrast, brightness)
        if r.gamma:
            images = intensity.apply_gamma(images, uniform(batch, -r.gamma, r.gamma, rng).exp())
        if r.window:
            bottom, top = (uniform(batch, 0, r.window, rng) for _ in range(2))
            images = intensity.apply_window(images, bottom, top)
        return images

    def _corrupt(self, images: Tensor, rng: torch.Generator) -> Tensor:
        r, batch, dims = self.ranges, len(images), images.dim() - 2
        if r.blur:
            reach = max(1, round(3 * r.blur))
            images = corruption.apply_blur(images, uniform(batch, 0, r.blur, rng), reach)
        if r.ghosting:
            ghosts = corruption.draw_ghosts(r.ghosting, batch, dims, rng)
            images = corruption.apply_ghosts(images, *ghosts)
        if r.noise or r.speckle or r.poisson:
            deviations = (uniform(batch, 0, most, rng) for most in (r.noise, r.speckle, r.poisson))
            images = corruption.apply_noise(images, _normal(images.shape, rng), *deviations)
        if r.rician:
            noise = _normal((2, *images.shape), rng)
            images = corruption.apply_rician(images, noise, uniform(batch, 0, r.rician, rng))
        if r.cutout:
            block = corruption.draw_block(r.cutout, batch, dims, rng)
            images = corruption.apply_cutout(images, *block)
        return images


def _portion(images: Tensor) -> int:
    """How many images to change at a time: as many as the cache of a processor holds."""
    return max(1, CACHED // images[0].numel()) if images.is_cpu else len(images)


def _normal(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=rng, device=rng.device)


def patch_of(space: tuple[int, ...]) -> tuple[int, ...] | None:
    """The window that larger volumes are trained on, at most 64 voxels a side; else none."""
    large = len(space) == 3 and max(space) > WINDOW
    return tuple(min(WINDOW, size) for size in space) if large else None
