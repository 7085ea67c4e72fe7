"""The known owner keys of accounts, stored at first use (`owners.json`).

An enclave attests an account's Cape Key together with the account's name and its owner's public key. The host decides
which account has a name, and could present its own. Therefore the owner seen first is stored for each host and
username, and every later one must be the same.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx2

from blindsight.errors import OwnerError, TransportError
from blindsight_cli.cape.console import CliError
from blindsight_cli.cape.files import locked, write_whole

if TYPE_CHECKING:
    from pathlib import Path

OWNERS_FILE: Final = "owners.json"

_FINGERPRINT: Final = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_DEFAULT_PORTS: Final = frozenset({None, 80, 443})
_THIS_MACHINE: Final = frozenset({"127.0.0.1", "::1", "localhost"})

_Owners = dict[str, dict[str, str]]
"""Fingerprints by host and username in lower case."""


def parse_fingerprint(text: str) -> str:
    """What `--owner` was given. Raises `CliError`."""
    if not _FINGERPRINT.fullmatch(text):
        raise CliError("--owner takes a fingerprint as `cape key` shows it: SHA256: and 43 characters")
    return text


def host_name(url: str) -> str:
    """The host at `url`, the same however it is spelled: HTTP or WebSocket, with TLS or without, default port or none.

    Raises `TransportError`.
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise TransportError("unreachable", "malformed ws or wss URL") from error
    name = parsed.raw_host.decode().lower().removesuffix(".")
    with contextlib.suppress(ValueError):
        name = str(ipaddress.ip_address(name))
    name = "localhost" if name in _THIS_MACHINE else f"[{name}]" if ":" in name else name
    port = "" if parsed.port in _DEFAULT_PORTS else f":{parsed.port}"
    return f"{name}{port}{parsed.path.rstrip('/')}"


class Owners:
    """The file at `path`. Methods raise `CliError` if it is unusable: without it every owner would be accepted as the
    first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def known(self, host: str, username: str) -> str | None:
        """The fingerprint that is kept for this user of the host at this URL."""
        return self._read().get(host_name(host), {}).get(username.lower())

    def check(self, host: str, username: str, shown: str) -> bool:
        """Compare the presented fingerprint with the stored one; returns whether it is the first, which is stored.

        Raises `OwnerError`.
        """
        with locked(self.path):
            owners = self._read()
            kept = owners.get(host_name(host), {}).get(username.lower())
            if kept == shown:
                return False
            before = kept or _elsewhere(owners, host_name(host), username.lower(), shown)
            if before:
                raise OwnerError(
                    "owner_mismatch",
                    f"the owner of {username} at {host_name(host)} was {before} and is shown as {shown}: nothing was"
                    f" encrypted; if {username} confirms the new owner by another way, give it with --owner {shown}",
                )
            self._keep(owners, host, username, shown)
            return True

    def keep(self, host: str, username: str, owner: str) -> None:
        """Store this owner, which the user knows by other means."""
        with locked(self.path):
            owners = self._read()
            if owners.get(host_name(host), {}).get(username.lower()) != owner:
                self._keep(owners, host, username, owner)

    def _keep(self, owners: _Owners, host: str, username: str, owner: str) -> None:
        owners.setdefault(host_name(host), {})[username.lower()] = owner
        write_whole(self.path, json.dumps(owners, indent=2, sort_keys=True).encode() + b"\n")

    def _read(self) -> _Owners:
        try:
            owners = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise CliError(f"unable to read {self.path}: {error.strerror}") from error
        except (ValueError, RecursionError):
            owners = None
        if not _is_owners(owners):
            raise CliError(
                f"{self.path} is damaged, and with it which owners are known: restore it, or remove it and compare the"
                " owners anew"
            )
        found: _Owners = owners
        return found


def _elsewhere(owners: _Owners, host: str, username: str, shown: str) -> str | None:
    """Another owner of that user at another port or path of the same machine, which is most likely the same host."""
    machine = urlsplit(f"//{host}").hostname
    for other, users in owners.items():
        if urlsplit(f"//{other}").hostname == machine and users.get(username, shown) != shown:
            return users[username]
    return None


def _is_owners(content: object) -> bool:
    return isinstance(content, dict) and all(
        isinstance(users, dict)
        and all(isinstance(owner, str) and _FINGERPRINT.fullmatch(owner) for owner in users.values())
        for users in content.values()
    )
