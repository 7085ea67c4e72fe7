"""Names of other machines that lead to this one, in a Python process of its own: no network, no resolver."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SITECUSTOMIZE = """\
import socket

genuine = socket.getaddrinfo


def getaddrinfo(host, *arguments, **options):
    name = host.decode() if isinstance(host, bytes) else host
    return genuine("127.0.0.1" if name in {names!r} else host, *arguments, **options)


socket.getaddrinfo = getaddrinfo
"""


def leading_here(folder: Path, *names: str) -> Path:
    """A folder for PYTHONPATH: interpreters that have it there resolve `names` to 127.0.0.1."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(_SITECUSTOMIZE.format(names=set(names)), encoding="utf-8")
    return folder
