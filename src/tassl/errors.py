"""Every error that a user can cause, in one tree.

    TasslError
    ├── InputError          the data is not what was promised
    │   ├── LeakError       a subject stands on both sides of a split
    │   └── UnreadableFile  one file cannot be read; it is set aside and the rest goes on
    ├── OptionError         an option, or a combination of options, makes no sense
    │   ├── UnknownName     no method, modality, network, task or arm has this name
    │   └── BannedOperation the modality forbids this augmentation
    ├── LostProcess         another process of the same run ended
    └── RunFolderError      the output cannot be written, or holds another run

A message says what came, what was wanted and what to do next, in one line. The command line
prints it and exits with 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class TasslError(Exception):
    """The root: catch this to catch them all."""


class InputError(TasslError):
    """The data is not what was promised."""


class LeakError(InputError):
    """A subject stands on both sides of a split."""


class UnreadableFile(InputError):
    """One file cannot be read; it is set aside with this reason."""


class OptionError(TasslError):
    """An option, or a combination of options, makes no sense."""


class UnknownName(OptionError):
    """No such name in a registry; the nearest one is suggested."""

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        known = sorted(known)
        near = get_close_matches(str(name), known, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]!r}?" if near else f"Choose one of: {', '.join(known)}."
        super().__init__(f"No {kind} is named {str(name)!r}. {hint}")


class BannedOperation(OptionError):
    """The modality forbids this augmentation, with its reason."""


class LostProcess(TasslError):
    """Another process of the same run ended."""


class RunFolderError(TasslError):
    """The output cannot be written, or holds another run."""
