"""The secrets of a stack's folder, in one file apart from the archive: with both, all accounts' data can be read.

enclave/     the root secret, the simulated root's key, the port's access secret
cape/, capedocs/    the owner keys of this machine's accounts, and their tokens
tls/         the private authority that clients trust, and the server's key
"""

from __future__ import annotations

import base64
import json
import os
import re
from typing import TYPE_CHECKING, Final

from blindsight import files, strict_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT: Final = "blindsight-secrets/1"

_WARNING: Final = (
    "Keep this file apart from the archive: with both, all functions and data of all accounts can be read."
)
_NAME: Final = re.compile(
    r"enclave/(?:root_secret|simulated_root\.pem|gateway_secret)|tls/(?:ca|server)\.(?:pem|key)"
    r"|(?:cape|capedocs)/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"
)
_MAX_BYTES: Final = 1 << 20
_MAX_FILE_BYTES: Final = 16 << 20


class BadSecrets(Exception):
    """A file of secrets cannot be used; the message states why, without its content."""


def collect(state: Path) -> dict[str, bytes]:
    """The secrets in the folder `state`, by path. Raises `OSError`."""
    found = {}
    for folder in ("enclave", "tls", "cape", "capedocs"):
        for path in sorted((state / folder).glob("*")):
            name = f"{folder}/{path.name}"
            if _NAME.fullmatch(name) and path.is_file():
                found[name] = files.read(path, _MAX_BYTES)
    return found


def save(out: Path, secrets: Mapping[str, bytes]) -> None:
    """Write `out` with mode 0600. Raises `OSError`."""
    content = {name: base64.b64encode(value).decode() for name, value in secrets.items()}
    text = json.dumps({"format": FORMAT, "warning": _WARNING, "files": content}, indent=2)
    files.write(out, text.encode() + b"\n", mode=0o600)


def load(file: Path) -> dict[str, bytes]:
    """The secrets of a file of `save`. Raises `BadSecrets`, `OSError`."""
    try:
        content = strict_json.loads(files.read(file, _MAX_FILE_BYTES))
        if content["format"] != FORMAT:
            raise ValueError
        secrets = {name: base64.b64decode(value, validate=True) for name, value in content["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSecrets(f"{file} is not a file of `blindsight backup --secrets`") from error
    if wrong := [name for name in secrets if not _NAME.fullmatch(name)]:
        raise BadSecrets(f"{file} names a file that is not a secret of a stack: {wrong[0][:100]!r}")
    return secrets


def require_fits(state: Path, secrets: Mapping[str, bytes]) -> None:
    """Raise `BadSecrets` if a file of another content is in the place of one, `OSError`."""
    for name, value in secrets.items():
        path = state / name
        if os.path.lexists(path) and (path.is_symlink() or files.read(path, _MAX_BYTES) != value):
            raise BadSecrets(f"{path} exists and is another one; it would be lost")


def restore(state: Path, secrets: Mapping[str, bytes]) -> None:
    """Write what is missing in `state`, with mode 0600. Raises `OSError`."""
    for name, value in secrets.items():
        path = state / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            files.write(path, value, mode=0o600)
