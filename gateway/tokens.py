"""API tokens: printed once, stored as SHA-256. They are 256 random bits, so a slow hash is not needed.

A running gateway follows its file: new tokens count, and revoked ones end, within a second.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import os
import re
import secrets
from typing import TYPE_CHECKING, Final

from blindsight import files
from gateway.following import follow

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.audit.log import Audit

_log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.5
_MAX_FILE_BYTES: Final = 16 << 20
PREFIX: Final = "bs_"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class BadTokenFile(Exception):
    """The token file, or a name for it, is invalid; the message states the position."""


class TokenStore:
    """The hashes of one file: a line `NAME:SHA256HEX` for each token; `#` starts a comment."""

    def __init__(self, hashes: dict[str, str], path: Path) -> None:
        self._hashes = hashes
        self._path = path

    @classmethod
    def load(cls, path: Path) -> TokenStore:
        """Read `path`. Raises `BadTokenFile`, also for an empty file, which would lock out all callers."""
        hashes = _hashes_in(path)
        if not hashes:
            raise BadTokenFile(f"{path} holds no token")
        return cls(hashes, path)

    async def watch(self, audit: Audit | None = None, *, purpose: str = "api") -> None:
        """Read the file again whenever it has changed, until cancelled. `audit` gets the names of the tokens that have
        come and gone, with the `purpose` of the file.

        An empty file revokes all tokens. While the file cannot be read or has a wrong line, the last tokens stay.
        """

        async def look() -> None:
            hashes = await asyncio.to_thread(_hashes_in, self._path)
            if hashes == self._hashes:
                return
            gone, come = self._hashes.items() - hashes.items(), hashes.items() - self._hashes.items()
            self._hashes = hashes
            _log.info("API tokens changed", extra={"revoked": len(gone), "added": len(come)})
            if audit is not None:
                for act, changed in (("token.revoked", gone), ("token.added", come)):
                    for name, _ in sorted(changed):
                        audit.note(act, subject=name, details={"purpose": purpose})

        await follow(look, seconds=_LOOK_SECONDS, event="token file not read again", refusals=(BadTokenFile,))

    def name_of(self, token: str) -> str | None:
        """The name of `token`, or None. Every stored hash is compared, in constant time."""
        digest = hash_of(token)
        found = None
        for name, stored in self._hashes.items():
            if hmac.compare_digest(stored, digest):
                found = name
        return found


def _hashes_in(path: Path) -> dict[str, str]:
    """The hashes by name. Raises `BadTokenFile`."""
    try:
        lines = _lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadTokenFile(f"cannot read the token file {path}") from error
    hashes: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        name, _, digest = entry.partition(":")
        if not _NAME.fullmatch(name) or not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise BadTokenFile(f"{path}, line {number}: expected NAME:SHA256HEX")
        if name in hashes:
            raise BadTokenFile(f"{path}, line {number}: a second token called {name}")
        hashes[name] = digest
    return hashes


def hash_of(token: str) -> str:
    """The stored form of `token`."""
    return hashlib.sha256(token.encode()).hexdigest()


def create(name: str, path: Path) -> str:
    """Create a token called `name`, append its hash to `path` (mode 0600) and return it. Raises `BadTokenFile`."""
    if not _NAME.fullmatch(name):
        raise BadTokenFile("a token's name is 1 to 64 letters, digits, dots, dashes or underscores")
    try:
        if path.exists() and any(line.startswith(f"{name}:") for line in _lines(path)):
            raise BadTokenFile(f"{path} has a token called {name} already")
        token = PREFIX + secrets.token_urlsafe(32)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(f"{name}:{hash_of(token)}\n")
    except OSError as error:
        raise BadTokenFile(
            f"the token file {path} cannot be used: {error.strerror}. Give --file a file in a folder that is there."
        ) from error
    except UnicodeDecodeError as error:
        raise BadTokenFile(f"{path} is not a token file. Give --file a new file or one of this command.") from error
    return token


def revoke(name: str, path: Path) -> None:
    """Remove the token called `name` from `path`, with its comment. Raises `BadTokenFile`."""
    if name not in _hashes_in(path):
        raise BadTokenFile(f"{path} has no token called {name}")
    kept = [line for line in _lines(path) if line.partition("#")[0].strip().partition(":")[0] != name]
    try:
        files.write(path, "".join(f"{line}\n" for line in kept).encode(), mode=0o600)
    except OSError as error:
        raise BadTokenFile(f"the token file {path} cannot be replaced: {error.strerror}") from error


def _lines(path: Path) -> list[str]:
    return files.read(path, _MAX_FILE_BYTES).decode().splitlines()
