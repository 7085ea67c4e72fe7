"""What proxies say of their callers: heeded from those that the operator names, and from no other sender."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.support import images
from tests.support.nginx import running_nginx
from tests.support.problems import check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.processes import Gateway
    from tests.support.stack import Stack

CALLER = "203.0.113.7"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a Cape host."""
    folder = tmp_path_factory.mktemp("forwarded")
    return {"database": f"sqlite:///{folder / 'cape.sqlite'}", "bundles": folder / "bundles", "open_signup": True}


@pytest.fixture(scope="module")
def gateway(tiny_stack: Stack, files: dict[str, Any]) -> Iterator[Gateway]:
    with tiny_stack.another_gateway(proxies="127.0.0.1, 10.1.0.0/16, 2001:db8:1::/48", **files) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def alone(tiny_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One that knows no proxy."""
    folder = tmp_path_factory.mktemp("alone")
    cape = {"database": f"sqlite:///{folder / 'cape.sqlite'}", "bundles": folder / "bundles", "open_signup": True}
    with tiny_stack.another_gateway(**cape) as gateway:
        yield gateway


def seen(gateway: Gateway, fields: dict[str, str] | list[tuple[str, str]], **more: Any) -> tuple[str, str]:
    """From where the gateway says that a login was begun with these header fields, and the link that it gave."""
    begun = gateway.client.post("/oauth/device/code", data={"client_id": "x"}, headers=fields, **more).json()
    page = gateway.client.get("/device", params={"user_code": begun["user_code"]}).text
    address = page.partition("asked from</dt><dd>")[2].partition("<")[0]
    return address, begun["verification_uri"]


FORWARDED: dict[str, tuple[list[tuple[str, str]], str]] = {
    "one address": ([("X-Forwarded-For", CALLER)], CALLER),
    "with a port": ([("X-Forwarded-For", f"{CALLER}:4711")], CALLER),
    "IPv6": ([("X-Forwarded-For", "2001:db8::7")], "2001:db8::7"),
    "IPv6 with a port": ([("X-Forwarded-For", "[2001:db8::7]:4711")], "2001:db8::7"),
    "what the caller wrote itself": ([("X-Forwarded-For", f"1.1.1.1, {CALLER}")], CALLER),
    "through two of ours": ([("X-Forwarded-For", f"1.1.1.1, {CALLER}, 10.1.2.3")], CALLER),
    "through three": ([("X-Forwarded-For", f"{CALLER}, 2001:db8:1::9, 10.1.2.3")], CALLER),
    "in two lines": ([("X-Forwarded-For", f"1.1.1.1, {CALLER}"), ("X-Forwarded-For", "10.1.2.3")], CALLER),
    "mapped": ([("X-Forwarded-For", f"::ffff:{CALLER}")], CALLER),
    "from one of ours": ([("X-Forwarded-For", "10.1.2.3")], "10.1.2.3"),
    "Forwarded": ([("Forwarded", f"for={CALLER};proto=https")], CALLER),
    "Forwarded, quoted": ([("Forwarded", f'For="{CALLER}:4711"')], CALLER),
    "Forwarded, IPv6": ([("Forwarded", 'proto=http;for="[2001:db8::7]:4711"')], "2001:db8::7"),
    "Forwarded through two": ([("Forwarded", f"for=1.1.1.1, for={CALLER};by=10.1.0.1, for=10.1.2.3")], CALLER),
    "both, alike": ([("X-Forwarded-For", CALLER), ("Forwarded", f"for={CALLER}")], CALLER),
}


@pytest.mark.parametrize("how", FORWARDED)
def test_a_known_proxys_caller_is_the_caller(gateway: Gateway, alone: Gateway, how: str) -> None:
    fields, expected = FORWARDED[how]
    assert seen(gateway, fields)[0] == expected
    assert seen(alone, fields)[0] == "127.0.0.1", "a gateway that knows no proxy heeds none"


UNCLEAR = {
    "unknown": [("X-Forwarded-For", "unknown")],
    "a name": [("X-Forwarded-For", "evil.test")],
    "markup": [("X-Forwarded-For", "<b>1.1.1.1</b>")],
    "empty": [("X-Forwarded-For", "")],
    "nothing behind a comma": [("X-Forwarded-For", f"{CALLER},")],
    "hidden": [("Forwarded", "for=_hidden")],
    "no address": [("Forwarded", "for=unknown, by=10.1.0.1")],
    "an unfinished quote": [("Forwarded", f'for="{CALLER}')],
    "a comma in quotes": [("Forwarded", f'for="{CALLER},10.1.2.3"')],
    "another notation": [("X-Forwarded-For", "0x7f.1")],
    "the two differ": [("X-Forwarded-For", CALLER), ("Forwarded", "for=1.1.1.1")],
    "the proxy's own is the other": [("Forwarded", f"for={CALLER}"), ("X-Forwarded-For", "1.1.1.1")],
    "very long": [("X-Forwarded-For", "1.1.1.1, " * 1000 + "x")],
}


@pytest.mark.parametrize("how", UNCLEAR)
def test_what_is_not_clear_is_the_proxys_own(gateway: Gateway, how: str) -> None:
    """It is known where the connection is from; a caller must not choose for what it passes."""
    assert seen(gateway, UNCLEAR[how])[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("fields", "scheme"),
    [
        ({"X-Forwarded-Proto": "https"}, "https"), ({"X-Forwarded-Proto": "HTTPS"}, "https"),
        ({"X-Forwarded-Proto": "http"}, "http"), ({"X-Forwarded-Proto": "https, http"}, "http"),
        ({"X-Forwarded-Proto": "gopher"}, "http"), ({"X-Forwarded-Proto": ""}, "http"),
        ({"Forwarded": f"for={CALLER};proto=https"}, "https"), ({"Forwarded": "proto=https"}, "https"),
        ({"Forwarded": "proto=https", "X-Forwarded-Proto": "http"}, "http"),
    ],
)  # fmt: skip
def test_links_have_the_scheme_that_the_caller_used(
    gateway: Gateway, alone: Gateway, fields: dict[str, str], scheme: str
) -> None:
    asked = {**fields, "Host": "localhost:8443"}
    assert seen(gateway, asked)[1] == f"{scheme}://localhost:8443/device"
    assert seen(alone, asked)[1] == "http://localhost:8443/device"


def test_a_host_is_not_taken_from_there(gateway: Gateway) -> None:
    """The proxy passes `Host` on; what else names one is the caller's own."""
    fields = {"X-Forwarded-Host": "evil.test", "Forwarded": "host=evil.test;proto=http", "X-Forwarded-Port": "1"}
    assert seen(gateway, fields)[1].startswith(f"http://127.0.0.1:{gateway.port}/")
    check(gateway.client.get("/info", headers={"Host": "evil.test", "X-Forwarded-Host": "localhost"}), "unknown_host")


def test_an_insecure_page_is_foreign_to_a_secure_address(gateway: Gateway) -> None:
    """Once the gateway knows that its caller used TLS, the page of the plain address may have been changed."""
    ours = {"Host": "localhost", "X-Forwarded-Proto": "https"}
    for origin, status in (("http://localhost", 403), ("https://localhost", 200)):
        answer = gateway.client.post("/classify", files={"file": images.plain(3)}, headers={**ours, "Origin": origin})
        assert answer.status_code == status, origin


def test_a_flood_through_a_proxy_holds_up_its_sender_alone(tiny_stack: Stack) -> None:
    """Both share the proxy's connections; the one that has no token waits, the other does not."""
    from gateway import tokens

    file = tiny_stack.folder / "forwarded-tokens"
    token = tokens.create("alice", file)
    with tiny_stack.another_gateway(tokens_file=file, proxies="127.0.0.1") as gateway:
        flood = {"X-Forwarded-For": CALLER}
        for _ in range(36):
            check(gateway.client.post("/classify", content=b"x", headers=flood), "unauthenticated")
        started = time.monotonic()
        check(gateway.client.post("/classify", content=b"x", headers=flood), "unauthenticated")
        waited = time.monotonic() - started
        other = {"X-Forwarded-For": "198.51.100.9", "Authorization": f"Bearer {token}"}
        started = time.monotonic()
        answer = gateway.client.post("/classify", files={"file": images.plain(5)}, headers=other)
        assert answer.status_code == 200
        assert time.monotonic() - started < waited
        assert waited >= 1


def test_a_proxy_may_have_all_connections(tiny_stack: Stack) -> None:
    """The bound for one address is for callers."""
    with tiny_stack.another_gateway(proxies="127.0.0.1", max_connections_per_address=2) as gateway:
        from tests.support.rawhttp import Connection

        connections = [Connection(gateway.port) for _ in range(5)]
        try:
            for connection in connections:
                connection.start("GET", "/livez", {})
                assert connection.response().status_code == 200
        finally:
            for connection in connections:
                connection.__exit__()


def test_through_nginx(gateway: Gateway, tmp_path: Path) -> None:
    """It adds where its caller is, and passes `Forwarded` on as that wrote it."""
    with (
        running_nginx(tmp_path / "nginx", gateway.port) as port,
        httpx2.Client(transport=httpx2.HTTPTransport(local_address="127.0.0.2"), timeout=60) as client,
    ):
        url = f"http://localhost:{port}"
        mine = {"X-Forwarded-For": CALLER, "X-Forwarded-Proto": "https"}
        for written, expected in ((mine, "127.0.0.2"), ({**mine, "Forwarded": f"for={CALLER}"}, "127.0.0.1")):
            begun = client.post(f"{url}/oauth/device/code", data={"client_id": "x"}, headers=written).json()
            assert begun["verification_uri"] == f"{url}/device"
            assert f"<dd>{expected}</dd>" in client.get(begun["verification_uri_complete"]).text
        large = client.post(f"{url}/classify", content=bytes(25_000_000), headers={"content-type": "image/png"})
        check(large, "image_too_large")
        good = client.post(f"{url}/classify", files={"file": images.plain(7)})
        assert good.json()["predictions"][0]["class_id"] == 7
