"""What to say of subjects where the data name none."""

from __future__ import annotations

import re
from collections.abc import Sequence

NO_SUBJECTS = "no subject ids: each image is taken for its own subject"
# Up to the first number of the name, where a further part or one letter follows: 012_2, Image_01L.
STEM = r"(?:^|/)([^/\d]*\d+)(?:[_. -]|[A-Za-z]\.)[^/]*$"
PROPOSED = (r"(\d+)", r"(\d+)[^/]*$", STEM)  # the simplest that groups the files as STEM does


def note_subjects(files: Sequence[str]) -> str:
    """Say that every image is its own subject, and propose an option where names show a pattern.

    Args:
        files: One per image, relative to the root: what `--subject` is searched in.
    """
    groups = _group(files, STEM)
    if groups is None or not 1 < len(set(groups)) < len(files):
        return f"{NO_SUBJECTS}; use --subject REGEX if the file names hold them"
    pattern = next(pattern for pattern in PROPOSED if _group(files, pattern) == groups)
    return (
        f"{NO_SUBJECTS}; names share numbers: if these tell subjects, give "
        f"--subject '{pattern}' ({len(set(groups))} subjects)"
    )


def _group(files: Sequence[str], pattern: str) -> list[int] | None:
    """Number of each file's group in the order they come; None where one has no such part."""
    numbers: dict[str, int] = {}
    found = [re.search(pattern, file) for file in files]
    return [numbers.setdefault(m[1], len(numbers)) for m in found if m] if all(found) else None
