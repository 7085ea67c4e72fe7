"""Which hosts a request may name: a page whose name was pointed at this machine (DNS rebinding) gets nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import images
from tests.support.problems import check as check_problem
from tests.support.raw_websocket import HandshakeRefusedError, WebSocket
from tests.support.rawhttp import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    import httpx2

    from tests.support.processes import Gateway
    from tests.support.stack import Stack

PROBES = ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready"]


STATUS = {"unknown_host": 421, "bad_request": 400}


def check(response: httpx2.Response, code: str) -> dict[str, Any]:
    assert response.status_code == STATUS[code], response.text[:200]
    return check_problem(response, code)


def ask(port: int, head: str, body: bytes = b"") -> httpx2.Response:
    """The answer to a request whose head is sent as it is."""
    with Connection(port) as connection:
        connection.send(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        return connection.response()


def get(port: int, host: str, path: str = "/info") -> httpx2.Response:
    return ask(port, f"GET {path} HTTP/1.1\nHost: {host}")


@pytest.fixture(scope="module")
def public(tiny_stack: Stack) -> Iterator[Gateway]:
    """A gateway that has names in public, and is reached by a service's name with an underscore."""
    names = "classify.example.org, my_gateway ,*.photos.example,192.0.2.7,[2001:db8::1]"
    with tiny_stack.another_gateway(hosts=names) as gateway:
        yield gateway


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "localhost:{port}", "127.0.0.1:{port}", "127.0.0.1", "127.0.0.2", "[::1]", "[::1]:{port}",
        "[0:0:0:0:0:0:0:1]:{port}", "[::ffff:127.0.0.1]", "LOCALHOST:{port}", "LocalHost", "localhost.",
        "localhost.:{port}",
        "localhost:", "localhost:1", "blindsight.localhost",
    ],
)  # fmt: skip
def test_this_machines_names_are_answered(tiny_stack: Stack, host: str) -> None:
    port = tiny_stack.gateway.port
    response = get(port, host.format(port=port))
    assert (response.status_code, response.json()["name"]) == (200, "blindsight")


@pytest.mark.parametrize(
    "host",
    [
        "evil.test", "evil.test:{port}", "localhost.evil.test", "127.0.0.1.evil.test:{port}", "notlocalhost",
        "localhost-", "_", "gateway", "192.0.2.7", "[2001:db8::1]:{port}", "0.0.0.0:{port}", "[::]", "2130706433",
        "0x7f.1", "127.1", "evil.test.", "localhost..", ".", "..", "a" * 300,
    ],
)  # fmt: skip
def test_any_other_name_is_refused(tiny_stack: Stack, host: str) -> None:
    port = tiny_stack.gateway.port
    for path in ("/", "/info", "/policy", "/docs", "/attestation", "/static/style.css", "/nothing"):
        problem = check(get(port, host.format(port=port), path), "unknown_host")
        assert "BLINDSIGHT_HOSTS" in problem["detail"]
        assert "evil" not in str(problem)


@pytest.mark.parametrize(
    "lines",
    [
        "Host: localhost\nHost: localhost", "Host: localhost\nHost: evil.test", "Host: evil.test\nhost: localhost", "",
        "X-Forwarded-Host: localhost", "Host:", "Host: localhost, evil.test", "Host: localhost evil.test",
        "Host: evil.test@localhost", "Host: localhost@evil.test", "Host: localhost/evil.test", "Host: localhost:http",
        "Host: localhost:65536", "Host: localhost:80:80", "Host: [::1", "Host: ::1", "Host: [localhost]",
        "Host: %6cocalhost", "Host: http://localhost", "Host: localhost#", "Host: localhost\\evil.test",
        "Host: [::1]x", "Host: [fe80::1%25lo]",
    ],
)  # fmt: skip
def test_what_is_no_host_is_malformed(tiny_stack: Stack, lines: str) -> None:
    """RFC 9112, section 3.2: no Host, two of them, or one that is none."""
    head = f"GET /info HTTP/1.1\n{lines}" if lines else "GET /info HTTP/1.1"
    check(ask(tiny_stack.gateway.port, head), "bad_request")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "PATCH"])
def test_whatever_the_method(tiny_stack: Stack, method: str) -> None:
    with Connection(tiny_stack.gateway.port) as connection:
        connection.send(f"{method} /classify HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 0\r\n\r\n".encode())
        assert connection.response(method).status_code == 421


def test_no_image_is_taken_under_another_name(tiny_stack: Stack) -> None:
    photo = images.plain(7)
    for path in ("/classify", "/ohttp"):
        head = f"POST {path} HTTP/1.1\nHost: evil.test\nContent-Type: image/png\nContent-Length: {len(photo)}"
        check(ask(tiny_stack.gateway.port, head, photo), "unknown_host")


