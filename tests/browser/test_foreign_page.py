"""Pages of other sites, in a real browser, against a stack on the loopback that does not even ask for a signup token.

The browser does what pages may make it do: simple requests, forms, WebSockets, and names that point elsewhere by now.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import sync_playwright

from blindsight.attestation import cose
from blindsight.attestation.document import AttestationDocument
from blindsight.cape.messages import b64
from tests.browser.conftest import FLAGS
from tests.support import chromium, images
from tests.support.cape_front import owner
from tests.support.cape_guest import Guest, sealed, trust_of, zipped
from tests.support.stack import running_stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from tests.support.models import TinyModel
    from tests.support.stack import Stack

HANDLER = "def cape_handler(data):\n    return b'code of a foreign page ran on ' + data\n"
RAN = b"code of a foreign page ran on localhost"


@pytest.fixture(scope="module")
def host(colour_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("foreign-page")
    with running_stack(colour_model.folder, folder, workers=1, cape=True) as stack:
        yield stack


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    """Another server's pages, on the loopback like the gateway; its port."""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = b"<!doctype html><title>Cat pictures</title><body>"
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For which any name ending in `.test` is this machine, as its owner's name server says by now."""
    executable = chromium.executable()
    rules = "--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
    # This Chromium would ask its user before a public site's page reaches the loopback; most browsers do not.
    older = "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets"
    with sync_playwright() as playwright:
        flags = [flag for flag in FLAGS if not flag.startswith("--host-resolver-rules")]
        browser = playwright.chromium.launch(executable_path=executable, args=[*flags, rules, older])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with contextlib.closing(browser.new_context()) as context:
        yield context.new_page()


FOREIGN = ["cross-site", "same-site", "sandboxed"]


def visit(page: Page, site: int, kind: str) -> None:
    """Open a page that is not the gateway's."""
    name = "localhost" if kind == "same-site" else "cats.test"
    if kind == "sandboxed":
        sandbox = {"content-security-policy": "sandbox allow-scripts allow-forms", "content-type": "text/html"}
        page.route("**/sandboxed", lambda route: route.fulfill(headers=sandbox, body="<!doctype html><body>"))
    page.goto(f"http://{name}:{site}/{kind}")
    assert (page.evaluate("origin") == "null") is (kind == "sandboxed")


# The page is kept from the answer (Cross-Origin-Resource-Policy), which says nothing of what was done.
POST = """async ([url, body]) => { await fetch(url, {method: "POST", mode: "no-cors", body}).catch(() => null); }"""

RUN = """async ([url, token]) => {
    const socket = new WebSocket(url, ["cape.runtime", token]);
    const messages = [];
    let arrived = () => {};
    socket.onmessage = ({data}) => { messages.push(data); arrived(); };
    const closed = new Promise(resolve => { socket.onclose = () => resolve(null); });
    const message = async () => {
        while (!messages.length) {
            const next = new Promise(resolve => { arrived = () => resolve(true); });
            if (await Promise.race([closed, next]) === null) return null;
        }
        return JSON.parse(messages.shift());
    };
    const opened = new Promise(resolve => { socket.onopen = () => resolve(true); });
    if (await Promise.race([opened, closed]) === null) return "not opened";
    socket.send(JSON.stringify({message: {nonce: btoa("0123456789abcdef")}}));
    const evidence = await message();
    for (const part of await sealed(evidence.message.message)) {
        socket.send(Uint8Array.from(atob(part), each => each.charCodeAt(0)));
    }
    const result = await message();
    socket.close();
    return result?.message?.message ?? JSON.stringify(result);
}"""


def seal_with(document: str) -> list[str]:
    """The attacker's code and input, sealed to the enclave: done by the attacker's own server for its page."""
    fields = AttestationDocument.parse(cose.parse(base64.b64decode(document)).payload)
    assert fields.public_key is not None
    return [b64(sealed(fields.public_key, content)) for content in (zipped(HANDLER), b"localhost")]


def run_code(page: Page, url: str, token: str) -> Any:
    """What the page gets for its code: the answer in base64, or why there is none."""
    page.expose_function("sealed", seal_with)
    return page.evaluate(RUN, [f"{url.replace('http', 'ws', 1)}/v1/test", token])


def has_account(host: Stack, username: str) -> bool:
    return host.client.get(f"/v1/user/{username}/key").status_code == 200


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_page_makes_no_account(host: Stack, page: Page, site: int, kind: str) -> None:
    mallory = owner(f"mallory-{kind}")
    visit(page, site, kind)
    body = {"username": mallory.username, "owner_public_key": b64(mallory.public), "proof": mallory.token()}
    page.evaluate(POST, [f"{host.gateway.url}/v1/accounts", json.dumps(body)])
    assert not has_account(host, mallory.username), "a foreign page made an account"


