"""Accounts: the enclave's sealed records, which the host stores, and authorisation.

A record is the only authority on an account: its owner key, its Cape Key, its functions and its revoked tokens. The
host stores it and can withhold it, but cannot read or change it, or create one that decrypts another account's data.
The enclave refuses an old record of an account after it has seen a newer one (`AccountVault.commit`). After a restart
it accepts the newest that the host presents, because an enclave keeps no state.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from blindsight.cape import ids, tokens
from blindsight.cape.constants import CAPE_KEY_BITS, FUNCTION_NAME, USERNAME
from blindsight.errors import CapeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from blindsight.cape.tokens import Token
    from enclave_runtime.cape.rootsecret import RootSecret

_NONCE_BYTES: Final = 12
_CONTEXT: Final = b"blindsight-account-record/1"
_MAX_FUNCTIONS: Final = 1000
_MAX_REVOKED: Final = 10_000
MAX_ACCOUNTS: Final = 1 << 18
"""Maximum number of accounts whose newest version is remembered (about 50 MB). Beyond it no account is created, because
its record could be rolled back."""
_IDENTITY_BYTES: Final = 16
_KEPT_KEYS: Final = 256
"""Number of cached parsed Cape Keys; parsing one takes milliseconds."""


@dataclass(frozen=True)
class FunctionEntry:
    """A deployed function: its name, the SHA-256 of its zip, and whether all accounts can run it."""

    name: str
    checksum: bytes
    public: bool


@dataclass(frozen=True)
class Account:
    """One version of an account. `owner_public_key`: Ed25519, 32 bytes; `cape_key`: RSA, PKCS#8 DER.

    `revoked` maps the ids of revoked tokens to their expiry in seconds since 1970, or None if they do not expire.
    """

    username: str
    owner_public_key: bytes
    cape_key: bytes = field(repr=False)
    version: int = 1
    functions: Mapping[str, FunctionEntry] = field(default_factory=dict)
    revoked: Mapping[str, int | None] = field(default_factory=dict)

    @property
    def identity(self) -> bytes:
        """16 bytes that identify the account: derived from its owner's key and its name, independent of case."""
        return hashlib.sha256(self.owner_public_key + self.username.lower().encode()).digest()[:_IDENTITY_BYTES]

    def verify(self, token: str, *scopes: tokens.Scope) -> Token:
        """Verify that the owner signed `token`, for one of `scopes`, and has not revoked it. Raises `CapeError`."""
        verified = tokens.verify(token, self.owner_public_key)
        if verified.username.lower() != self.username.lower():
            raise CapeError("token_invalid", "the token is not valid")
        if verified.id in self.revoked:
            raise CapeError("token_revoked", "the token has been revoked")
        if verified.scope not in scopes:
            raise CapeError("forbidden", f"a token of scope '{verified.scope}' does not allow this")
        return verified

    def with_function(self, function_id: str, entry: FunctionEntry, token: Token, *, now: float) -> Account:
        """The account with another function, and with the deploy token revoked, so that a host cannot restore a deleted
        function. Raises `CapeError`.
        """
        if len(self.functions) >= _MAX_FUNCTIONS:
            raise CapeError("too_large", f"an account has at most {_MAX_FUNCTIONS} functions")
        expires = None if token.expires is None else int(token.expires.timestamp())
        used = self.with_revoked(token.id, expires, now=now)
        return replace(used, functions={**self.functions, function_id: entry})

    def without_function(self, function_id: str) -> Account:
        if function_id not in self.functions:
            raise unknown_function()
        return self._next(functions={key: value for key, value in self.functions.items() if key != function_id})

    def with_revoked(self, token_id: str, expires: int | None, *, now: float) -> Account:
        """The account with this token revoked, and without revoked tokens that have expired. Raises `CapeError`."""
        if not ids.is_id(token_id):
            raise CapeError("token_invalid", "this is not a token's id")
        kept = {key: until for key, until in self.revoked.items() if until is None or until > now}
        if len(kept) >= _MAX_REVOKED:
            raise CapeError("too_large", f"an account has at most {_MAX_REVOKED} revoked tokens")
        return self._next(revoked={**kept, token_id: expires})

    def _next(self, **changes: Any) -> Account:  # noqa: ANN401 -- of any field
        return replace(self, version=self.version + 1, **changes)


