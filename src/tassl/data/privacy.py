"""Names for persons that say nothing of them: the same person, the same name, on this machine."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from tassl.errors import RunFolderError

LENGTH = 12
KEY_FILE = Path("~/.config/tassl/key")


def pseudonym(identity: str, key: bytes) -> str:
    """A short name that hangs on the identity and on a secret key alone.

    Args:
        identity: Patient ID, study or series UID.
        key: As `load_key` gives it; without it the identity cannot be found by trying.

    Source:
        Keyed hashing: Krawczyk et al., RFC 2104, 1997, with SHA-256.
    """
    digest = hmac.new(key, identity.strip().encode(), hashlib.sha256).hexdigest()
    return digest[:LENGTH]


def load_key() -> bytes:
    """The key of this machine's user: TASSL_KEY, or a file that is made once for them alone.

    Raises:
        RunFolderError: The file cannot be made or read.
    """
    if given := os.environ.get("TASSL_KEY"):
        return given.encode()
    file = KEY_FILE.expanduser()
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            draft = file.with_name(f"key.{os.getpid()}.part")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
                new.write(secrets.token_hex(32))
            try:
                os.link(draft, file)  # the first of several processes wins
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return file.read_bytes()
    except OSError as error:
        raise RunFolderError(
            f"{file} holds the key for pseudonyms and cannot be used ({error.strerror}). "
            "Make it readable, or set TASSL_KEY."
        ) from None
