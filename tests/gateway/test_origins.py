"""Whose pages may change something here: forged `Origin` and `Sec-Fetch-Site`, sent by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.cape.messages import b64
from blindsight_cli import localca
from tests.support import images
from tests.support.cape_front import owner
from tests.support.cape_guest import Guest, trust_of
from tests.support.problems import check
from tests.support.raw_websocket import HandshakeRefusedError, WebSocket
from tests.support.rawhttp import Connection
from tests.support.stack import running_stack
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

    from tests.support.models import TinyModel
    from tests.support.stack import Stack

CLASS = 77
FOREIGN: list[dict[str, str]] = [
    {"Origin": "https://evil.test"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://localhost:1"},
    {"Origin": "http://localhost"},
    {"Origin": "http://127.0.0.1"},
    {"Origin": "http://{other}"},
    {"Origin": "http://{netloc}.evil.test"},
    {"Origin": "http://{netloc}@evil.test"},
    {"Origin": "http://evil.test@{netloc}"},
    {"Origin": "http://{netloc}/"},
    {"Origin": "http://{netloc} http://evil.test"},
    {"Origin": "{netloc}"},
    {"Origin": "file://{netloc}"},
    {"Origin": "chrome-extension://abcdefghijklmnop"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "SAME-ORIGIN"},
    {"Sec-Fetch-Site": ""},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://{netloc}"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://{netloc}"},
]
OWN: list[dict[str, str]] = [
    {},
    {"Origin": "http://{netloc}"},
    {"Origin": "HTTP://{netloc}"},
    {"Origin": "http://{netloc}", "Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    # What a form of our own sends: our pages have the referrer policy `no-referrer`.
    {"Origin": "null", "Sec-Fetch-Site": "same-origin"},
]


@pytest.fixture(scope="module")
def host(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Cape host with open registration, over HTTP and HTTPS."""
    folder = tmp_path_factory.mktemp("origins")
    tls = localca.ensure(folder / "tls", ["localhost", "127.0.0.1"])
    settings = {"tls_port": free_port(), "tls_certificate": tls.certificate, "tls_key": tls.key}
    with running_stack(colour_model.folder, folder, workers=1, cape=True, **settings) as stack:
        yield stack


@pytest.fixture(scope="module")
def ada(host: Stack) -> Guest:
    return Guest.sign_up("ada", host.gateway.url, trust_of(host))


def sent(stack: Stack, headers: dict[str, str]) -> dict[str, str]:
    """`headers` with the gateway's own names and ports filled in."""
    port = stack.gateway.port
    values = {"netloc": f"127.0.0.1:{port}", "other": f"localhost:{port}"}
    return {name: value.format(**values) for name, value in headers.items()}


def post(stack: Stack, path: str, from_page: dict[str, str], **request: Any) -> httpx2.Response:
    headers = request.pop("headers", {}) | sent(stack, from_page)
    return stack.client.post(path, headers=headers, **request)


def application(username: str) -> dict[str, str]:
    """For an account."""
    someone = owner(username)
    return {"username": username, "owner_public_key": b64(someone.public), "proof": someone.token()}


def refused(response: httpx2.Response, *, shared: str = "") -> None:
    assert response.status_code == 403, response.text[:200]
    check(response, "cross_origin")
    assert ("access-control-allow-origin" in response.headers) is (shared == "/ohttp")


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_foreign_page_changes_nothing(host: Stack, ada: Guest, headers: dict[str, str]) -> None:
    form = {"content-type": "text/plain"}
    refused(post(host, "/v1/accounts", headers, content=json.dumps(application("mallory")).encode(), headers=form))
    assert host.client.get("/v1/user/mallory/key").status_code == 404
    photo = images.plain(CLASS)
    refused(post(host, "/classify", headers, files={"file": photo}))
    refused(post(host, "/classify", headers, content=photo, headers={"content-type": "image/png"}))
    refused(post(host, "/classify", headers, json={"image": b64(photo)}))
    refused(post(host, "/classify/batch", headers, files={"files": photo}))
    bearer = {"authorization": f"Bearer {ada.token()}"}
    refused(post(host, "/v1/token", headers, json={"name": "x", "token": ada.token("run")}, headers=bearer))
    refused(host.client.delete("/v1/account", headers=bearer | sent(host, headers)))
    refused(post(host, "/oauth/device/code", headers, data={"client_id": "x"}))
    refused(post(host, "/oauth/token", headers, data={"grant_type": "x"}))
    refused(post(host, "/oauth/device/decision", headers, json={"user_code": "x", "allow": False}, headers=bearer))
    refused(post(host, "/nothing", headers))


