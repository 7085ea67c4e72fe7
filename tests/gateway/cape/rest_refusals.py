"""Errors of the REST endpoints, as Cape's clients understand them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.problems import CANARY

if TYPE_CHECKING:
    import httpx2


def refused(response: httpx2.Response, status: int, text: str = "") -> None:
    """The answer is an error as every Cape client understands it, and short."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error", "message"}
    assert body["error"] == body["message"]
    assert text in body["error"]
    assert body["error"]
    assert len(response.content) < 1024
    assert response.headers["content-type"] == "application/json"
    assert CANARY not in response.text
    assert response.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
    assert response.headers.get("retry-after") == ("1" if status == 503 else None)
