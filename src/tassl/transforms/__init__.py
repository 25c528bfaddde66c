"""Augmentations, corruptions and masks on batched tensors, the same code for 2D and 3D.

Random numbers are drawn apart from their use: `draw_*` takes a generator, `apply_*` does not.
"""
