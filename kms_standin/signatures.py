"""Verifies AWS Signature Version 4 (IAM User Guide, "AWS Signature Version 4 for API requests").

It shares no code with the enclave's signer, so that a mistake there does not cancel out here.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from kms_standin.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[A-Z0-9]+)/(?P<day>[0-9]{8})/(?P<region>[a-z0-9-]+)/kms/aws4_request,"
    r" ?SignedHeaders=(?P<names>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
_WINDOW = timedelta(minutes=5)


@dataclass(frozen=True)
class AccessKey:
    """A secret access key of the principal `arn`; temporary ones have a session `token`."""

    arn: str
    secret: str
    token: str | None = None


def principal(
    headers: Mapping[str, str], body: bytes, *, keys: Mapping[str, AccessKey], region: str, now: datetime
) -> str:
    """The ARN of the principal that signed a POST to `/`. Names of `headers` are in lower case.

    Raises `Refused` for a signature that is missing, invalid, more than five minutes old or ahead, for another region,
    or by an unknown access key.
    """
    match = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if not match or match["region"] != region:
        raise Refused("IncompleteSignatureException", "There is no signature for this service and region.")
    access = keys.get(match["id"])
    if access is None or access.token != headers.get("x-amz-security-token"):
        raise Refused("UnrecognizedClientException", "The security token is not valid.")
    time = headers.get("x-amz-date", "")
    names = match["names"].split(";")
    if not {"host", "x-amz-date", "x-amz-target"} <= set(names) or not time.startswith(match["day"]):
        raise Refused("IncompleteSignatureException", "A header that must be signed is not.")
    try:
        sent = datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise Refused("IncompleteSignatureException", "The date is invalid.") from error
    if abs(now - sent) > _WINDOW:
        raise Refused("InvalidSignatureException", "Signature expired.")
    lines = ["POST", "/", "", *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in names)]
    lines += ["", match["names"], hashlib.sha256(body).hexdigest()]
    scope = f"{match['day']}/{region}/kms/aws4_request"
    hashed = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    key = f"AWS4{access.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    expected = hmac.digest(key, f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed}".encode(), "sha256").hex()
    if not hmac.compare_digest(expected, match["signature"]):
        raise Refused("InvalidSignatureException", "The signature does not match.")
    return access.arn