@pytest.mark.parametrize("kind", FOREIGN)
def test_with_an_account_it_runs_no_code_either(host: Stack, page: Page, site: int, kind: str) -> None:
    """Its owner may well have an account."""
    mallory = Guest.sign_up(f"socket-{kind}", host.gateway.url, trust_of(host))
    visit(page, site, kind)
    outcome = run_code(page, host.gateway.url, mallory.token())
    assert outcome == "not opened", base64.b64decode(outcome)


def test_the_attack_works_from_a_page_of_the_gateways_own(host: Stack, page: Page) -> None:
    """So the tests above try something that would succeed; and pages of our own may use WebSockets."""
    mallory = Guest.sign_up("own", host.gateway.url, trust_of(host))
    page.goto(f"{host.gateway.url}/docs")
    assert base64.b64decode(run_code(page, host.gateway.url, mallory.token())) == RAN
    photo = images.plain(901)
    answer = page.evaluate(
        """async photo => {
            const form = new FormData();
            form.append("file", new Blob([Uint8Array.from(atob(photo), each => each.charCodeAt(0))]));
            return (await fetch("/classify", {method: "POST", body: form})).json();
        }""",
        b64(photo),
    )
    assert answer["predictions"][0]["class_id"] == 901


@pytest.mark.parametrize("kind", ["cross-site", "same-site"])
@pytest.mark.parametrize("path", ["/classify", "/oauth/device/code", "/v1/accounts"])
def test_a_foreign_form_is_refused(host: Stack, page: Page, site: int, kind: str, path: str) -> None:
    """A form needs no script's leave to read: it navigates."""
    visit(page, site, kind)
    uploads = "multipart/form-data" if path == "/classify" else "application/x-www-form-urlencoded"
    with page.expect_navigation() as navigation:
        page.evaluate(
            """([url, type, photo]) => {
                const form = document.createElement("form");
                [form.method, form.action, form.enctype] = ["post", url, type];
                const field = document.createElement("input");
                [field.name, field.type] = ["file", "file"];
                const files = new DataTransfer();
                files.items.add(new File([Uint8Array.from(atob(photo), each => each.charCodeAt(0))], "x.png"));
                field.files = files.files;
                form.append(field);
                document.body.append(form);
                form.submit();
            }""",
            [f"{host.gateway.url}{path}", uploads, b64(images.plain(3))],
        )
    assert navigation.value.status == 403, navigation.value.text()
    assert navigation.value.json()["code"] == "cross_origin"


def test_a_foreign_page_has_no_photo_classified(host: Stack, page: Page, site: int) -> None:
    visit(page, site, "cross-site")
    before = host.gateway.metric("images_classified_total")
    page.evaluate(
        """async ([url, photo]) => {
            const form = new FormData();
            form.append("file", new Blob([Uint8Array.from(atob(photo), each => each.charCodeAt(0))]));
            await fetch(url, {method: "POST", mode: "no-cors", body: form}).catch(() => null);
        }""",
        [f"{host.gateway.url}/classify", b64(images.plain(3))],
    )
    assert host.gateway.metric("images_classified_total") == before


REBOUND = """async () => {
    const seen = {};
    for (const path of ["/info", "/policy", "/attestation", "/openapi.json", "/"]) {
        seen[path] = (await fetch(path)).status;
    }
    seen["/classify"] = (await fetch("/classify", {method: "POST", body: new FormData()})).status;
    return seen;
}"""


def rebound(page: Page, port: int) -> str:
    """Open an attacker's page at the gateway's port, under a name that led to the attacker's server at first."""
    url = f"http://rebound.test:{port}"
    page.route("**/cats", lambda route: route.fulfill(content_type="text/html", body="<!doctype html><body>"))
    page.goto(f"{url}/cats")
    assert page.evaluate("origin") == url
    return url


def test_a_name_that_points_here_by_now_reads_nothing(host: Stack, page: Page) -> None:
    """DNS rebinding: for the browser the gateway has become a part of the attacker's site."""
    rebound(page, host.gateway.port)
    assert set(page.evaluate(REBOUND).values()) == {421}


def test_a_name_that_points_here_by_now_runs_nothing(host: Stack, page: Page) -> None:
    mallory = Guest.sign_up("rebound", host.gateway.url, trust_of(host))
    url = rebound(page, host.gateway.port)
    outcome = run_code(page, url, mallory.token())
    assert outcome == "not opened", base64.b64decode(outcome)


def test_a_name_that_points_here_by_now_sees_no_metrics(host: Stack, page: Page) -> None:
    rebound(page, host.gateway.metrics_port)
    assert page.evaluate("async () => (await fetch('/metrics')).status") == 421
