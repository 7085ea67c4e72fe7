"""The context of a command: its flags and arguments, the settings, the store, the host."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cryptography import x509

from blindsight.attestation.document import MAX_PCRS
from blindsight.cape import evidence, tokens
from blindsight.cape.constants import USERNAME
from blindsight.cape.fingerprint import fingerprint
from blindsight.client.cape import AccountKey, Host, Trust, json_object
from blindsight.errors import OwnerError
from blindsight_cli.cape import settings
from blindsight_cli.cape.console import CliError, log
from blindsight_cli.cape.owners import host_name, parse_fingerprint
from blindsight_cli.cape.store import KeyFacts, Store, username_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import httpx2
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from blindsight.client.cape import Connection
    from blindsight_cli.cape.flags import Value


@dataclass
class Context:
    """One call of a command. Properties raise `CliError` if something they need is missing."""

    values: Mapping[str, Value]
    arguments: list[str]
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def text(self, name: str) -> str:
        return cast("str", self.values[name])

    def number(self, name: str) -> int:
        return cast("int", self.values[name])

    def is_set(self, name: str) -> bool:
        return bool(self.values[name])

    @property
    def as_json(self) -> bool:
        return self.text("output") == "json"

    @cached_property
    def settings(self) -> settings.Settings:
        return settings.load(
            self.environ,
            Path.home(),
            presets=self.text("config"),
            url=self.text("url"),
            root=self.text("root"),
            proxy=self.text("proxy"),
            insecure=self.is_set("insecure"),
        )

    @cached_property
    def store(self) -> Store:
        return Store(self.settings)

    @cached_property
    def host(self) -> Host:
        return self._host(self.settings.enclave_host)

    @cached_property
    def auth_host(self) -> Host:
        """The base URL of the login."""
        return self._host(self.settings.auth_host)

    def _host(self, url: str) -> Host:
        return Host(url, insecure=self.settings.insecure, proxy=self.settings.proxy)

    @cached_property
    def trust(self) -> Trust:
        """The accepted evidence. Prints a warning if it proves nothing."""
        root = _load_root(self.settings.attestation_root)
        if evidence.is_simulated(root):
            log("WARNING: SIMULATED evidence: it proves nothing about the host")
        return Trust(root, parse_pcrs(cast("list[str]", self.values.get("pcr") or [])))

    @property
    def token(self) -> str:
        """The token for the host: that of `--token`, or of the login."""
        _ = self.host  # Without one, that is what has to be said first.
        return self.text("token") or self.store.login().access_token

    @property
    def owner(self) -> tuple[Ed25519PrivateKey, str]:
        """The owner key and the name of the account that is logged in."""
        username = self.store.login().username
        key = self.store.owner_key()
        if key is None:
            raise CliError(f"no owner key at {self.store.owner_key_file}: do this where you signed up")
        if not USERNAME.fullmatch(username):
            raise CliError("the login names no user: log in again with `cape login`")
        return key, username

    def own_key(self, token: str) -> bytes:
        """The Cape Key (DER) of the account of `token`: the stored one, or fetched and verified.

        A stored key can come from an enclave with other measurements, so with expected PCRs it is fetched again. It is
        used as long as its owner is the account's.
        """
        username = username_of(token)
        owner = self._given_owner or self._own_owner(username) or self.store.owners.known(self.host.url, username)
        cached = self.store.cached_key(self._facts(username, owner)) if owner and not self.trust.pcrs else None
        return cached or self.fetch_key(token)

    def fetch_key(self, token: str) -> bytes:
        """Fetch and verify the Cape Key (DER) of the account of `token`; stores it if it is the login's own."""
        return self._kept(self.host.own_key(token, self.trust), token)

    def attested_key(self, connection: Connection, token: str) -> bytes:
        """The Cape Key (DER) of the account of `token`, from the evidence of an upload's own connection; stored
        likewise.

        Raises `CapeError` or `OwnerError`.
        """
        key = AccountKey.parse(connection.document.user_data, tokens.peek(token).username)
        key.check_signed(token)
        return self._kept(key, token)

    def _kept(self, key: AccountKey, token: str) -> bytes:
        der = self.proven(key)
        if self._is_own(key.username):
            self.store.save_key(der, self._facts(username_of(token), fingerprint(key.owner)))
        return der

    def user_key(self, username: str) -> bytes:
        """Fetch and verify the Cape Key (DER) of this user."""
        return self.proven(self.host.user_key(username, self.trust))

    def proven(self, key: AccountKey) -> bytes:
        """The Cape Key (DER), after checking that its owner is the account's. The command encrypts to no other key.

        The owner must be this machine's owner key, for the user's own account; else the one that `--owner` gives; else
        the one seen first, which is stored. Raises `OwnerError`.
        """
        username, shown, given = key.username, fingerprint(key.owner), self._given_owner
        host = host_name(self.host.url)
        own = self._own_owner(username)
        if own and own != shown:
            raise OwnerError(
                "owner_mismatch",
                f"{host} shows {shown} as the owner of your account {username}, your owner key is {own}: nothing was"
                " encrypted; do not use this host for that account",
            )
        if given and given != shown:
            raise OwnerError(
                "owner_mismatch",
                f"{host} shows {shown} as the owner of {username}, --owner says {given}: nothing was"
                f" encrypted; ask {username} for the fingerprint that `cape key` shows",
            )
        owners = self.store.owners
        if own or given:
            owners.keep(self.host.url, username, shown)
            return key.der
        if owners.known(self.host.url, username) is None and self._is_own(username):
            key.check_signed(self.store.login().access_token)
        if owners.check(self.host.url, username, shown):
            log(
                f"First use: {shown} is the owner of {username} at {host}, as kept in {owners.path}."
                f" Compare it with what `cape key` shows {username}."
            )
        return key.der

    def show_owner(self, username: str) -> None:
        """Print the account's owner, for comparison by people."""
        owner = self._own_owner(username) or self.store.owners.known(self.host.url, username)
        if owner:
            log(f"Owner of {username} ➜ {owner}")

    def _is_own(self, username: str) -> bool:
        try:
            return self.store.login().username.lower() == username.lower()
        except CliError:
            return False

    def _own_owner(self, username: str) -> str | None:
        """The fingerprint of this machine's owner key, if it is that account's."""
        key = self.store.owner_key() if self._is_own(username) else None
        return fingerprint(key.public_key().public_bytes_raw()) if key else None

    @property
    def _given_owner(self) -> str | None:
        text = self.values.get("owner")
        return parse_fingerprint(cast("str", text)) if text else None

    def _facts(self, username: str, owner: str) -> KeyFacts:
        return KeyFacts(host_name(self.host.url), username.lower(), evidence.fingerprint(self.trust.root), owner)

    def rest(self, method: str, path: str, **content: Any) -> httpx2.Response:  # noqa: ANN401 -- as Host.rest
        return self.host.rest(method, path, **content)