@pytest.mark.parametrize(
    "route", ["/v1/test", "/v1/deploy", "/v1/key", "/v1/run/ada/echo", "/v1/run/E7LiYKk4eSkEKAddXneVrX"]
)
def test_a_foreign_page_opens_no_websocket(host: Stack, ada: Guest, route: str) -> None:
    for headers in FOREIGN:
        with pytest.raises(HandshakeRefusedError) as caught:
            WebSocket(host.gateway.url, route, ["cape.runtime", ada.token()], headers=sent(host, headers)).close()
        assert caught.value.status == 403, headers
        problem = json.loads(caught.value.body)
        # Cape's command line shows `error`, of what are 1024 bytes at the most.
        assert (problem["code"], problem["error"]) == ("cross_origin", problem["detail"])
        assert len(caught.value.body) < 1024


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_own_pages_and_other_programs_are_served(host: Stack, ada: Guest, headers: dict[str, str]) -> None:
    answer = post(host, "/classify", headers, files={"file": images.plain(CLASS)})
    assert answer.json()["predictions"][0]["class_id"] == CLASS
    assert post(host, "/oauth/device/code", headers, data={"client_id": "x"}).status_code == 200
    with WebSocket(host.gateway.url, "/v1/key", ["cape.runtime", ada.token()], headers=sent(host, headers)) as socket:
        assert socket.is_open


def test_the_two_ports_are_two_origins(host: Stack) -> None:
    """A page of the plain port may have been changed on its way; the other port's own pages may do all."""
    ca, tls = host.folder / "tls" / "ca.pem", f"localhost:{host.settings['tls_port']}"
    plain = f"localhost:{host.gateway.port}"
    for origin, status in ((f"http://{plain}", 403), (f"http://{tls}", 403), (f"https://{tls}", 401)):
        with pytest.raises(HandshakeRefusedError) as caught:
            WebSocket(f"https://{tls}", "/v1/key", ["cape.runtime", "x"], ca=ca, headers={"Origin": origin})
        assert caught.value.status == status, origin
    with pytest.raises(HandshakeRefusedError) as caught:
        WebSocket(f"http://{plain}", "/v1/key", ["cape.runtime", "x"], headers={"Origin": f"https://{tls}"})
    assert caught.value.status == 403


def test_two_origins_are_none(host: Stack) -> None:
    """Whichever of two header lines another server would go by."""
    port = host.gateway.port
    for lines in ((f"http://127.0.0.1:{port}", "http://evil.test"), ("http://evil.test", f"http://127.0.0.1:{port}")):
        with Connection(port) as connection:
            fields = "".join(f"Origin: {line}\r\n" for line in lines)
            connection.send(
                f"POST /v1/accounts HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{fields}content-length: 0\r\n\r\n".encode()
            )
            refused(connection.response())


@pytest.mark.parametrize(
    ("named", "origin"),
    [
        ("localhost", "http://localhost"), ("localhost:80", "http://localhost"), ("localhost", "https://localhost"),
        ("localhost:443", "https://localhost"), ("[::1]:8000", "http://[::1]:8000"), ("[::1]", "http://[0:0:0:0:0:0:0:1]:80"),
        ("LOCALHOST:8000", "http://localhost:8000"), ("localhost.:8000", "http://localhost.:8000"),
        ("my_gateway:8000", "http://my_gateway:8000"), ("photos.example", "https://photos.example"),
    ],
)  # fmt: skip
def test_an_origin_is_ours_if_it_is_what_was_asked(host: Stack, named: str, origin: str) -> None:
    """Also behind a proxy that speaks TLS in the gateway's place and passes the name on."""
    with host.another_gateway(tls_port=free_port(), hosts="my_gateway,photos.example") as gateway:
        for asked, status in ((origin, 401), (f"{origin}.evil.test", 403), ("https://evil.test", 403)):
            with pytest.raises(HandshakeRefusedError) as caught:
                WebSocket(gateway.url, "/v1/key", ["cape.runtime", "x"], headers={"Host": named, "Origin": asked})
            assert caught.value.status == status, asked


def test_origins_that_the_operator_trusts(host: Stack, ada: Guest) -> None:
    """For a page elsewhere that uses cape-js."""
    with host.another_gateway(tls_port=free_port(), origins="https://app.example, http://localhost:3000") as gateway:
        for origin in ("https://app.example", "http://localhost:3000"):
            with WebSocket(gateway.url, "/v1/key", ["cape.runtime", ada.token()], headers={"Origin": origin}) as socket:
                assert socket.is_open
        for origin in ("http://app.example", "https://app.example:8443", "http://localhost:3001", "null"):
            with pytest.raises(HandshakeRefusedError) as caught:
                WebSocket(gateway.url, "/v1/key", ["cape.runtime", ada.token()], headers={"Origin": origin})
            assert caught.value.status == 403, origin


