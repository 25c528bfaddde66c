"""What a packed stream says of its own size: a decoder believes the stream, not the DICOM header.

Sources: ITU-T T.81 (JPEG) B.2.2; T.87 (JPEG-LS) C.2.2; T.800 (JPEG 2000) A.5.1.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

from tassl.errors import UnreadableFile

JPEG, JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
SIZES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # markers of a JPEG frame header
CHUNK = 2**20


def find_sides(packed: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 stream claims; None of any other."""
    if packed.startswith(JPEG_2000) and len(packed) >= 24:
        right, bottom, left, top = struct.unpack_from(">4I", packed, 8)
        return bottom - top, right - left
    at = len(JPEG)
    while packed.startswith(JPEG) and at + 9 <= len(packed) and packed[at] == 0xFF:
        if packed[at + 1] in SIZES:
            rows, columns = struct.unpack_from(">2H", packed, at + 5)
            return rows, columns
        filler = packed[at + 1] == 0xFF
        at += 1 if filler else 2 + struct.unpack_from(">H", packed, at + 2)[0]
    return None


def check_inflated(packed: BinaryIO, most: int) -> None:
    """Refuse a raw deflate stream that unpacks to too much; holds no more than a chunk of it.

    Args:
        packed: Opened where the stream begins.
        most: Bytes that it may unpack to.

    Raises:
        UnreadableFile: It unpacks to more.
    """
    inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while held := inflater.unconsumed_tail or packed.read(CHUNK):
        size += len(inflater.decompress(held, CHUNK))
        if size > most:
            raise UnreadableFile(f"unpacks to more than {most:,} bytes; fetch or save it anew")
