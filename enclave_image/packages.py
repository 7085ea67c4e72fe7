"""Debian packages by name, version and SHA-256: `packages.lock`, mirrors, and the cache.

The digest alone authenticates a package, so every mirror can be used.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from enclave_image.errors import ImageError

LOCK: Final = Path(__file__).with_name("packages.lock")

_MIRRORS: Final = (
    "https://deb.debian.org/{archive}/{path}",
    "https://snapshot.debian.org/archive/{archive}/{day}/{path}",
)
"""The second keeps versions that the first has replaced. `day` is a time at which Debian offered the version."""

_SECONDS: Final = 60.0
_MAX_BYTES: Final = 512 << 20


@dataclass(frozen=True)
class Package:
    """A locked package.

    `archive` is `debian` or `debian-security`; `path` is relative to it; `day` is a time for snapshot.debian.org, such
    as `20260101T000000Z`. `sha256` is in hexadecimal.
    """

    name: str
    version: str
    sha256: str
    archive: str
    day: str
    path: str

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """The package that a kernel's description names. Raises `KeyError` for a missing member."""
        return cls(**{name: str(fields[name]) for name in cls.__dataclass_fields__})

    @property
    def urls(self) -> list[str]:
        """The addresses to try, in this order."""
        return [mirror.format(archive=self.archive, day=self.day, path=self.path) for mirror in _MIRRORS]

    def described(self) -> dict[str, str]:
        """The entry for the image's description: name, version, SHA-256, and a permanent address."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256, "url": self.urls[-1]}


def read_lock(file: Path = LOCK) -> list[Package]:
    """The packages of a lock file, which has six columns; lines that begin with `#` are comments.

    Raises `ImageError` for another line, or a package that is listed twice.
    """
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        fields = line.partition("#")[0].split()
        if fields and (len(fields) != 6 or not re.fullmatch(r"[0-9a-f]{64}", fields[2])):
            raise ImageError(f"{file.name} has a line that is not a package's.", "Restore the file.")
        if fields:
            found.append(Package(*fields))
    if len({package.name for package in found}) != len(found):
        raise ImageError(f"{file.name} names a package twice.", "Restore the file.")
    return found


def default_cache() -> Path:
    """The folder for packages and wheels: `BLINDSIGHT_CACHE`, else a subfolder of the user's cache."""
    given = os.environ.get("BLINDSIGHT_CACHE") or os.environ.get("XDG_CACHE_HOME")
    base = Path(given) if given else Path.home() / ".cache"
    return base / "blindsight-enclave-image"


def fetch(package: Package, cache: Path) -> Path:
    """Download the package into `cache` unless it is there, by apt or from a mirror, and return the file's path.

    Raises `ImageError` if no source has the package with the locked digest.
    """
    kept = cache / "packages" / f"{package.name}_{package.sha256[:16]}.deb"
    if kept.exists() and digest(kept) == package.sha256:
        return kept
    print(f"fetching the package {package.name} {package.version}", file=sys.stderr)  # noqa: T201 -- minutes pass
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as place:
        draft = Path(place) / "package.deb"
        if not (_by_apt(package, draft) or any(_by_http(url, package, draft) for url in package.urls)):
            raise ImageError(
                f"The package {package.name} {package.version} with the locked SHA-256 cannot be had.",
                f"Check the network, or put the file from {package.urls[-1]} at {kept}.",
            )
        draft.rename(kept)
    return kept


def digest(file: Path) -> str:
    """The file's SHA-256 in hexadecimal. Raises `OSError`."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _by_apt(package: Package, target: Path) -> bool:
    """Download with apt, whose settings name the nearest mirror; False if that fails or there is no apt."""
    if shutil.which("apt-get") is None:
        return False
    wanted = f"{package.name}:amd64={package.version}"
    done = subprocess.run(["apt-get", "download", "-q", wanted], cwd=target.parent, capture_output=True, check=False)
    found = list(target.parent.glob("*.deb"))
    if done.returncode or len(found) != 1 or digest(found[0]) != package.sha256:
        for file in found:
            file.unlink()
        return False
    found[0].rename(target)
    return True


def _by_http(url: str, package: Package, target: Path) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer, target.open("wb") as file:  # noqa: S310 -- https, of two hosts
            content = answer.read(_MAX_BYTES)
            file.write(content)
    except (OSError, urllib.error.URLError, http.client.HTTPException):
        return False
    return digest(target) == package.sha256
