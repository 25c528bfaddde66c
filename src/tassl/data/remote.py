"""Remote data, mirrored: only what is missing or changed travels, then all is as with local data.

Files at http and https addresses are read through urllib, all else (s3, gs, sftp, ...) through
fsspec. Credentials are those that each protocol's own package finds in the environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from threading import Event, Lock
from typing import Any, TextIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tassl.data.fetching import OnBytes, Opened, check_space, download, open_url, strip_secrets
from tassl.data.files import write_text
from tassl.errors import InputError, OptionError

WORKERS = 8  # transfers at a time: they wait for the network, not for a core
REQUEST = 8 << 20  # bytes at a time
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
# What tells a file from its next version, as the packages of fsspec name it.
MARKS = ("etag", "md5hash", "content-md5", "lastmodified", "last_modified", "mtime", "created")

Watch = Callable[[str], AbstractContextManager[OnBytes]]


def unwatched(title: str) -> AbstractContextManager[OnBytes]:
    """Show nothing of a transfer."""
    return nullcontext(lambda done, total: None)


@dataclass(frozen=True)
class RemoteFile:
    """A file of a remote data set.

    Args:
        path: Relative to the data set.
        size: In bytes, None where the source does not say.
        mark: Changes when the file changes, "" where the source does not say.
        open_at: Opens it at a byte.
    """

    path: str
    size: int | None
    mark: str
    open_at: Callable[[int], Opened]


def is_remote(data: str | Path) -> bool:
    """Whether data are named by an address, as s3://bucket/folder."""
    return bool(re.match(r"[A-Za-z][\w.+-]*://", str(data)))


def localise(uri: str, *, watch: Watch = unwatched) -> Path:
    """Mirror a remote file or folder in TASSL_CACHE, and return the local copy.

    What was cut is resumed; what was changed there is fetched anew; what is gone there goes here.

    Args:
        uri: Address with its protocol.
        watch: Shows how far the transfer is.

    Raises:
        InputError: The source is missing, empty, refuses, or breaks.
        OptionError: The protocol is unknown or its package missing, or the disk is full.
    """
    name = strip_secrets(uri).rstrip("/")
    protocol = uri.partition("://")[0].lower()
    if protocol == "file":
        return Path(url2pathname(urlsplit(uri).path))
    try:
        files = _list_url(uri) if protocol in ("http", "https") else _list_files(uri, name)
        return _mirror(files, name, _default_cache(), watch)
    except OSError as error:
        raise OptionError(
            f"The copy of {name} cannot be written ({error.strerror or type(error).__name__}). "
            "Set TASSL_CACHE to a folder that can."
        ) from None


def _default_cache() -> Path:
    root = os.environ.get("TASSL_CACHE") or Path.home() / ".cache" / "tassl"
    return Path(root) / "remote"


def _list_url(url: str) -> list[RemoteFile]:
    """The one file at an http address."""
    opened = open_url(url)
    opened.stream.close()
    return [RemoteFile("", opened.total, opened.mark, partial(open_url, url))]


def _list_files(uri: str, name: str) -> list[RemoteFile]:
    """Every file at or below an address that fsspec can open."""
    import fsspec

    protocol = uri.partition("://")[0]
    try:
        system, root = fsspec.url_to_fs(uri)
        system.invalidate_cache()
        found = system.find(root, detail=True)
    except ImportError as error:
        extra = EXTRAS.get(protocol)
        remedy = f"Install it: pip install 'tassl[{extra}]'" if extra else str(error)
        raise OptionError(f"{protocol}:// needs a further package. {remedy}.") from None
    except Exception as error:  # each protocol's own kinds, whose text may hold credentials
        if protocol not in fsspec.available_protocols():
            raise OptionError(
                f"{protocol}:// is not known. Give a local path, or an s3://, gs:// or https:// "
                "address."
            ) from None
        raise InputError(
            f"{name} cannot be listed ({type(error).__name__}). Check the address, the credentials "
            "and the connection."
        ) from None
    if not found:
        raise InputError(f"{name} does not exist or is empty. Check the address.")
    return [
        RemoteFile(
            _relative(path, root),
            info.get("size"),
            " ".join(str(info[key]) for key in sorted(info) if key.lower() in MARKS),
            partial(_open_file, system, path, name, info.get("size")),
        )
        for path, info in found.items()
    ]


