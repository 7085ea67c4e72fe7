"""The classifier grant: the account whose ciphertexts the classifier decrypts, until the owner's signed token
expires.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final

from blindsight.cape import envelope
from blindsight.errors import CapeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric import rsa

    from enclave_runtime.cape.accounts import Account

MAX_LIFETIME: Final = timedelta(days=31)
"""From its presentation; then the owner has to sign a new token."""


@dataclass(frozen=True)
class _Granted:
    account: Account
    token_id: str
    expires: datetime
    until: float
    """`expires` on the clock of the enclave's own uptime, which no host sets."""


class ClassifierGrant:
    """The grant of one account at a time. The token has scope `deploy` and names the classifier's bundle."""

    def __init__(self, checksum: bytes, key_of: Callable[[Account], rsa.RSAPrivateKey]) -> None:
        """`checksum` is the bundle's SHA-256."""
        self._checksum = checksum
        self._key_of = key_of
        self._granted: _Granted | None = None

    def give(self, account: Account, token: str) -> None:
        """Decrypt this account's ciphertexts from now on. Raises `CapeError`."""
        verified = account.verify(token, "deploy")
        if verified.deploy[0] != self._checksum:
            raise CapeError("checksum_mismatch", "the token allows another function than this classifier")
        left = None if verified.expires is None else verified.expires - datetime.now(UTC)
        if verified.expires is None or left is None or left > MAX_LIFETIME:
            raise CapeError("forbidden", f"a grant has to expire, within {MAX_LIFETIME.days} days")
        self._granted = _Granted(account, verified.id, verified.expires, monotonic() + left.total_seconds())

    def seen(self, account: Account) -> None:
        """Check a record that the host has presented: it can revoke the token."""
        granted = self._granted
        if granted and account.identity == granted.account.identity and granted.token_id in account.revoked:
            self._granted = None

    def open(self, value: bytes | memoryview) -> bytes:
        """Decrypt a `cape:` value. Raises `CapeError` (`cannot_decrypt`)."""
        granted = self._granted
        if granted is None or datetime.now(UTC) >= granted.expires or monotonic() >= granted.until:
            raise CapeError("cannot_decrypt", "no account allows this classifier to decrypt for it now")
        return envelope.decrypt(self._key_of(granted.account), value)