def refused(response: httpx2.Response) -> str:
    """The host's message for a refused REST request."""
    content = json_object(response)
    text = content.get("error") or content.get("message") or content.get("detail")
    return str(text) if text else f"{response.status_code} {response.reason_phrase}"


def mint_login(key: Ed25519PrivateKey, username: str) -> str:
    """A new token of the account, used as access token and id token, so that a single revocation suffices."""
    return tokens.mint(key, username, "account", lifetime=tokens.LOGIN_LIFETIME)


def parse_pcrs(texts: Iterable[str]) -> dict[int, frozenset[str]]:
    """The accepted values of each `NUMBER:HEX`, several for one number meaning any of them. Raises `CliError`."""
    pcrs: dict[int, frozenset[str]] = {}
    for text in texts:
        number, _, value = text.partition(":")
        value = value.strip().lower()
        if not (number.isascii() and number.isdecimal() and int(number) < MAX_PCRS and value.isalnum()):
            raise CliError(f"unable to parse PCR number for input: {text}, please specify numeric PCR number")
        pcrs[int(number)] = pcrs.get(int(number), frozenset()) | {value}
    return pcrs


def read_input(path: str) -> bytes:
    """The content of a data file; `-` is standard input. Raises `CliError`."""
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CliError(f"unable to read data file: open {path}: {(error.strerror or 'unreadable').lower()}") from error


def _load_root(path: str) -> x509.Certificate | None:
    if not path:
        return None
    try:
        return x509.load_pem_x509_certificate(Path(path).read_bytes())
    except OSError as error:
        raise CliError(f"unable to read root certificate: open {path}: {(error.strerror or '').lower()}") from error
    except ValueError as error:
        raise CliError(f"unable to read root certificate: {path} is not a certificate in PEM") from error
