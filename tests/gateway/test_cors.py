"""Pages of other sites that may call the gateway: those that the operator lists, with all that they need for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support import images
from tests.support.problems import check

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

    from tests.support.processes import Gateway
    from tests.support.stack import Stack

APP = "https://app.example"
FOREIGN = (
    "https://evil.test",
    "http://app.example",
    "https://app.example:444",
    "https://app.example.evil.test",
    "null",
)
EXPOSED = {"retry-after", "x-request-id", "www-authenticate", "allow", "accept-encoding"}
ASKED = ("authorization", "content-type", "content-encoding", "x-request-id")


@pytest.fixture(scope="module")
def gateway(tiny_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("cors")
    cape = {"database": f"sqlite:///{folder / 'cape.sqlite'}", "bundles": folder / "bundles"}
    with tiny_stack.another_gateway(origins=f"{APP}, http://localhost:3000", **cape) as gateway:
        yield gateway


def listed(response: httpx2.Response, name: str) -> set[str]:
    return {text.strip().lower() for text in response.headers.get(name, "").split(",")} - {""}


def preflight(gateway: Gateway, path: str, origin: str, method: str = "POST") -> httpx2.Response:
    headers = {
        "Origin": origin, "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": ",".join(ASKED),
    }  # fmt: skip
    return gateway.client.options(path, headers=headers)


def readable(response: httpx2.Response, origin: str) -> None:
    """A page of `origin` may read the answer and the fields that its client needs (Fetch standard, 3.2)."""
    assert response.headers.get_list("access-control-allow-origin") == [origin]
    assert "origin" in listed(response, "vary")
    assert listed(response, "access-control-expose-headers") >= EXPOSED
    assert response.headers.get_list("cross-origin-resource-policy") == ["cross-origin"]
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("path", ["/classify", "/classify/batch", "/info", "/policy", "/readyz", "/v1/functions"])
@pytest.mark.parametrize("origin", [APP, "http://localhost:3000"])
def test_a_listed_page_may_ask_beforehand(gateway: Gateway, path: str, origin: str) -> None:
    response = preflight(gateway, path, origin)
    assert response.status_code == 204
    assert response.headers.get_list("access-control-allow-origin") == [origin]
    assert listed(response, "access-control-allow-methods") >= {"get", "head", "post", "delete"}
    assert listed(response, "access-control-allow-headers") >= set(ASKED)
    assert int(response.headers["access-control-max-age"]) > 0
    assert "origin" in listed(response, "vary")
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("origin", [APP, "http://localhost:3000"])
def test_and_classify(gateway: Gateway, origin: str) -> None:
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    requests: list[dict[str, Any]] = [
        {"files": {"file": images.plain(11)}},
        {"content": images.plain(11), "headers": {"content-type": "image/png"}},
    ]
    for request in requests:
        response = gateway.client.post("/classify", **{**request, "headers": {**request.get("headers", {}), **headers}})
        assert response.json()["predictions"][0]["class_id"] == 11
        readable(response, origin)


def test_refusals_are_readable_too(gateway: Gateway, tiny_stack: Stack) -> None:
    headers = {"Origin": APP, "Sec-Fetch-Site": "cross-site"}
    for response, code in (
        (gateway.client.post("/classify", content=b"no", headers=headers), "not_an_image"),
        (
            gateway.client.post("/classify", content=b"no", headers={**headers, "content-encoding": "br"}),
            "unsupported_media_type",
        ),
        (gateway.client.get("/classify", headers=headers), "method_not_allowed"),
        (gateway.client.get("/nowhere", headers=headers), "not_found"),
    ):
        check(response, code)
        readable(response, APP)
    with tiny_stack.another_gateway(ready=False, origins=APP, enclave="tcp://127.0.0.1:9") as lonely:
        response = lonely.client.post("/classify", content=b"x", headers=headers)
        assert response.status_code == 503
        readable(response, APP)


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("path", ["/classify", "/info", "/v1/functions"])
def test_other_pages_may_not(gateway: Gateway, origin: str, path: str) -> None:
    asked = preflight(gateway, path, origin)
    assert asked.status_code == 405
    posted = gateway.client.post(path, content=b"x", headers={"Origin": origin})
    assert posted.status_code == 403
    for response in (asked, posted, gateway.client.get(path, headers={"Origin": origin})):
        assert not [name for name in response.headers if name.startswith("access-control")]
        assert response.headers["cross-origin-resource-policy"] == "same-origin"
        # A cache must not give one page's answer to another.
        assert "origin" in listed(response, "vary")


def test_programs_notice_nothing(gateway: Gateway) -> None:
    response = gateway.client.post("/classify", files={"file": images.plain(11)})
    assert response.status_code == 200
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_two_origins_are_none(gateway: Gateway) -> None:
    response = gateway.client.get("/info", headers=[("Origin", APP), ("Origin", APP)])
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("path", ["/attestation", "/.well-known/ohttp-gateway", "/ohttp"])
def test_the_sealed_lane_is_open_to_all_and_readable(gateway: Gateway, path: str) -> None:
    for origin in (APP, "https://evil.test", "null"):
        response = gateway.client.get(path, headers={"Origin": origin})
        assert response.headers.get_list("access-control-allow-origin") == ["*"]
        assert listed(response, "access-control-expose-headers") >= {"retry-after", "x-request-id"}
        assert "access-control-allow-credentials" not in response.headers


def test_without_the_setting_nothing_is_shared(tiny_stack: Stack) -> None:
    response = tiny_stack.client.options("/classify", headers={"Origin": APP, "Access-Control-Request-Method": "POST"})
    assert not [name for name in response.headers if name.startswith("access-control")]
