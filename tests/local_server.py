"""A small web server on this machine, with the faults that real ones have."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class LocalServer:
    """What the server holds, how it fails, and what it was asked.

    Args:
        files: Content by path, as "/a.npz".
        ranges: Whether it can start in the middle of a file.
        cut: Bytes after which it breaks an answer off; None for never.
        status: Answers every request with this status; None for as it should.
        sizes: Whether it says how long an answer is.
        asked: Path, Range and Authorization of every request so far.
    """

    files: dict[str, bytes]
    ranges: bool = True
    cut: int | None = None
    status: int | None = None
    sizes: bool = True
    url: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)


@contextmanager
def serve(files: dict[str, bytes], **faults: Any) -> Iterator[LocalServer]:
    """Run a server while the block runs; its fields may be changed in between."""
    state = LocalServer(files, **faults)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self, state)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


def answer(request: BaseHTTPRequestHandler, state: LocalServer) -> None:
    asked, headers = request.headers.get("Range", ""), request.headers
    state.asked.append((request.path, asked, headers.get("Authorization", "")))
    content = state.files.get(request.path.partition("?")[0])
    if state.status or content is None:
        request.send_error(state.status or 404)
        return
    start = int(re.findall(r"\d+", asked)[0]) if asked and state.ranges else 0
    if start and start >= len(content):
        request.send_response(416)
        request.send_header("Content-Range", f"bytes */{len(content)}")
        request.end_headers()
        return
    request.send_response(206 if start else 200)
    if start:
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        request.send_header("Content-Range", span)
    if state.sizes:
        request.send_header("Content-Length", str(len(content) - start))
    request.send_header("ETag", f'"{hash(content)}"')
    request.end_headers()
    request.wfile.write(content[start:][: state.cut])