def _relative(path: str, root: str) -> str:
    relative = path.removeprefix(root).strip("/")
    if ".." in PurePosixPath(relative).parts:
        raise InputError(f"A remote file is named {relative!r}, outside its folder. Rename it.")
    return relative


def _open_file(system: Any, path: str, name: str, size: int | None, offset: int) -> Opened:
    start = min(offset, size or 0)
    try:
        stream = system.open(path, "rb", block_size=REQUEST)
        stream.seek(start)
    except Exception as error:
        kind = type(error).__name__
        raise InputError(f"A file of {name} cannot be opened ({kind}). Check the rights.") from None
    return Opened(stream, start, size)


def _mirror(files: list[RemoteFile], name: str, cache: Path, watch: Watch) -> Path:
    """Bring what is missing or changed into the mirror, and remove what is gone."""
    place = cache / _digest(name)
    target, journal = place / (PurePosixPath(name).name or "data"), place / "marks.jsonl"
    marks = _read_marks(journal)
    missing = [file for file in files if not _is_here(file, target, marks)]
    _remove_all_but({target / file.path for file in files}, target)
    write_text(journal, "".join(_line(file) for file in {*files} - {*missing}))
    if missing:
        with watch(f"Fetching {target.name}") as show, journal.open("a") as lines:
            _bring(missing, place / "parts", target, name, lines, show)
    return target


def _bring(
    files: list[RemoteFile], parts: Path, target: Path, name: str, journal: TextIO, show: OnBytes
) -> None:
    """Transfer files side by side, and note each when it is in place."""
    parts.mkdir(exist_ok=True)
    total = sum(file.size or 0 for file in files)
    check_space(parts, total - sum(part.stat().st_size for part in parts.iterdir()))
    lock, stop, arrived = Lock(), Event(), dict.fromkeys(files, 0)
    here = 0

    def bring(file: RemoteFile) -> None:
        def tick(done: int, _: int | None) -> None:
            nonlocal here
            if stop.is_set():
                raise CancelledError
            with lock:
                here += done - arrived[file]
                arrived[file] = done
                show(here, total)

        draft, place = parts / _digest(_line(file)), target / file.path
        if not file.mark:  # of which version a draft is the beginning cannot be told
            draft.unlink(missing_ok=True)
        download(file.open_at, draft, f"{name}/{file.path}".rstrip("/"), tick)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(draft, place)
        with lock:
            journal.write(_line(file))
            journal.flush()

    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            for future in as_completed([pool.submit(bring, file) for file in files]):
                future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    shutil.rmtree(parts)


def _is_here(file: RemoteFile, target: Path, marks: dict[str, str]) -> bool:
    """Whether the mirror holds this very version."""
    place = target / file.path
    return (
        (file.size is not None or file.mark != "")
        and marks.get(file.path) == _line(file)
        and place.is_file()
        and file.size in (None, place.stat().st_size)
    )


def _remove_all_but(wanted: set[Path], target: Path) -> None:
    for place in [target, *target.rglob("*")]:
        if place.is_file() and place not in wanted:
            place.unlink()


def _line(file: RemoteFile) -> str:
    return json.dumps([file.path, file.size, file.mark]) + "\n"


def _read_marks(journal: Path) -> dict[str, str]:
    """Line by path; a line that was cut is left out."""
    if not journal.exists():
        return {}
    lines = journal.read_text().splitlines(keepends=True)
    return {json.loads(line)[0]: line for line in lines if line.endswith("]\n")}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
