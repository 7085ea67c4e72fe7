"""The files in Cape's folder: the login, the owner key, the account's Cape Key, and other accounts' owners."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight import strict_json
from blindsight.cape.tokens import USERNAME_CLAIM
from blindsight_cli.cape.console import CliError
from blindsight_cli.cape.files import write_whole
from blindsight_cli.cape.owners import OWNERS_FILE, Owners

if TYPE_CHECKING:
    from blindsight_cli.cape.settings import Settings

OWNER_KEY_FILE: Final = "owner.key"
NO_EXPIRY: Final = "0001-01-01T00:00:00Z"
"""Go's zero time, which Cape's own command line writes where there is none."""


@dataclass(frozen=True)
class Login:
    """The `auth` file. `expiry` is RFC 3339."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 -- the type, not the token
    refresh_token: str = ""
    expiry: str = NO_EXPIRY
    id_token: str = ""

    @property
    def username(self) -> str:
        """The user of the login; empty if neither token states it."""
        return username_of(self.access_token) or username_of(self.id_token)


@dataclass(frozen=True)
class KeyFacts:
    """Of a kept Cape Key: at which host, whose, under which root it was proven, and its owner (fingerprints)."""

    host: str
    username: str
    root: str
    owner: str


class Store:
    """The folder's files. Methods raise `CliError` for a file that cannot be used."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.owner_key_file = settings.config_dir / OWNER_KEY_FILE
        self.owners = Owners(settings.config_dir / OWNERS_FILE)
        self._key_facts_file = settings.key_file.with_suffix(".json")

    def login(self) -> Login:
        path = self._settings.auth_file
        try:
            content = strict_json.loads(path.read_bytes())
        except OSError as error:
            reason = (error.strerror or "unreadable").lower()
            raise CliError(f"failed to get auth token (did you run 'cape login'?): open {path}: {reason}") from error
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise CliError(f"failed to get auth token (did you run 'cape login'?): {path} is not a JSON object")
        known = {name: content[name] for name in Login.__dataclass_fields__ if isinstance(content.get(name), str)}
        if not known.get("access_token"):
            raise CliError("empty access token (did you run 'cape login'?)")
        return Login(**known)

    def save_login(self, login: Login) -> None:
        write_whole(self._settings.auth_file, json.dumps(asdict(login), indent=2).encode() + b"\n")

    def owner_key(self) -> Ed25519PrivateKey | None:
        """The key that signs the account's tokens; None on a machine without one."""
        try:
            mode, pem = self.owner_key_file.stat().st_mode, self.owner_key_file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CliError(f"unable to read the owner key {self.owner_key_file}: {error.strerror}") from error
        if mode & 0o077:
            raise CliError(f"others can read the owner key: chmod 600 {self.owner_key_file}")
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise CliError(f"the owner key {self.owner_key_file} is not an Ed25519 key in PEM")
        return key

    def make_owner_key(self) -> Ed25519PrivateKey:
        """Create the owner key if there is none. An existing one is never replaced, because the account would be
        lost.
        """
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        key = self.owner_key()
        if key is None:
            write_whole(self.owner_key_file, pem, replace=False)
            key = self.owner_key()
        if key is None:
            raise CliError(f"unable to read the owner key {self.owner_key_file}: it was removed")
        return key

    def cached_key(self, facts: KeyFacts) -> bytes | None:
        """The stored Cape Key, if it was verified for exactly these facts."""
        try:
            der, kept = self._settings.key_file.read_bytes(), strict_json.loads(self._key_facts_file.read_bytes())
        except (OSError, ValueError):
            return None
        return der if kept == _key_facts(der, facts) else None

    def save_key(self, der: bytes, facts: KeyFacts) -> None:
        write_whole(self._settings.key_file, der)
        write_whole(self._key_facts_file, json.dumps(_key_facts(der, facts)).encode() + b"\n")

    def forget_key(self) -> None:
        """Remove the stored Cape Key: values encrypted to another account's or host's key could not be decrypted."""
        for path in (self._settings.key_file, self._key_facts_file):
            with suppress(OSError):
                path.unlink()


def _key_facts(der: bytes, facts: KeyFacts) -> dict[str, str]:
    return {**asdict(facts), "sha256": hashlib.sha256(der).hexdigest()}


def username_of(token: str) -> str:
    """The user in a token, unverified; empty if there is none."""
    claims = claims_of(token)
    name = claims.get(USERNAME_CLAIM) or claims.get("nickname")
    return name if isinstance(name, str) else ""


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a JWT, unverified; empty if it is invalid."""
    try:
        return jwt.decode(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        return {}


def expiry_of(token: str) -> str:
    """When a JWT expires, as the `auth` file says it."""
    expires = claims_of(token).get("exp")
    if not isinstance(expires, int):
        return NO_EXPIRY
    try:
        return datetime.fromtimestamp(expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return NO_EXPIRY