def test_the_targets_own_host_counts(tiny_stack: Stack) -> None:
    """RFC 9112, section 3.2.2: of a target in absolute form the host counts, and that of the header does not."""
    port = tiny_stack.gateway.port
    for target, header in (
        ("evil.test", "localhost"),
        ("evil.test", "evil.test"),
        ("localhost@evil.test", "localhost"),
    ):
        response = ask(port, f"GET http://{target}/info HTTP/1.1\nHost: {header}")
        assert response.status_code in {400, 421}, (target, header)
    assert ask(port, f"GET http://localhost:{port}/info HTTP/1.1\nHost: evil.test").status_code == 200
    assert ask(port, f"GET http://localhost:{port}/info HTTP/1.1\nHost: localhost:{port}").status_code == 200
    check(ask(port, "GET http://localhost/info HTTP/1.1\nHost: localhost\nHost: localhost"), "bad_request")


def test_http_1_0_may_name_no_host_but_no_wrong_one(tiny_stack: Stack) -> None:
    """No browser speaks it; some load balancers' probes do."""
    port = tiny_stack.gateway.port
    assert ask(port, "GET /info HTTP/1.0").json()["name"] == "blindsight"
    check(ask(port, "GET /info HTTP/1.0\nHost: evil.test"), "unknown_host")


@pytest.mark.parametrize("path", PROBES)
def test_probes_come_by_whatever_address_they_know(tiny_stack: Stack, path: str) -> None:
    for head in (f"GET {path} HTTP/1.1\nHost: 10.42.0.17:8000", f"GET //{path} HTTP/1.1\nHost: pod.internal"):
        assert ask(tiny_stack.gateway.port, head).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "classify.example.org", "CLASSIFY.example.ORG:443", "my_gateway:8000", "a.photos.example", "a.b.photos.example",
        "192.0.2.7:8000", "[2001:0db8::1]", "localhost:{port}", "classify.example.org.",
    ],
)  # fmt: skip
def test_configured_names_are_answered_too(public: Gateway, host: str) -> None:
    assert get(public.port, host.format(port=public.port)).status_code == 200


@pytest.mark.parametrize(
    "host", ["photos.example", "xphotos.example", "example.org", "my-gateway", "192.0.2.8", "evil.test"]
)
def test_and_no_others(public: Gateway, host: str) -> None:
    check(get(public.port, host), "unknown_host")


def test_any_name_if_the_operator_says_so(tiny_stack: Stack) -> None:
    with tiny_stack.another_gateway(hosts="*") as gateway:
        assert get(gateway.port, "anything.example").status_code == 200
        check(get(gateway.port, "any thing"), "bad_request")


@pytest.mark.parametrize(
    ("listening", "host", "known"),
    [
        ("192.0.2.7", "192.0.2.7:8000", True), ("192.0.2.7", "192.0.2.8", False),
        ("Photos.Example", "photos.example", True), ("2001:db8::1", "[2001:db8:0::1]:1", True),
        ("0.0.0.0", "0.0.0.0:8000", True), ("0.0.0.0", "192.0.2.7", False), ("::", "[::]", True),
    ],
)  # fmt: skip
def test_the_address_that_is_listened_on_is_a_name_of_it(listening: str, host: str, known: bool) -> None:
    from gateway.hosts import Hosts, parse_host

    asked = parse_host(host)
    assert asked is not None
    assert (asked in Hosts(listening=listening)) is known


def test_websockets_too(public: Gateway) -> None:
    """Before anything else. Where there is no Cape host there is no WebSocket, and `Upgrade` is ignored: 404."""
    for netloc, status in ((f"evil.test:{public.port}", 421), (f"localhost:{public.port}", 404), ("my_gateway", 404)):
        with pytest.raises(HandshakeRefusedError) as refused:
            WebSocket(public.url, "/v1/test", ["cape.runtime, x"], headers={"Host": netloc})
        assert refused.value.status == status, netloc


def test_metrics_are_for_scrapers_not_for_pages(tiny_stack: Stack) -> None:
    port = tiny_stack.gateway.metrics_port
    for host, status in (
        ("localhost", 200), (f"127.0.0.1:{port}", 200), ("10.42.0.17:9000", 200), ("[2001:db8::1]:9000", 200),
        ("evil.test", 421), (f"evil.test:{port}", 421),
    ):  # fmt: skip
        assert get(port, host, "/metrics").status_code == status, host


def test_refusals_are_counted(tiny_stack: Stack) -> None:
    counter = 'requests_rejected_total{reason="unknown_host"}'
    before = tiny_stack.gateway.metric(counter)
    get(tiny_stack.gateway.port, "evil.test")
    assert tiny_stack.gateway.metric(counter) == before + 1
