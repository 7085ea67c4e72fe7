"""AWS Signature Version 4 for the single kind of request that the runtime sends: a POST to `/` without a query.

IAM User Guide, "Create a signed AWS API request". The signature covers all given headers and the body.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from enclave_runtime.kms.credentials import Credentials

ALGORITHM: Final = "AWS4-HMAC-SHA256"


def signed(
    headers: Mapping[str, str], body: bytes, credentials: Credentials, *, region: str, service: str, at: datetime
) -> dict[str, str]:
    """Return `headers` with `X-Amz-Date`, `X-Amz-Security-Token` and `Authorization` added.

    `headers` must contain `Host`; values must be ASCII without consecutive spaces. `at` is the time (aware), from which
    AWS's clock may differ by five minutes.
    """
    time = f"{at:%Y%m%dT%H%M%SZ}"
    sent = {**headers, "X-Amz-Date": time}
    if credentials.token:
        sent["X-Amz-Security-Token"] = credentials.token
    lowered = sorted((name.lower(), value.strip()) for name, value in sent.items())
    names = ";".join(name for name, _ in lowered)
    canonical = "\n".join(
        ("POST", "/", "", *(f"{name}:{value}" for name, value in lowered), "", names, hashlib.sha256(body).hexdigest())
    )
    scope = f"{time[:8]}/{region}/{service}/aws4_request"
    text = "\n".join((ALGORITHM, time, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = signing_key(credentials.secret_access_key, time[:8], region, service)
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    sent["Authorization"] = (
        f"{ALGORITHM} Credential={credentials.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return sent


def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """The signing key, 32 bytes, for one `day` (`YYYYMMDD`), region and service."""
    key = b"AWS4" + secret.encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
