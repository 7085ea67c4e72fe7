"""A gateway that is shown under a path, by a proxy that passes the path on or takes it off."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest

from blindsight import Client
from gateway import rootpath
from tests.support import images
from tests.support.nginx import running_nginx
from tests.support.raw_websocket import HandshakeRefusedError, WebSocket
from tests.support.rawhttp import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

    from tests.support.processes import Gateway
    from tests.support.stack import Stack

CLASS = 113
ROOT = "/ml/photos"
PAGES = ("/", "/docs", "/problems")


@pytest.fixture(scope="module")
def gateway(tiny_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("root-path")
    cape = {"database": f"sqlite:///{folder / 'cape.sqlite'}", "bundles": folder / "bundles", "open_signup": True}
    with tiny_stack.another_gateway(root_path=ROOT, proxies="127.0.0.1", **cape) as gateway:
        yield gateway


@pytest.fixture(scope="module", params=["passes it on", "takes it off"])
def url(request: pytest.FixtureRequest, gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where nginx shows the gateway."""
    target = "/" if request.param == "takes it off" else ""
    folder = tmp_path_factory.mktemp("nginx") / "nginx"
    with running_nginx(folder, gateway.port, location=f"{ROOT}/", target=target) as port:
        yield f"http://127.0.0.1:{port}{ROOT}"


@pytest.fixture
def client(gateway: Gateway) -> httpx2.Client:
    return gateway.client


def test_photos_are_classified_there(client: httpx2.Client, url: str) -> None:
    for path, field in (("/classify", "file"), ("/classify/batch", "files")):
        answer = client.post(f"{url}{path}", files={field: images.plain(CLASS)}).json()
        result = answer["results"][0] if "results" in answer else answer
        assert result["predictions"][0]["class_id"] == CLASS


def test_so_are_sealed_ones(tiny_stack: Stack, url: str) -> None:
    with Client(url, policy=tiny_stack.policy) as client:
        assert client.classify(images.plain(CLASS)).predictions[0].class_id == CLASS


@pytest.mark.parametrize("page", PAGES)
def test_what_the_pages_name_is_there(client: httpx2.Client, url: str, page: str) -> None:
    """Each address as a browser would resolve it."""
    address = f"{url}{page}"
    response = client.get(address)
    assert response.status_code == 200
    targets = re.findall(r'(?:src|href)="([^"#]+)', response.text)
    assert targets
    for target in targets:
        found = urljoin(address, target)
        assert found.startswith(url), found
        assert client.get(found).status_code == 200, found


def test_the_scripts_ask_below_the_page(client: httpx2.Client, url: str) -> None:
    for name, asked in (("docs.js", "openapi.json"), ("notice.js", "info")):
        script = client.get(f"{url}/static/{name}").text
        assert f'"/{asked}"' not in script
        assert f'"{asked}"' in script
    script = client.get(f"{url}/static/app/app.js").text
    assert '"/policy"' not in script


def test_the_description_names_the_path(client: httpx2.Client, url: str) -> None:
    schema = client.get(f"{url}/openapi.json").json()
    assert schema["servers"] == [{"url": ROOT}]
    assert "/classify" in schema["paths"]
    assert f"{ROOT}/problems#not_an_image" in str(schema)
    assert "'/problems#" not in str(schema)


def test_links_are_absolute_paths(client: httpx2.Client, url: str) -> None:
    links = client.get(f"{url}/info").json()["links"]
    for name, link in links.items():
        status = client.get(urljoin(f"{url}/info", link)).status_code
        assert status == (405 if name in {"classify", "batch", "sealed"} else 200), name


def test_the_types_of_problems_lead_to_their_page(client: httpx2.Client, url: str) -> None:
    answers = [
        client.post(f"{url}/classify", content=b"no image"),
        client.get(f"{url}/classify"),
        client.get(f"{url}/nowhere/at/all"),
        client.post(f"{url}/classify", content=b"x", headers={"sec-fetch-site": "cross-site"}),
        client.get(f"{url}/info", headers={"host": "evil.test"}),
    ]
    problems = [answer.json() for answer in answers]
    problems += [
        each["problem"] for each in client.post(f"{url}/classify/batch", files={"files": b"no"}).json()["results"]
    ]
    assert {problem["code"] for problem in problems} == {
        "not_an_image", "method_not_allowed", "not_found", "cross_origin", "unknown_host",
    }  # fmt: skip
    for problem in problems:
        page, _, name = urljoin(f"{url}/classify/batch", problem["type"]).partition("#")
        assert page == f"{url}/problems"
        assert f'id="{name}"' in client.get(page).text


