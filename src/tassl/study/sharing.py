"""Several processes, one data set: the first prepares it, the others wait and open it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from tassl.data.audit import Audit
from tassl.data.files import write_arrays
from tassl.data.store import open_store
from tassl.errors import InputError
from tassl.study.configuration import Study
from tassl.study.folder import SPLIT
from tassl.study.preparation import Prepared, assemble

PATIENCE = 12 * 3600.0  # seconds


def share_split(folder: Path, prepared: Prepared) -> None:
    """Tell other processes that the data are prepared, and which side each row is on."""
    write_arrays(folder / SPLIT, {"split": prepared.split.astype(str)})


def join_prepared(study: Study, folder: Path, patience: float = PATIENCE) -> Prepared:
    """Wait until the first process has prepared the data, and open them.

    Args:
        study: The configuration.
        folder: The run folder, the same for all processes.
        patience: Longest wait, in seconds.

    Raises:
        InputError: Nothing was prepared in that time.
    """
    file, start = folder / SPLIT, time.monotonic()
    while not file.exists():
        if time.monotonic() - start > patience:
            raise InputError(
                f"No data were prepared in {folder} within {patience / 3600:.0f} hours. Start the "
                "first process as well, and give all the same --out on a disk that they share."
            )
        time.sleep(0.5)
    with np.load(file) as shared:
        audit = Audit((), (), (), (), shared["split"].astype(object))
    return assemble(study, open_store(folder / "store"), audit)
