"""Which row of a table tells of which image, by the ends of their paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tassl.errors import InputError

SEVERAL = -2


def match_names(files: Sequence[str], names: Sequence[str], path: Path) -> dict[int, int]:
    """Match the names in a table with files, whatever of folders and ending either leaves out.

    `x/1.png` is meant by `x/1.png`, `1.png`, `1` and `/old/place/x/1.png`.

    Args:
        files: One per image, relative to the root.
        names: One per row of the table.
        path: The table, for messages.

    Returns:
        Row by image, of those that the table names.

    Raises:
        InputError: A name may mean several images, or two rows name one image.
    """
    ends: dict[str, int] = {}
    for image, file in enumerate(files):
        for key in set(_keys(file)):
            ends[key] = SEVERAL if key in ends else image
    rows: dict[int, int] = {}
    for row, name in enumerate(names):
        image = next((ends[key] for key in _keys(name) if key in ends), None)
        if image is None:
            continue
        if image == SEVERAL:
            raise InputError(
                f"{path} names {name!r}, and several images end so. Give their folders too."
            )
        if image in rows:
            raise InputError(
                f"{path} has two rows for {files[image]}: {names[rows[image]]!r} and {name!r}. "
                "Leave one row per image."
            )
        rows[image] = row
    return rows


def strip_ending(name: str) -> str:
    """File name without its ending, of which `.nii.gz` is one."""
    return Path(name.removesuffix(".gz")).stem


def _keys(name: str) -> Iterator[str]:
    """A path and its ends, the longest first, each as it is and then without its ending."""
    whole = name.strip().replace("\\", "/").lower().removeprefix("./")
    while whole:
        yield whole
        folder, slash, last = whole.rpartition("/")
        if (bare := strip_ending(last)) != last:
            yield f"{folder}{slash}{bare}"
        whole = whole.partition("/")[2]
