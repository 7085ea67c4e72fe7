"""Writes `packages.lock` from the versions that apt offers on a Debian 12 machine. See apt-get(8), `--print-uris`."""

from __future__ import annotations

import re
import subprocess
import tempfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from enclave_image import trusted_set
from enclave_image.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

_URI: Final = re.compile(
    r"'https?://[^/']+/(?P<archive>[^/']+)/(?P<path>[^']+)' \S+ \d+ SHA256:(?P<sha256>[0-9a-f]{64})"
)


def lock(file: Path) -> None:
    """Lock the current version of every package of the trusted set in `file`, and keep its comments.

    Raises `ImageError` if apt is missing, or does not know a package.
    """
    day = datetime.now(UTC).strftime("%Y%m%dT000000Z")
    comments = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    lines = [_line(name, day) for name in sorted(trusted_set.PACKAGES)]
    file.write_text("\n".join([*comments, *lines]) + "\n", encoding="utf-8")


def _line(name: str, day: str) -> str:
    policy = _output("apt-cache", "policy", f"{name}:amd64")
    version = re.search(r"Candidate: (\S+)", policy)
    # In an empty folder, because apt does not print files that are already there.
    with tempfile.TemporaryDirectory() as empty:
        uri = _URI.search(_output("apt-get", "download", "--print-uris", f"{name}:amd64", folder=empty))
    if version is None or uri is None:
        raise ImageError(f"apt does not offer {name} with a SHA-256.", "Run `apt-get update`, on Debian 12.")
    # apt and mirrors quote some characters differently. The path serves only to download: the digest is checked.
    return " ".join([name, version[1], uri["sha256"], uri["archive"], day, unquote(uri["path"])])


def _output(*command: str, folder: str = "/") -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise ImageError(f"{command[0]} is not on this machine.", "Make the lock on Debian 12.") from error
    return done.stdout
