"""Pseudonyms: the same person has the same one, and nobody without the key can tell who."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from tassl.errors import OptionError

LENGTH = 12
SHORTEST_KEY = 8
OLDEST = 90.0  # years


def pseudonym(identity: str, key: bytes) -> str:
    """Replace an identity by twelve hexadecimal digits.

    Args:
        identity: A patient number, a UID: whatever names a person or an examination.
        key: A secret; without it the identity cannot be guessed and tried.

    Source: HMAC-SHA256, RFC 2104 and FIPS 198-1.
    """
    return hmac.new(key, identity.encode(), hashlib.sha256).hexdigest()[:LENGTH]


def cap_age(years: float) -> float:
    """The age, 90 for all who are older: a rare age names a person (45 CFR 164.514(b)(2))."""
    return min(years, OLDEST)


def read_key() -> bytes:
    """Return the secret: the variable TASSL_KEY, else ~/.config/tassl/key, made on first use.

    Raises:
        OptionError: The key is too short, or its file can be neither read nor made.
    """
    if given := os.environ.get("TASSL_KEY"):
        return _check(given.encode(), "TASSL_KEY")
    try:
        file = Path.home() / ".config" / "tassl" / "key"
        if not file.exists():
            _make_key(file)
        return _check(file.read_bytes().strip(), str(file))
    except (OSError, RuntimeError) as error:
        raise OptionError(
            f"The key of pseudonyms cannot be kept: {error}. Set the variable TASSL_KEY."
        ) from None


def _make_key(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"key.{os.getpid()}.part")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(secrets.token_hex(32) + "\n")
    try:
        os.link(draft, file)  # unlike a rename it never replaces the key of a faster process
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _check(key: bytes, where: str) -> bytes:
    if len(key) < SHORTEST_KEY:
        raise OptionError(
            f"The key in {where} has {len(key)} bytes; wanted at least {SHORTEST_KEY}. "
            "Give a longer one."
        )
    return key
