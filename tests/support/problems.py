"""What every problem answer must be, and must not hold."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from blindsight.problems import CATALOGUE

if TYPE_CHECKING:
    from httpx2 import Response

CANARY = "zQ4nary7f3d"
"""Put into everything that a caller chooses: it must come back nowhere."""

REGISTERED = {"ohttp_key": "https://iana.org/assignments/http-problem-types#ohttp-key"}
"""Types that a standard has named (RFC 9458, 5.3)."""


def check(response: Response, code: str) -> dict[str, Any]:
    """The problem document of `response`, which must be `code` of the catalogue in every respect."""
    kind = CATALOGUE[code]
    assert response.status_code == kind.status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["code"] == code
    assert problem["status"] == kind.status
    assert problem["type"] == REGISTERED.get(code, f"/problems#{code}")
    assert problem["title"] == kind.title
    assert problem["retryable"] is kind.retry
    assert problem["detail"].endswith((".", "?"))
    assert len(response.headers.get_list("x-request-id")) == 1
    request_id = response.headers["x-request-id"]
    assert str(uuid.UUID(request_id)) == request_id
    assert problem["instance"] == f"urn:uuid:{request_id}"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert ("retry-after" in response.headers) is (kind.retry or kind.status == 429)
    assert ("www-authenticate" in response.headers) is (kind.status == 401)
    check_no_echo(response)
    return problem


def check_no_echo(response: Response) -> None:
    received = response.text + "".join(f"{name}: {value}\n" for name, value in response.headers.items())
    assert CANARY.lower() not in received.lower()