@pytest.mark.parametrize("origin", ["null", "https://evil.test"])
def test_the_sealed_lane_stays_open_to_all_pages(host: Stack, origin: str) -> None:
    foreign = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    sealed = {"content-type": "message/ohttp-req"}
    for path in ("/attestation", "/.well-known/ohttp-gateway"):
        response = host.client.get(path, headers=foreign)
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, "*")
    for path in ("/ohttp", "/classify"):
        response = host.client.post(path, headers=foreign | sealed, content=b"x" * 100)
        assert check(response, "ohttp_key")
        assert ("access-control-allow-origin" in response.headers) is (path == "/ohttp")
    # It is open to what is sealed alone, and no other route takes anything sealed.
    for media_type in ("text/plain", "application/octet-stream", "multipart/form-data; boundary=x", "image/png"):
        for path in ("/ohttp", "/classify"):
            refused(host.client.post(path, headers=foreign | {"content-type": media_type}, content=b"x"), shared=path)
    for path in ("/classify/batch", "/v1/accounts", "/v1/token"):
        refused(host.client.post(path, headers=foreign | sealed, content=b"x" * 100))


def test_reading_is_everyones_to_try(host: Stack) -> None:
    """No answer says that another origin may read it, so browsers keep it from the page; a link still works."""
    for path in ("/", "/docs", "/info", "/policy", "/device"):
        response = host.client.get(path, headers={"Origin": "https://evil.test", "Sec-Fetch-Site": "cross-site"})
        assert response.status_code == 200
        assert "access-control-allow-origin" not in response.headers
        assert response.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/v1/accounts", "/v1/token", "/oauth/device/decision"])
def test_json_has_to_be_called_json(host: Stack, ada: Guest, path: str) -> None:
    """What a form, or a page without leave, can send is none; Cape's own command line names no type at all."""
    bearer = {"authorization": f"Bearer {ada.token()}"}
    for media_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "json",
        "text/json",
    ):
        response = host.client.post(path, content=b"[]", headers=bearer | {"content-type": media_type})
        assert response.status_code == 415, media_type
        assert set(response.json()) == {"error", "message"}
        assert "application/json" in response.json()["error"]
    for media_type in ("application/json", "application/json; charset=utf-8", "Application/JSON"):
        response = host.client.post(path, content=b"[]", headers=bearer | {"content-type": media_type})
        assert (response.status_code, response.json()["error"]) == (400, "the body is not a JSON object")
    assert host.client.post(path, content=b"[]", headers=bearer).status_code == 400
    # A page can leave the type out, too; but it cannot leave out where it is from.
    own = sent(host, {"Origin": "http://{netloc}"})
    assert host.client.post(path, content=b"[]", headers=bearer | own).status_code == 415


def test_a_token_is_registered_as_capes_command_line_does(host: Stack, ada: Guest) -> None:
    """Without a Content-Type."""
    token = ada.token("run", lifetime=None)
    body = json.dumps({"name": "n", "description": "", "function_id": "", "token": token}).encode()
    response = host.client.post("/v1/token", content=body, headers={"authorization": f"Bearer {ada.token()}"})
    assert "content-type" not in response.request.headers
    assert response.status_code == 201


def test_accounts_are_made_with_a_token(host: Stack, tmp_path: Any) -> None:
    """By default; with the operator's API tokens, or with tokens of their own."""
    import subprocess
    import sys

    from tests.support.processes import environment

    def make(name: str) -> str:
        command = [sys.executable, "-m", "gateway", "token", "a", "--file", str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, check=True, text=True, env=environment(tmp_path))
        return done.stdout.strip()

    api, signup = make("api"), make("signup")
    both = {"tokens_file": tmp_path / "api", "signup_tokens_file": tmp_path / "signup"}
    for name, settings, good in (
        ("closed", {}, []),
        ("api", {"tokens_file": tmp_path / "api"}, [api]),
        ("signup", {"signup_tokens_file": tmp_path / "signup"}, [signup]),
        ("both", both, [signup]),
    ):
        with host.another_gateway(tls_port=free_port(), open_signup=False, **settings) as gateway:
            for position, token in enumerate(["", api, signup, "bs_" + "A" * 43]):
                username = f"{name}-{position}"
                headers = {"authorization": f"Bearer {token}"} if token else {}
                response = gateway.client.post("/v1/accounts", json=application(username), headers=headers)
                expected = 201 if token in good else 401
                assert response.status_code == expected, (name, position, response.text)
                if expected == 401:
                    assert "signup" in check(response, "unauthenticated")["detail"]
                assert gateway.client.get(f"/v1/user/{username}/key").status_code == (200 if token in good else 404)
