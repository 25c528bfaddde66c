"""A folder of DICOM files, however nested: what belongs together is told by the headers.

A series of slices is one volume, a single image one image, a clip a few of its frames. Patients,
studies and series appear under pseudonyms alone.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from tassl.data.manifest import Manifest, SetAside, make_table
from tassl.data.privacy import load_key, pseudonym
from tassl.data.readers import is_readable
from tassl.data.readers.dicom import Header, read_header
from tassl.errors import UnreadableFile

WANTED = "a folder of DICOM files"
FEWEST_SLICES = 4
MOST_FRAMES = 8
LOOKED_AT = 200
MARK = (128, b"DICM")


def recognises(path: Path) -> bool:
    """A folder whose first images are DICOM files is ours."""
    if not path.is_dir():
        return False
    for number, file in enumerate(path.rglob("*")):
        if number > LOOKED_AT:
            return False
        if file.is_file():
            if _is_dicom(file):
                return True
            if is_readable(file.name):
                return False
    return False


def read(path: Path) -> Manifest:
    """Read the manifest of a DICOM tree."""
    groups: dict[tuple[str, str, str], list[tuple[Path, Header]]] = defaultdict(list)
    set_aside: list[SetAside] = []
    for file in sorted(file for file in path.rglob("*") if file.is_file() and _is_dicom(file)):
        try:
            header = read_header(file)
            if header.localizer:
                raise UnreadableFile("is a scout image")
            groups[header.patient, header.study, header.series].append((file, header))
        except UnreadableFile as error:
            set_aside.append(SetAside(str(file.relative_to(path)), str(error)))
    key, rows = load_key(), []
    for names, members in groups.items():
        rows += _rows(path, names, members, key)
    table = make_table(rows)
    counts = [len({names[:depth] for names in groups}) for depth in (1, 2, 3)]
    notes = [
        "{} patients, {} studies, {} series, under pseudonyms".format(*counts),
        *_note_unknown(groups),
    ]
    return Manifest(path, "dicom-tree", table, notes=tuple(notes), set_aside=tuple(set_aside))


def _rows(
    path: Path, names: tuple[str, str, str], members: list[tuple[Path, Header]], key: bytes
) -> list[dict[str, object]]:
    """One row per volume, image or chosen frame of a series."""
    patient, study, series = names
    first = members[0][1]
    whose = patient or study or series
    name = pseudonym("/".join(names), key)
    shared: dict[str, object] = {
        "subject": pseudonym(whose, key) if whose else name,
        "study": pseudonym(study, key) if study else "",
        "site": " ".join(
            first.facts[fact] for fact in ("Manufacturer", "ManufacturerModelName")
            if fact in first.facts
        ),
    }  # fmt: skip
    files = [str(file.relative_to(path)) for file, _ in members]
    if len(members) >= FEWEST_SLICES and all(h.position and h.frames == 1 for _, h in members):
        return [shared | {"id": name, "file": files[0], "parts": tuple(files)}]
    rows: list[dict[str, object]] = []
    for number, (file, (_, header)) in enumerate(zip(files, members, strict=True)):
        if header.frames == 1:
            rows.append(shared | {"id": f"{name}-{number:03d}", "file": file})
            continue
        chosen = np.unique(np.linspace(0, header.frames - 1, MOST_FRAMES).round().astype(int))
        rows += [
            shared | {"id": f"{name}-{number:03d}-{k:04d}", "file": file, "item": k, "order": k}
            for k in chosen.tolist()
        ]
    return rows


def _note_unknown(groups: dict[tuple[str, str, str], list[tuple[Path, Header]]]) -> list[str]:
    unknown = sum(not patient for patient, _, _ in groups)
    if not unknown:
        return []
    return [
        f"{unknown} series name no patient: each study, or else series, is taken for its own "
        "subject; use --subject REGEX if the paths hold them"
    ]


def _is_dicom(file: Path) -> bool:
    if file.name.lower().endswith((".dcm", ".dicom", ".ima")):
        return True
    start, mark = MARK
    with file.open("rb") as opened:
        opened.seek(start)
        return opened.read(len(mark)) == mark