class AccountVault:
    """Encrypts and decrypts records."""

    def __init__(self, root: RootSecret, seen: Callable[[Account], None] = lambda _: None) -> None:
        """`seen` is called with every account whose record is presented."""
        self._seen = seen
        self._cipher = AESGCM(root.derive("account record"))
        self._newest: dict[bytes, int] = {}
        self._keys: dict[bytes, rsa.RSAPrivateKey] = {}

    def seal(self, account: Account) -> bytes:
        """Encrypt `account` as a record for the host to store."""
        content = {
            "username": account.username,
            "owner": account.owner_public_key,
            "cape_key": account.cape_key,
            "version": account.version,
            "functions": {key: [e.name, e.checksum, e.public] for key, e in account.functions.items()},
            "revoked": dict(account.revoked),
        }
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, cbor2.dumps(content), _CONTEXT)

    def open(self, record: bytes) -> Account:
        """Decrypt a record. Raises `CapeError`: `damaged_record`; `stale_record` if a newer one was presented.

        The host chooses the account; using it takes a token of its owner.
        """
        try:
            content = cbor2.loads(self._cipher.decrypt(record[:_NONCE_BYTES], record[_NONCE_BYTES:], _CONTEXT))
        except (InvalidTag, ValueError) as error:
            raise _damaged() from error
        # Authenticated, so of this program's own making.
        functions = cast("dict[str, list[Any]]", content["functions"])
        account = Account(
            username=content["username"],
            owner_public_key=content["owner"],
            cape_key=content["cape_key"],
            version=content["version"],
            functions={key: FunctionEntry(*entry) for key, entry in functions.items()},
            revoked=content["revoked"],
        )
        if account.version < self._newest.get(account.identity, 0):
            raise CapeError("stale_record", "the host showed an old state of the account")
        self._seen(account)
        return account

    def commit(self, record: bytes) -> None:
        """Refuse records older than this one from now on. Raises `CapeError`."""
        account = self.open(record)
        if account.identity not in self._newest:
            self._check_room()
        self._newest[account.identity] = account.version

    def check_new(self, username: str, owner_public_key: bytes) -> None:
        """Refuse to create an account a second time: in its first record no token would be revoked.

        Raises `CapeError` (`refused`; `overloaded`).
        """
        if Account(username, owner_public_key, b"").identity in self._newest:
            raise CapeError("refused", "this owner key has had an account of this name; sign up with another key")
        self._check_room()

    def _check_room(self) -> None:
        if len(self._newest) >= MAX_ACCOUNTS:
            raise CapeError("overloaded", "the enclave has no room for another account")

    def cape_key(self, account: Account) -> rsa.RSAPrivateKey:
        """The account's Cape Key, parsed."""
        name = hashlib.sha256(account.cape_key).digest()
        key = self._keys.get(name)
        if key is None:
            # Checking an authenticated key's primes again would take a tenth of a second.
            loaded = serialization.load_der_private_key(account.cape_key, None, unsafe_skip_rsa_key_validation=True)
            key = cast("rsa.RSAPrivateKey", loaded)
            while len(self._keys) >= _KEPT_KEYS:
                self._keys.pop(next(iter(self._keys)))
            self._keys[name] = key
        return key


def create(username: str, owner_public_key: bytes, proof: str) -> Account:
    """Create an account; takes a second or more. `proof` is a token signed by the owner key. Raises `CapeError`."""
    if not USERNAME.fullmatch(username):
        raise CapeError("bad_name", "this is not a username")
    try:
        token = tokens.verify(proof, owner_public_key)
    except ValueError as error:  # Not a point of the curve, or of another length.
        raise CapeError("token_invalid", "the owner key is not an Ed25519 key") from error
    if token.scope != "account" or token.username != username:
        raise CapeError("token_invalid", "the proof is not of this account")
    key = rsa.generate_private_key(65537, CAPE_KEY_BITS)
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Account(username, owner_public_key, der)


def may_run(caller: Account, token: str, owner: Account, function_id: str) -> FunctionEntry:
    """The function that `token` of `caller` may run, of `owner`. Raises `CapeError`."""
    verified = caller.verify(token, "run", "account")
    if verified.function_id not in {None, function_id}:
        raise CapeError("forbidden", "the token is for another function")
    entry = owner.functions.get(function_id)
    if entry is None:
        raise unknown_function()
    if not entry.public and caller.owner_public_key != owner.owner_public_key:
        raise CapeError("forbidden", "the function is its owner's alone")
    return entry


def check_function_name(name: str) -> None:
    """Raise `CapeError` (`bad_bundle`) for an invalid function name."""
    if not FUNCTION_NAME.fullmatch(name):
        raise CapeError("bad_bundle", "a function's name has letters, digits, dots, dashes and underscores only")


def unknown_function() -> CapeError:
    """The error for a function that is not in its owner's record."""
    return CapeError("unknown_function", "there is no such function")


def _damaged() -> CapeError:
    return CapeError(
        "damaged_record", "the enclave cannot decrypt the account's record: it is damaged, or of another root secret"
    )
