"""`HEAD` wherever there is `GET` (RFC 9110, 9.3.2): the same answer, without its content."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.gateway.conftest import Front

PATHS = (
    "/", "/blindsight.html", "/policy", "/docs", "/problems", "/openapi.json", "/livez", "/readyz", "/v2/health/live",
    "/v2/health/ready", "/info", "/attestation", "/.well-known/ohttp-gateway", "/static/style.css",
    "/static/swagger-ui/swagger-ui-bundle.js", "/device", "/v1/functions", "/v1/tokens", "/v1/functions/abc",
    "/v1/user/nobody/key", "/oauth/device/login", "/attestation?nonce=short", "/nowhere", "/static/nothing",
)  # fmt: skip
POSTED = ("/classify", "/classify/batch", "/ohttp", "/v1/accounts", "/v1/token", "/oauth/device/code")
VARYING = {"date", "x-request-id"}


def ask(front: Front, method: str, path: str, listener: str = "plain") -> tuple[int, dict[str, str]]:
    """Status and header fields. The connection must be in order afterwards, which a body after HEAD would break."""
    with front.connect(listener) as connection:
        answers = []
        for each, target in ((method, path), ("GET", "/livez")):
            connection.send(f"{each} {target} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
            answers.append(connection.response(each))
        if method == "HEAD":
            assert answers[0].content == b""
        assert answers[1].status_code == (404 if listener == "metrics" else 200)
        return answers[0].status_code, dict(answers[0].headers)


@pytest.mark.parametrize("path", PATHS)
def test_head_is_answered_as_get_is(front: Front, path: str) -> None:
    status, fields = ask(front, "GET", path)
    alike = ask(front, "HEAD", path)
    assert alike[0] == status
    # Evidence is another each time, and its base64 may be longer or shorter; a problem names its own request.
    varying = VARYING | ({"content-length"} if path == "/attestation" else set())
    assert {name: value for name, value in alike[1].items() if name not in varying} == {
        name: value for name, value in fields.items() if name not in varying
    }


def test_on_every_listener(front: Front) -> None:
    assert ask(front, "HEAD", "/info", "tls")[0] == 200
    status, fields = ask(front, "HEAD", "/metrics", "metrics")
    assert status == 200
    assert fields["content-type"].startswith("text/plain")
    assert ask(front, "HEAD", "/nothing", "metrics")[0] == 404


@pytest.mark.parametrize("path", POSTED)
def test_where_there_is_no_get_there_is_no_head(front: Front, path: str) -> None:
    status, fields = ask(front, "HEAD", path)
    assert (status, fields["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/info", {"GET", "HEAD"}), ("/", {"GET", "HEAD"}), ("/openapi.json", {"GET", "HEAD"}),
        ("/v1/functions/abc", {"DELETE", "GET", "HEAD"}), ("/static/style.css", {"GET", "HEAD"}),
    ],
)  # fmt: skip
def test_allow_names_it(front: Front, path: str, allowed: set[str]) -> None:
    status, fields = ask(front, "PUT", path)
    assert status == 405
    if "static" not in path:
        assert {method.strip() for method in fields["allow"].split(",")} == allowed


def test_it_is_recorded_as_what_it_is(front: Front) -> None:
    ask(front, "HEAD", "/info")
    assert front.gateway.metric('http_requests_total{method="HEAD",route="/info",status="200"}') >= 1
    methods = [event.get("method") for event in front.gateway.events() if event.get("route") == "/info"]
    assert "HEAD" in methods
