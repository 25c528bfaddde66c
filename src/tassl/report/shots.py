"""Pictures of single images of the store, with or without outlines."""

from __future__ import annotations

import numpy as np

from tassl.data.store import Store
from tassl.report.pictures import (
    Picture,
    Plane,
    fullest_slice,
    grey_range,
    show,
    show_boxed,
    show_outlined,
    show_regions,
    show_row,
)

Panels = tuple[tuple[str, Picture], ...]


class Shots:
    """Takes pictures of the images of a store.

    Args:
        store: The images; without it there are no pictures.
    """

    def __init__(self, store: Store | None) -> None:
        self.store = store
        self.rows: dict[str, int] = {}
        if store is not None:
            self.rows = {str(name): row for row, name in enumerate(store.table.id)}
            self.plane = Plane(store.dims, store.grid.spacing)

    def plain(self, name: str, alt: str) -> Panels:
        """The image alone."""
        if self.store is None or name not in self.rows:
            return ()
        return (("", show(self.store.images[self.rows[name]], self.plane, alt)),)

    def restored(self, name: str, found: dict[str, np.ndarray]) -> Panels:
        """The clean image, those found for it in its window, and where all but the first err.

        Errors are white where the largest of them all is.
        """
        if self.store is None or name not in self.rows or not found:
            return ()
        clean = self.store.images[self.rows[name]].astype(np.float32) * self.store.scale
        window = grey_range(clean)
        panels = [
            (who, show(image, self.plane, f"{name}, {who}", window=window))
            for who, image in {"clean": clean, **found}.items()
        ]
        errors = {who: np.abs(image - clean).mean(0)[None] for who, image in found.items()}
        restored = dict(list(errors.items())[1:])
        brightest = (0.0, max([1e-6, *(float(error.max()) for error in restored.values())]))
        for who, error in restored.items():
            alt = f"{name}, error of {who}"
            panels.append((f"error of {who}", show(error, self.plane, alt, window=brightest)))
        return tuple(panels)

    def beside(self, names: list[str]) -> Picture | None:
        """Several images side by side; None where one is not there."""
        if self.store is None or not set(names) <= self.rows.keys():
            return None
        images = self.store.images[[self.rows[name] for name in names]]
        return show_row(
            images, [grey_range(image) for image in images], self.plane, " | ".join(names)
        )

    def outlined(
        self, name: str, predicted: dict[str, dict[str, np.ndarray]], *, regions: bool = False
    ) -> Panels:
        """The image, then the outlines of the reference and of each prediction.

        Args:
            name: Id of the image.
            predicted: Masks by who predicted them and by image.
            regions: Whether these are codes of regions.
        """
        if self.store is None or self.store.masks is None or name not in self.rows:
            return ()
        image, truth = (part[self.rows[name]] for part in (self.store.images, self.store.masks))
        truth = self.store.codes[truth] if regions else truth
        found = {who: masks[name] for who, masks in predicted.items() if name in masks}
        filled = next((mask for mask in (truth, *found.values()) if mask.any()), truth)
        at = fullest_slice(filled, self.plane)
        panels = [("image", show(image, self.plane, f"{name} without outlines", at))]
        for who, mask in {"reference": truth, **found}.items():
            alt = f"{name} with the outline of the {who} segmentation"
            if regions:
                picture = show_regions(image, mask, len(self.store.regions), self.plane, alt, at)
            else:
                picture = show_outlined(image, mask, self.plane, alt, at)
            panels.append((who, picture))
        return tuple(panels)

    def boxed(self, name: str, boxes: dict[str, np.ndarray]) -> Panels:
        """The image, then each set of boxes (box, class and corners) in it."""
        if self.store is None or name not in self.rows:
            return ()
        image, at = self.store.images[self.rows[name]], None
        if self.store.dims == 3 and (known := np.concatenate(list(boxes.values()))).size:
            axis = self.plane.axis  # the slice that the first box, one of the reference, is cut by
            at = int((known[0, 1 + axis] + known[0, 4 + axis]) / 2)
        panels = [("image", show(image, self.plane, f"{name} without boxes", at))]
        for who, own in boxes.items():
            alt = f"{name} with {len(own)} boxes: {who}"
            panels.append((who, show_boxed(image, own, self.plane, alt, at)))
        return tuple(panels)
