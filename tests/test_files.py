"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from tassl.data.files import write_atomically
from tassl.errors import RunFolderError

FULL = [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
]


@pytest.mark.parametrize(
    ("error", "raised"),
    [*((error, RunFolderError) for error in FULL), (ValueError("x"), ValueError)],
)
def test_what_was_there_stays_and_no_draft_is_left(
    tmp_path: Path, error: Exception, raised: type[Exception]
):
    file = tmp_path / "a.txt"
    file.write_text("old")

    def fail(draft: Path) -> None:
        draft.write_text("half")
        raise error

    with pytest.raises(raised) as caught:
        write_atomically(file, fail)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
    if raised is RunFolderError:
        assert "a.txt cannot be written: the disk is full. Free space, then" in str(caught.value)