def test_so_do_those_from_before_there_is_a_request(gateway: Gateway) -> None:
    with Connection(gateway.port) as connection:
        connection.send(b"nonsense\r\n\r\n")
        assert connection.response().json()["type"] == f"{ROOT}/problems#bad_request"


def test_a_devices_page_is_where_it_is_said(client: httpx2.Client, url: str) -> None:
    begun = client.post(f"{url}/oauth/device/code", data={"client_id": "x"}).json()
    assert begun["verification_uri"] == f"{url}/device"
    page = client.get(begun["verification_uri_complete"])
    assert page.status_code == 200
    assert begun["user_code"] in page.text


def test_websockets_are_found_there(url: str) -> None:
    """Refused for its token, which only the route looks at."""
    with pytest.raises(HandshakeRefusedError) as caught:
        WebSocket(url.removesuffix(ROOT), f"{ROOT}/v1/key", ["cape.runtime", "x"])
    assert caught.value.status == 401


def test_the_path_without_its_last_slash(client: httpx2.Client, url: str) -> None:
    """The page's own links are relative to it."""
    response = client.get(url)
    assert response.status_code in {301, 307, 308}
    assert urljoin(url, response.headers["location"]) == f"{url}/"


def test_without_a_proxy_both_are_answered(gateway: Gateway) -> None:
    """Probes of the machine know no path."""
    for path in ("/livez", f"{ROOT}/livez", "/", f"{ROOT}/"):
        assert gateway.client.get(path).status_code == 200, path
    for path in (f"{ROOT}x/livez", f"{ROOT}/", "/ml/livez", f"{ROOT}{ROOT}/livez"):
        assert gateway.client.get(path).status_code == (200 if path == f"{ROOT}/" else 404), path
    with Connection(gateway.port) as connection:
        connection.start("GET", f"/{ROOT}//livez", {})
        assert connection.response().status_code == 200
    response = gateway.client.get(f"{ROOT}?a=b", headers={"host": "localhost"})
    assert (response.status_code, response.headers["location"]) == (307, f"{ROOT}/")


def test_only_within_the_path_of_the_host(gateway: Gateway) -> None:
    """What is checked by path is checked by the path that counts."""
    assert gateway.client.get(f"{ROOT}/livez", headers={"host": "10.0.0.1"}).status_code == 200
    assert gateway.client.get(f"{ROOT}/info", headers={"host": "10.0.0.1"}).status_code == 421
    foreign = {"origin": "https://evil.test", "sec-fetch-site": "cross-site"}
    assert gateway.client.post(f"{ROOT}/classify", content=b"x", headers=foreign).status_code == 403
    shared = gateway.client.get(f"{ROOT}/attestation", headers=foreign)
    assert shared.headers["access-control-allow-origin"] == "*"


def test_no_path_of_the_gateways_own_is_taken_for_it(gateway: Gateway) -> None:
    """What a proxy leaves when it takes the root path off must not look as if it still had one."""
    described = set(gateway.client.get("/openapi.json").json()["paths"])
    hidden = {"/policy", "/blindsight.html", "/docs", "/problems", "/openapi.json", "/static/x", "/device", "/v1/run/x"}
    assert {path.split("/")[1] for path in described | hidden} == rootpath.OWN_NAMES
    for path in hidden:
        assert gateway.client.get(path).status_code != 404 or path in {"/static/x", "/v1/run/x"}


def test_the_route_is_what_is_recorded(gateway: Gateway) -> None:
    gateway.client.get(f"{ROOT}/info")
    assert gateway.metric('http_requests_total{method="GET",route="/info",status="200"}') >= 1
    assert "photos" not in {event.get("route") for event in gateway.events()}
