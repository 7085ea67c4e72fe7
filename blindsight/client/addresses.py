"""What is wrong with a text that should be a gateway's address, and what was probably meant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx2

_MAX_PORT: Final = 65535
_MAX_SHOWN: Final = 200

_WHOLE: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_SLIPPED: Final = re.compile(r"(https?)(?::/?|//)([^/].*)", re.IGNORECASE | re.DOTALL)
"""A scheme that lacks its colon or a slash."""


@dataclass(frozen=True)
class Fault:
    """`reason` goes on after the address and a colon; `proposed` is what was probably meant, where that can be told."""

    reason: str
    proposed: str | None = None

    def told(self, url: str, name: str) -> tuple[str, str]:
        """What is wrong with `url`, and the next step; `name` is what its user gave it as, such as `--url`."""
        shown = url if len(url) <= _MAX_SHOWN else f"{url[:_MAX_SHOWN]}…"
        begins = f"check {name}: an address begins with http:// or https://"
        step = f"{begins}, as in {self.proposed}" if self.proposed else f"{begins}, as in http://localhost:8000"
        return f"{shown} is not an address of a gateway: {self.reason}", step


def fault(url: str, *, scheme: str = "http") -> Fault | None:
    """What keeps `url` from being the address of a gateway; None if nothing does.

    An address has a scheme and a host, perhaps a port and a path. `scheme` is the one to propose where there is none.
    """
    found = _first_fault(url, scheme)
    if found is None or found.proposed is None:
        return found
    another = fault(found.proposed, scheme=scheme)
    return found if another is None else Fault(found.reason, another.proposed)


def _first_fault(url: str, scheme: str) -> Fault | None:
    if not url:
        return Fault("it is empty")
    if any(character.isspace() for character in url):
        return Fault("it has blanks", "".join(url.split()) or None)
    whole = _WHOLE.fullmatch(url)
    if whole is None:
        slipped = _SLIPPED.fullmatch(url)
        if slipped and not slipped[2].isdecimal():  # `http:8000` is port 8000 of a host of that name.
            return Fault("its scheme and host are not parted by ://", f"{slipped[1]}://{slipped[2]}")
        return Fault("it has no scheme", f"{scheme}://{url}")
    name, rest = whole[1].lower(), whole[2]
    if name not in {"http", "https"}:
        return Fault(f"its scheme is {name}", f"{scheme}://{rest}" if rest else None)
    if re.match(r"https?:?//", rest, re.IGNORECASE):
        return Fault("it has two schemes", rest)
    return _fault_of_parts(url, name, rest)


def _fault_of_parts(url: str, scheme: str, rest: str) -> Fault | None:
    """Behind `scheme://`."""
    for mark, part in (("#", "fragment"), ("?", "query")):
        before, found, _ = rest.partition(mark)
        if found:
            return Fault(f"it has a {part}", f"{scheme}://{before}" if before else None)
    if rest.startswith("/") or not rest:
        return Fault("it has no host", f"{scheme}://{rest.lstrip('/')}" if rest.lstrip("/") else None)
    authority = rest.partition("/")[0].rpartition("@")[2]
    if authority.count("[") != authority.count("]"):
        return Fault("its host cannot be read")
    port = authority.rpartition("]")[2].partition(":")[2]
    if port and not (port.isascii() and port.isdecimal() and 0 < int(port) <= _MAX_PORT):
        return Fault(f"its port is {port}, and ports are numbers from 1 to {_MAX_PORT}")
    try:
        urlsplit(url)
        host = httpx2.URL(url).host
    except (ValueError, httpx2.InvalidURL):
        return Fault("its host cannot be read")
    return None if host else Fault("it has no host")
