"""Which way a request goes, and that every one asks."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from blindsight.client import routes
from blindsight.errors import ProxyError
from tests.support.proxies import without_proxies

PROXY = "http://proxy.example:3128"
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Without a proxy."""
    import os

    for name in os.environ.keys() - without_proxies().keys():
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST", "localhost.", "photos.localhost", "127.0.0.1", "127.255.255.254", "127.1",
        "2130706433", "0x7f.0.0.1", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "user:password@localhost",
    ],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "https", "ws", "wss"])
def test_this_machine_is_reached_without_a_proxy(scheme: str, host: str) -> None:
    url = f"{scheme}://{host}:8000/path"
    assert routes.is_loopback(url)
    assert not routes.in_the_clear(url)
    assert routes.proxy_for(url, PROXY, readable="the photos") is None


@pytest.mark.parametrize(
    "host",
    [
        "photos.example", "localhost.example", "127.0.0.1.example", "notlocalhost", "10.0.0.1", "128.0.0.1", "[::2]",
        "[::ffff:10.0.0.1]", "localhost:pw@photos.example", "0x80.0.0.1",
    ],
)  # fmt: skip
def test_another_one_with_it_unless_it_could_read_something(host: str) -> None:
    assert routes.proxy_for(f"https://{host}:8000", PROXY, readable="the photos") == PROXY
    assert routes.proxy_for(f"http://{host}:8000", PROXY, readable="") == PROXY
    assert routes.proxy_for(f"http://{host}:8000", None, readable="the photos") is None
    assert [routes.in_the_clear(f"{scheme}://{host}:8000") for scheme in ("http", "ws", "https", "wss")] == [
        True, True, False, False,
    ]  # fmt: skip
    for scheme in ("http", "ws"):
        with pytest.raises(ProxyError) as caught:
            routes.proxy_for(f"{scheme}://{host}:8000", PROXY, readable="the photos")
        assert caught.value.code == "plain_through_proxy"
        assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({"HTTPS_PROXY": PROXY, "HTTP_PROXY": "http://a:1"}, "https://photos.example", PROXY),
        ({"HTTPS_PROXY": PROXY, "HTTP_PROXY": "http://a:1"}, "wss://photos.example", PROXY),
        ({"HTTPS_PROXY": PROXY, "HTTP_PROXY": "http://a:1"}, "http://photos.example", "http://a:1"),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://a:1"}, "https://photos.example", PROXY),
        ({"ALL_PROXY": PROXY}, "https://photos.example", PROXY),
        ({"HTTPS_PROXY": "proxy.example:3128"}, "https://photos.example", PROXY),
        ({"HTTP_PROXY": PROXY}, "https://photos.example", None),
        ({}, "https://photos.example", None),
    ],
)
def test_the_environments_proxy_counts_if_asked_for(
    variables: dict[str, str], url: str, proxy: str | None, environment: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    assert routes.proxy_for(url, routes.FROM_ENVIRONMENT, readable="") == proxy
    assert routes.proxy_for(url, None, readable="") is None


@pytest.mark.parametrize(
    ("exceptions", "excepted"),
    [
        ("photos.example", True), (".example", True), ("example", True), ("*", True), ("a, photos.example", True),
        ("photos.example:443", False), ("otos.example", False), ("", False),
    ],
)  # fmt: skip
def test_with_its_exceptions(exceptions: str, excepted: bool, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ALL_PROXY", PROXY)
    environment.setenv("NO_PROXY", exceptions)
    found = routes.proxy_for("https://photos.example", routes.FROM_ENVIRONMENT, readable="")
    assert found == (None if excepted else PROXY)


@pytest.mark.parametrize("exceptions", ["10.1.0.0/16", "x,10.1.2.3", "fd00::/8", "[fd00::1]"])
def test_which_may_be_networks(exceptions: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ALL_PROXY", PROXY)
    environment.setenv("NO_PROXY", exceptions)
    ways = [
        routes.proxy_for(url, routes.FROM_ENVIRONMENT, readable="")
        for url in ("https://10.1.2.3", "https://[fd00::1]", "https://10.2.0.1", "https://[fc00::1]")
    ]
    assert ways == ([None, PROXY, PROXY, PROXY] if "10" in exceptions else [PROXY, None, PROXY, PROXY])


def test_no_other_place_makes_an_http_client() -> None:
    """But the download of public weights, which takes the environment's proxy on purpose, and an enclave's way to its
    host's forwarders, whose addresses are measured."""
    makers = {"Client", "AsyncClient", "get", "post", "put", "request", "stream", "urlopen", "create_connection"}
    found = set()
    for unit in ("blindsight", "gateway", "enclave_runtime", "enclave_function", "evil_gateway", "model_build"):
        for path in (REPOSITORY / unit).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in makers:
                    source = ast.unparse(node.func.value)
                    if source in {"httpx2", "requests", "urllib.request", "socket"}:
                        found.add(path.relative_to(REPOSITORY).as_posix())
    assert found == {"blindsight/client/routes.py", "model_build/weights.py", "enclave_runtime/kms/connect.py"}
