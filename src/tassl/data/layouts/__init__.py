"""How data sets lie on disk: one layout per file, each able to recognise and to read itself."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from tassl.data.layouts import arrays, class_folders, nifti_pairs
from tassl.data.manifest import Manifest, check_manifest, rename_subjects
from tassl.data.remote import Watch, is_remote, localise, unwatched
from tassl.errors import InputError
from tassl.registry import look_up

LAYOUTS: dict[str, ModuleType] = {
    "arrays": arrays,
    "nifti-pairs": nifti_pairs,
    "class-folders": class_folders,
}


def index(
    data: str | Path,
    *,
    layout: str | None = None,
    subject: str | None = None,
    own_splits: bool = False,
    watch: Watch = unwatched,
) -> Manifest:
    """Understand a file or folder as a data set.

    Args:
        data: A MedMNIST-style npz file, a folder of NIfTI image and label pairs, or a folder with
            one subfolder per class; or the address of one, as s3://bucket/folder.
        layout: Name of the layout, where recognition guesses wrong.
        subject: Regular expression with one group that finds the subject in a file name.
        own_splits: Forget the splits that the data set gives.
        watch: Shows how far the transfer of remote data is.

    Returns:
        The checked manifest, one row per image.

    Raises:
        InputError: The path is missing, empty or not understood.
        LeakError: A subject stands on both sides of a given split.
        OptionError: The layout or the subject pattern makes no sense.
    """
    path = localise(str(data), watch=watch) if is_remote(data) else Path(data)
    if not path.exists():
        raise InputError(f"{path} does not exist. Give a file or folder of images.")
    chosen = look_up(LAYOUTS, layout, "layout") if layout else recognise(path)
    if not chosen.recognises(path):
        raise InputError(f"{path} does not lie as layout {layout!r} wants: {chosen.WANTED}.")
    manifest = chosen.read(path)
    if subject:
        manifest = rename_subjects(manifest, subject)
    if own_splits:
        manifest.table["split"] = ""
    return check_manifest(manifest)


def recognise(path: Path) -> ModuleType:
    """Return the first layout that knows the path as its own."""
    for layout in LAYOUTS.values():
        if layout.recognises(path):
            return layout
    held = "is empty" if path.is_dir() and not any(path.iterdir()) else "is not understood"
    raise InputError(
        f"{path} {held}. Give an npz file with images, a folder with images/ and labels/ "
        "(or imagesTr/ and labelsTr/) of NIfTI files, or a folder with one subfolder per class."
    )
