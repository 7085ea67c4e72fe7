"""Temporary credentials of the instance's role, from the instance metadata service (IMDSv2) through a host's forwarder.

Amazon EC2 User Guide, "Use the Instance Metadata Service". The credentials are not secret from the host, which has the
same ones. They authenticate requests; without an attestation document they decrypt nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from blindsight import strict_json
from blindsight.errors import KmsError
from enclave_runtime.kms.transport import ExchangeFailed, Request, exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enclave_runtime.kms.transport import Connector

_HOST: Final = "169.254.169.254"
_ROLES: Final = "/latest/meta-data/iam/security-credentials/"
_SESSION_SECONDS: Final = "60"
_RENEWAL: Final = timedelta(minutes=5)
"""Credentials are renewed this long before they expire: AWS provides new ones at least five minutes before."""

_ROLE: Final = re.compile(rb"[A-Za-z0-9+=,.@_-]{1,64}")
"""IAM API reference, CreateRole, RoleName."""
_TOKEN: Final = re.compile(rb"[A-Za-z0-9+/=_-]{1,256}")
_SENDABLE: Final = re.compile(r"[\x21-\x7e]{1,8192}")
"""Form of values that go into a header or a signing key: printable ASCII without spaces."""


@dataclass(frozen=True)
class Credentials:
    """The credentials of a role. `expires` is aware; None: they do not expire. `repr` omits the secrets."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    expires: datetime | None = None


class InstanceCredentials:
    """Fetches the role's credentials, and caches them until shortly before they expire."""

    def __init__(self, connect: Connector, clock: Callable[[], datetime]) -> None:
        self._connect, self._clock = connect, clock
        self._kept: Credentials | None = None

    def current(self) -> Credentials:
        """Credentials that are valid now. May block. Raises `KmsError` (`credentials_unavailable`)."""
        kept = self._kept
        if kept is None or kept.expires is None or kept.expires - _RENEWAL <= self._clock():
            kept = self._kept = self._fetch()
        return kept

    def _fetch(self) -> Credentials:
        asked = {"X-aws-ec2-metadata-token-ttl-seconds": _SESSION_SECONDS}
        token = self._ask("PUT", "/latest/api/token", asked)
        if not _TOKEN.fullmatch(token):
            raise KmsError("credentials_unavailable", "The metadata service gave no session token.")
        headers = {"X-aws-ec2-metadata-token": token.decode()}
        role = self._ask("GET", _ROLES, headers).strip()
        if not _ROLE.fullmatch(role):
            raise KmsError("credentials_unavailable", "The metadata service names no role of the instance.")
        try:
            return _parse(self._ask("GET", _ROLES + role.decode(), headers))
        except ValueError as error:
            raise KmsError("credentials_unavailable", "The metadata service gave no usable credentials.") from error

    def _ask(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        try:
            answer = exchange(self._connect, Request(method, _HOST, path, headers), tls=None)
        except ExchangeFailed as error:
            raise KmsError("credentials_unavailable", f"The metadata service was not reached ({error}).") from error
        if answer.status != 200:
            raise KmsError("credentials_unavailable", f"The metadata service answered {answer.status}.")
        return answer.body


def _parse(encoded: bytes) -> Credentials:
    members = strict_json.loads(encoded)
    # Other members are skipped: AWS may add some.
    if not isinstance(members, dict) or members.get("Code") != "Success":
        raise ValueError("no success")
    values = [members.get(name) for name in ("AccessKeyId", "SecretAccessKey", "Token")]
    texts = [value for value in values if isinstance(value, str) and _SENDABLE.fullmatch(value)]
    if len(texts) != len(values):
        raise ValueError("a value that cannot be sent")
    expires = datetime.strptime(str(members.get("Expiration")), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return Credentials(texts[0], texts[1], texts[2], expires)
