"""Bring one file here: resumed where it was cut, checked, whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote

from tassl.errors import InputError, OptionError

BLOCK = 1 << 20  # bytes
RESERVED = "/%?&=+:;,@!$'()*~"  # stay as they are in an address
PATIENCE = 30  # seconds without a byte until a connection counts as broken
ADVICE = {
    401: "Give credentials that may read it.",
    403: "Give credentials that may read it.",
    404: "Check the address.",
    410: "Check the address.",
}

OnBytes = Callable[[int, int | None], None]


class Stream(Protocol):
    """Bytes, one after another."""

    def read(self, size: int, /) -> bytes: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Opened:
    """A source, opened at a byte.

    Args:
        stream: What it holds from there on.
        start: The byte that is; 0 where the source cannot start elsewhere.
        total: Bytes of the whole, None where the source does not say.
        mark: Changes when the source changes, "" where the source does not say.
    """

    stream: Stream
    start: int
    total: int | None
    mark: str = ""


def fetch(url: str, file: Path, md5: str, *, on_bytes: OnBytes = lambda done, total: None) -> bool:
    """Fetch a file whose sum is known; go on where an earlier attempt was cut.

    Args:
        url: Address, http or https; proxies are taken from the environment.
        file: Where it goes. A cut attempt leaves `file.part` beside it.
        md5: Its MD5 sum, in hexadecimal digits.
        on_bytes: Told how many bytes are here, and of how many.

    Returns:
        Whether anything was fetched: False where the very file is here already.

    Raises:
        InputError: It cannot be reached, or came with another sum; then nothing is kept.
        OptionError: Another file has this name, or the file cannot be written.
    """
    draft = file.with_name(f"{file.name}.part")
    try:
        if file.exists():
            if hash_file(file) == md5:
                return False
            raise OptionError(
                f"{file} exists and is another file: its MD5 sum is not {md5}. "
                "Move it away, or choose another --out."
            )
        download(partial(open_url, url), draft, strip_secrets(url), on_bytes)
        if (came := hash_file(draft)) != md5:
            draft.unlink()
            raise InputError(
                f"{strip_secrets(url)} came with the MD5 sum {came}; wanted {md5}. It was damaged "
                "or has changed, and was not kept: fetch it again."
            )
        os.replace(draft, file)
    except OSError as error:
        raise OptionError(
            f"{file} cannot be written ({error.strerror or error}). Choose an --out that can."
        ) from None
    return True


def download(open_at: Callable[[int], Opened], draft: Path, name: str, on_bytes: OnBytes) -> None:
    """Fill a draft until it is whole; after a break go on, as long as that brings more.

    Blocks are written at their own places, so that two processes at one draft do no harm.

    Args:
        open_at: Opens the source at a byte.
        draft: File to fill; what it holds already is taken for the beginning.
        name: The source in messages.
        on_bytes: Told how many bytes are here, and of how many.

    Raises:
        InputError: The source cannot be opened, or breaks and brings nothing more.
        OptionError: The disk is full.
        OSError: The draft cannot be written.
    """
    whole = False
    while not whole:
        held = draft.stat().st_size if draft.exists() else 0
        opened = open_at(held)
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.touch()
        done, total = opened.start, opened.total
        with closing(opened.stream) as stream, draft.open("r+b") as target:
            check_space(draft.parent, (total or 0) - held)
            target.seek(done)
            while block := _read(stream):
                target.write(block)
                done += len(block)
                on_bytes(done, total)
            whole = block == b"" if total is None else done == total
            if whole:
                target.truncate(done)
        if not whole and done <= held:
            raise InputError(
                f"The connection to {name} broke at {done:,} of {total or '?':,} bytes. "
                "What came is kept: run the same command again to go on."
            )


def open_url(url: str, offset: int = 0) -> Opened:
    """Open an address at a byte; one that holds no more starts anew.

    Raises:
        InputError: It cannot be reached, or refuses.
    """
    name, host = strip_secrets(url), strip_secrets(url).split("/")[2]
    try:
        response = urllib.request.urlopen(_request(url, offset), timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:  # nothing from this byte on
                total = _total(error.headers.get("Content-Range", ""))
                return Opened(BytesIO(), offset, total) if total == offset else open_url(url)
            advice = ADVICE.get(error.code, "Try again later.")
            raise InputError(f"{name} answers {error.code} {error.reason}. {advice}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        reason = getattr(reason, "strerror", None) or type(reason).__name__
        raise InputError(
            f"{host} cannot be reached ({reason}). Check the address and the connection, "
            "then run the same command again."
        ) from None
    length = response.headers.get("Content-Length")
    total = _total(response.headers.get("Content-Range", "")) or (int(length) if length else None)
    mark = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
    return Opened(response, offset if response.status == 206 else 0, total, mark)


def strip_secrets(uri: str) -> str:
    """Drop user, password, query and fragment of an address.

    >>> strip_secrets("https://ada:key@host.org/set.npz?token=1")
    'https://host.org/set.npz'
    """
    scheme, rest = re.split("://", uri, maxsplit=1)
    place, slash, path = re.split("[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"


def hash_file(file: Path) -> str:
    """MD5 sum of a file: it tells damage, not malice."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def check_space(folder: Path, need: int) -> None:
    """Refuse what the disk cannot hold, before anything is written.

    Raises:
        OptionError: Fewer than `need` bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if need > free:
        raise OptionError(
            f"{need / 1e6:,.1f} MB are needed, {free / 1e6:,.1f} MB are free in {folder}. "
            "Free space, or choose another folder."
        )


def _request(url: str, offset: int) -> urllib.request.Request:
    scheme, rest = url.split("://", 1)
    place, slash, path = rest.partition("#")[0].partition("/")
    user, _, host = place.rpartition("@")
    address = f"{scheme}://{host}{slash}{quote(path, safe=RESERVED)}"
    request = urllib.request.Request(address, headers={"User-Agent": "tassl"})
    if user:  # not sent on to where the host may redirect
        key = base64.b64encode(unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {key}")
    if offset:
        request.add_header("Range", f"bytes={offset}-")
    return request


def _read(stream: Stream) -> bytes | None:
    """The next block, b"" at the end, None where the connection broke."""
    try:
        return stream.read(BLOCK)
    except Exception:  # each protocol's package raises its own kinds
        return None


def _total(content_range: str) -> int | None:
    """Bytes of the whole, from "bytes 0-9/100"."""
    total = content_range.rpartition("/")[2]
    return int(total) if total.isdigit() else None
