"""DICOM files in folders of any nesting, understood by their headers alone.

A series whose slices lie apart is one volume; a cine is some of its frames, evenly spread; any
other picture stands for itself. Patients, studies and series appear as pseudonyms only.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from tassl.data.manifest import Manifest, SetAside, make_table
from tassl.data.privacy import pseudonym, read_key
from tassl.data.progress import Track
from tassl.data.readers.dicom import ENDINGS
from tassl.data.readers.dicom import recognises as is_dicom
from tassl.data.readers.headers import Header, read_header
from tassl.data.readers.stacks import PARALLEL, find_axes, pick_slices
from tassl.errors import UnreadableFile

WANTED = "DICOM files (.dcm, .dicom, .ima, or any that begin as DICOM does)"
LOOKED_AT = 200  # files, before a folder is taken for another's
FEWEST_SLICES = 4
MOST_FRAMES = 16  # of one cine
APART = 1000  # places between two series or cines of a study, so that none are neighbours
BESIDE = {".txt", ".md", ".csv", ".json", ".xml", ".html", ".pdf", ".log"}  # explain the data
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
PROJECTIONS = ("CR", "DX", "MG")  # public sets of X-rays come as secondary captures
UNWANTED = {
    "1.2.840.10008.1.3.10": "a directory of files",
    CAPTURE: "a secondary capture",
    "1.2.840.10008.5.1.4.1.1.11": "a presentation state",
    "1.2.840.10008.5.1.4.1.1.66": "a registration, segmentation or raw data",
    "1.2.840.10008.5.1.4.1.1.88": "a structured report",
    "1.2.840.10008.5.1.4.1.1.481": "radiotherapy data",
}

Found = list[tuple[str, Header]]


def recognises(path: Path) -> bool:
    """A folder with DICOM files is ours."""
    return path.is_dir() and any(_looks_like_dicom(f) for f in islice(_walk(path), LOOKED_AT))


def read(path: Path, *, track: Track = iter) -> Manifest:
    """Read the manifest of a tree of DICOM files.

    Raises:
        OptionError: The key of the pseudonyms cannot be kept.
    """
    key = read_key()
    series, set_aside = _group(path, track)
    volumes, images, taken = [], [], Counter()
    for found in series.values():
        study = (found[0][1].patient, found[0][1].study)
        try:
            is_volume, rows = _read_series(found, key, taken[study])
        except UnreadableFile as error:
            set_aside.append(SetAside(found[0][0], f"a series of {len(found)} files {error}"))
        else:
            (volumes if is_volume else images).extend(rows)
            taken[study] += sum(header.frames + APART for _, header in found)
    if sum(len(row["parts"]) or FEWEST_SLICES for row in volumes) >= len(images):
        kept, others, reason = volumes, images, "a single picture among volumes"
    else:
        kept, others, reason = images, volumes, "a volume among single pictures"
    set_aside += [SetAside(str(row["file"]), reason) for row in others]
    table = make_table(kept)
    notes = (
        f"DICOM: {table.subject.nunique()} patients, {table.study.nunique()} studies, "
        f"{len(series)} series; their names are pseudonyms",
        *_note_patients(series),
    )
    return Manifest(path, "dicom-tree", table, notes=notes, set_aside=tuple(set_aside))


def _group(path: Path, track: Track) -> tuple[dict[tuple[str, str, str], Found], list[SetAside]]:
    """Files of each patient, study and series in their order; and what is none of them."""
    series, set_aside, seen = defaultdict(list), [], set()
    for file in track(list(_walk(path))):
        name = str(file.relative_to(path))
        try:
            header = _read_wanted(file)
        except UnreadableFile as error:
            if file.suffix.lower() not in BESIDE and not file.stem.upper().startswith("README"):
                set_aside.append(SetAside(name, str(error)))
            continue
        if header.instance and header.instance in seen:
            set_aside.append(SetAside(name, "a copy of another file of this tree"))
            continue
        seen.add(header.instance)
        series[header.patient or header.study, header.study, header.series].append((name, header))
    for found in series.values():
        found.sort(key=lambda pair: (pair[1].number, pair[0]))
    return series, set_aside


def _read_wanted(file: Path) -> Header:
    if not _looks_like_dicom(file):
        raise UnreadableFile("is not DICOM, or cannot be opened")
    header = read_header(file)
    parent = next((uid for uid in UNWANTED if f"{header.storage}.".startswith(f"{uid}.")), "")
    exported = header.storage == CAPTURE and header.facts.get("Modality") in PROJECTIONS
    if parent and not exported:
        raise UnreadableFile(f"is {UNWANTED[parent]}, not an image of the patient")
    if "LOCALIZER" in header.image_type:
        raise UnreadableFile("is a localizer")
    if not header.frames:
        raise UnreadableFile("holds no picture")
    return header


def _read_series(found: Found, key: bytes, start: int) -> tuple[bool, list[dict[str, object]]]:
    """Rows of a series, numbered from a place in its study, and whether they are volumes."""
    _, head = found[0]
    patient = head.patient or head.study
    name = pseudonym("\n".join((patient, head.study, head.series)), key)
    shared: dict[str, object] = {
        "subject": pseudonym(patient, key),
        "study": pseudonym(head.study, key),
        "site": " ".join(filter(None, (head.maker, pseudonym(head.device, key)[:6]))),
        "sex": head.sex,
        "age": head.age,
    }
    headers = [header for _, header in found]
    plain = len(found) >= FEWEST_SLICES and all(len(header.planes) == 1 for header in headers)
    if plain and _count_places(headers) >= FEWEST_SLICES:
        files = tuple(file for file, _ in found)
        return True, [shared | {"id": name, "file": files[0], "parts": files}]
    if all(len(header.planes) >= FEWEST_SLICES for header in headers):
        return True, [
            shared | {"id": f"{name}-{k}", "file": file, "parts": ()}
            for k, (file, _) in enumerate(found)
        ]
    rows = []
    for k, (file, header) in enumerate(found):
        rows += [
            shared
            | {"id": f"{name}-{k}-{frame}", "file": file, "item": frame}
            | {"order": start + max(frame, 0)}
            for frame in _spread(header.frames)
        ]
        start += 1 if header.frames == 1 else header.frames + APART
    return False, rows


def _count_places(headers: list[Header]) -> int:
    """Count the places at which slices lie.

    Raises:
        UnreadableFile: The slices cannot make up a volume.
    """
    planes = [header.planes[0] for header in headers]
    directions = np.array([plane.orientation for plane in planes])
    sizes = {(header.facts.get("Rows"), header.facts.get("Columns")) for header in headers}
    if len(sizes) > 1 or np.ptp(directions, axis=0).max() > PARALLEL:
        raise UnreadableFile("has slices of different sizes or directions, as a localizer has")
    normal = find_axes(directions[0])[2]
    return len(pick_slices(np.array([plane.position for plane in planes]) @ normal))


def _spread(frames: int) -> list[int]:
    """Up to `MOST_FRAMES` frame numbers, the middles of equal stretches; -1 for a lone frame."""
    if frames == 1:
        return [-1]
    wanted = min(frames, MOST_FRAMES)
    return [(2 * k + 1) * frames // (2 * wanted) for k in range(wanted)]


def _note_patients(series: dict[tuple[str, str, str], Found]) -> list[str]:
    nameless = sum(not found[0][1].patient for found in series.values())
    return [f"{nameless} series without a patient id: their study stands for it"] * bool(nameless)


def _walk(path: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(path):
        below.sort()
        yield from (Path(folder, name) for name in sorted(files) if name[0] != ".")


def _looks_like_dicom(file: Path) -> bool:
    if file.suffix.lower() in ENDINGS:
        return True
    try:
        with file.open("rb") as opened:
            return is_dicom(opened.read(132))
    except OSError:
        return False
