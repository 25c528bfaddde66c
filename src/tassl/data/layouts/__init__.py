"""How data sets lie on disk: one layout per file, each able to recognise and to read itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

from tassl.data.layouts import (
    arrays,
    class_folders,
    coco,
    dicom_tree,
    masked_pictures,
    pictures,
    table,
    voc,
    volume_pairs,
)
from tassl.data.manifest import Manifest, check_manifest, rename_subjects
from tassl.data.progress import Track
from tassl.data.regions import parse_regions
from tassl.data.remote import Watch, is_remote, localise, unwatched
from tassl.errors import InputError, OptionError
from tassl.registry import look_up

LAYOUTS: dict[str, ModuleType] = {
    "arrays": arrays,
    "table": table,
    "voc": voc,
    "coco": coco,
    "volume-pairs": volume_pairs,
    "masked-pictures": masked_pictures,
    "class-folders": class_folders,
    "dicom-tree": dicom_tree,
    "pictures": pictures,
}


def index(
    data: str | Path,
    *,
    layout: str | None = None,
    subject: str | None = None,
    csv: str | Path | None = None,
    label: str | None = None,
    value: str | None = None,
    regions: str | None = None,
    own_splits: bool = False,
    watch: Watch = unwatched,
    track: Track = iter,
) -> Manifest:
    """Understand a file or folder as a data set.

    Args:
        data: A file or folder that one of `LAYOUTS` recognises, or the address of one, as
            s3://bucket/folder.
        layout: Name of the layout, where recognition guesses wrong.
        subject: Regular expression with one group that finds the subject in a file name.
        csv: Table that tells more of the images, by file name.
        label: Its column of the class, or those of findings as "A,B", where names do not tell.
        value: Its column of the number to predict, where neither name nor unit tell.
        regions: Names of regions and the classes of masks that each joins, as in
            "whole=1+2+3,core=2+3".
        own_splits: Forget the splits that the data set gives.
        watch: Shows how far the transfer of remote data is.
        track: Shows how far the walk over files is.

    Returns:
        The checked manifest, one row per image.

    Raises:
        InputError: The path is missing, empty or not understood.
        LeakError: A subject stands on both sides of a given split.
        OptionError: The layout, the subject pattern or the regions make no sense.
    """
    path = localise(str(data), watch=watch) if is_remote(data) else Path(data)
    if not path.exists():
        raise InputError(f"{path} does not exist. Give a file or folder of images.")
    chosen = look_up(LAYOUTS, layout, "layout") if layout else recognise(path)
    if not chosen.recognises(path):
        raise InputError(f"{path} does not lie as layout {layout!r} wants: {chosen.WANTED}.")
    if chosen is table and not csv:
        manifest = table.read(path, label=label, value=value, track=track)
    else:
        manifest = chosen.read(path, track=track)
    if csv:
        manifest = table.join(manifest, Path(csv), label=label, value=value)
    elif chosen is not table and (label or value):
        raise OptionError("--label and --value name columns of a table; give it with --csv FILE.")
    if regions:
        manifest = _name_regions(manifest, regions)
    if subject:
        manifest = rename_subjects(manifest, subject)
    if own_splits:
        manifest.table["split"] = ""
    return check_manifest(manifest)


def _name_regions(manifest: Manifest, text: str) -> Manifest:
    regions = parse_regions(text)
    if manifest.marks == "regions":
        raise OptionError(
            "--regions joins classes of label maps, and here every mask marks a region already: "
            f"{', '.join(manifest.regions)}. Leave it out."
        )
    return replace(manifest, regions=regions)


def recognise(path: Path) -> ModuleType:
    """Return the first layout that knows the path as its own."""
    for layout in LAYOUTS.values():
        if layout.recognises(path):
            return layout
    held = "is empty" if path.is_dir() and not any(path.iterdir()) else "is not understood"
    wanted = "; ".join(layout.WANTED for layout in LAYOUTS.values())
    raise InputError(f"{path} {held}. Give one of these: {wanted}.")
