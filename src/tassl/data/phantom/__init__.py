"""The embedded phantom cohort: drawn images of which every truth is known.

A `PhantomSpec` says what to draw, `draw_cohort` draws it, `save_npz` and `save_nifti` write it.
"""

from tassl.data.phantom.cohort import Cohort, draw_cohort
from tassl.data.phantom.spec import PhantomSpec
from tassl.data.phantom.writers import save_nifti, save_npz

__all__ = ["Cohort", "PhantomSpec", "draw_cohort", "save_nifti", "save_npz"]
