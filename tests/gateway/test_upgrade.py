"""`Upgrade` asks for another protocol. A caller asking for one not spoken here is answered as if it had not.

A body that is lost, or read as a request of its own, would let a caller smuggle requests past a proxy that passes
`Upgrade` on (uvicorn#2722, httptools#124).
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import images
from tests.support.problems import CANARY, check, check_no_echo
from tests.support.raw_websocket import HandshakeRefusedError, WebSocket
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import httpx2

    from tests.gateway.conftest import Front

SECONDS = 4.0
"""A connection that is still open after this long hangs."""

H2C = "upgrade: h2c\r\nconnection: Upgrade, HTTP2-Settings\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
"""As curl and Java's client send it."""
WEBSOCKET = (
    "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    f"sec-websocket-key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
)
UPGRADES = {
    "h2c": H2C,
    "websocket": WEBSOCKET,
    "WebSocket": WEBSOCKET.replace("websocket", "WebSocket", 1),
    "tls": "upgrade: TLS/1.0\r\nconnection: Upgrade\r\n",
    "two protocols": WEBSOCKET.replace("websocket", "h2c, websocket", 1),
    "two protocols, websocket first": WEBSOCKET.replace("websocket", "websocket, h2c", 1),
    "two header lines": f"upgrade: h2c\r\n{WEBSOCKET}",
    "two header lines, websocket first": f"{WEBSOCKET}upgrade: h2c\r\n",
    "two websockets": f"upgrade: websocket\r\n{WEBSOCKET}",
    "no connection header": "upgrade: websocket\r\n",
    "connection in two lines": "upgrade: h2c\r\nconnection: keep-alive\r\nconnection: upgrade\r\n",
    "a protocol without a name": "upgrade: ,\r\nconnection: upgrade\r\n",
    "empty": "upgrade:\r\nconnection: upgrade\r\n",
}
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n"
LAST = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


def request(start: str, fields: str, body: bytes = b"") -> bytes:
    length = f"content-type: image/png\r\ncontent-length: {len(body)}\r\n" if body else ""
    return f"{start} HTTP/1.1\r\nhost: localhost\r\n{fields}{length}\r\n".encode() + body


def chunked(start: str, fields: str, body: bytes) -> bytes:
    head = (
        f"{start} HTTP/1.1\r\nhost: localhost\r\n{fields}content-type: image/png\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    half = len(body) // 2
    parts = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (body[:half], body[half:]))
    return head.encode() + parts + b"0\r\n\r\n"


def class_of(answer: httpx2.Response) -> int:
    assert answer.status_code == 200, answer.text
    return int(answer.json()["predictions"][0]["class_id"])


@pytest.mark.parametrize("listener", ["plain", "tls"])
@pytest.mark.parametrize("framed", [request, chunked])
@pytest.mark.parametrize("name", UPGRADES)
def test_the_body_is_the_request_s(front: Front, listener: str, framed: object, name: str) -> None:
    """Two uploads and a last request in one packet: three answers, in order."""
    assert callable(framed)
    first, second = (framed("POST /classify", UPGRADES[name], images.plain(number)) for number in (17, 23))
    with front.connect(listener, seconds=SECONDS) as connection:
        connection.send(first + second + LAST)
        answers = connection.answers(["POST", "POST", "GET"])
    assert [class_of(answer) for answer in answers[:2]] == [17, 23]
    assert [answer.json() for answer in answers[2:]] == [{"status": "alive"}]


@pytest.mark.parametrize("framed", [request, chunked])
@pytest.mark.parametrize("name", UPGRADES)
def test_nothing_is_smuggled_in_a_body(front: Front, framed: object, name: str) -> None:
    assert callable(framed)
    for start in ("POST /classify", "POST /ohttp", "PUT /livez", "GET /livez", "POST /v1/deploy"):
        with front.connect("plain", seconds=SECONDS) as connection:
            connection.send(framed(start, UPGRADES[name], SMUGGLED) + LAST)
            answers = connection.answers(["POST", "GET"])
        assert answers[1].json() == {"status": "alive"}
    assert "smuggled" not in front.gateway.log()


@pytest.mark.parametrize("listener", ["plain", "tls"])
@pytest.mark.parametrize("name", ["h2c", "websocket"])
def test_a_body_that_comes_later(front: Front, listener: str, name: str) -> None:
    """Its first bytes with the head, the others when the gateway is known to wait for them."""
    head, photo = request("POST /classify", UPGRADES[name], images.plain(31)).split(b"\r\n\r\n", 1)

    def awaited() -> bool:
        return front.gateway.metric("requests_in_progress") == 1

    with front.connect(listener, seconds=SECONDS) as connection:
        connection.send(head + b"\r\n\r\n" + photo[:9])
        for end in (25, len(photo)):
            wait_until(
                "the body is awaited", lambda: front.gateway.metric("requests_in_progress") == 1, seconds=SECONDS
            )
            connection.send(photo[9:end] if end == 25 else photo[25:] + LAST)
        answers = connection.answers(["POST", "GET"])
    assert class_of(answers[0]) == 31


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_head_in_two_pieces(front: Front, cut: int) -> None:
    whole = request("POST /classify", H2C, images.plain(37)) + LAST
    place = whole.index(b"\r\n\r\n") + 4 - cut
    with front.connect("plain", seconds=SECONDS) as connection:
        connection.send(whole[:place])
        connection.send(whole[place:])
        answers = connection.answers(["POST", "GET"])
    assert class_of(answers[0]) == 37


@pytest.mark.parametrize("name", UPGRADES)
@pytest.mark.parametrize("listener", ["plain", "tls", "metrics"])
def test_where_no_websocket_is(front: Front, listener: str, name: str) -> None:
    for path in ("/livez", "/metrics", "/static/docs.js", "/nowhere"):
        with front.connect(listener, seconds=SECONDS) as connection:
            connection.send(request(f"GET {path}", ""))
            connection.send(request(f"GET {path}", UPGRADES[name] + "connection: close\r\n"))
            without, with_upgrade = connection.answers(["GET", "GET"])
        assert with_upgrade.status_code == without.status_code
        assert with_upgrade.headers["content-type"] == without.headers["content-type"]


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "OPTIONS", "DELETE"])
def test_other_methods_open_no_websocket(front: Front, method: str) -> None:
    for body in (b"", SMUGGLED):
        with front.connect("plain", seconds=SECONDS) as connection:
            connection.send(request(f"{method} /v1/deploy", WEBSOCKET, body) + LAST)
            first, last = connection.answers([method, "GET"])
        assert first.status_code == 404
        assert last.json() == {"status": "alive"}


def test_a_websocket_has_no_body(front: Front) -> None:
    for framed in (request, chunked):
        with front.connect("plain", seconds=SECONDS) as connection:
            connection.send(framed("GET /v1/deploy", WEBSOCKET, SMUGGLED) + LAST)
            first, last = connection.answers(["GET", "GET"])
        assert first.status_code == 404
        assert last.json() == {"status": "alive"}


def test_http_1_0_knows_no_upgrade(front: Front) -> None:
    """RFC 9110, 7.8. The connection ends with the answer, so nothing behind it is a request."""
    for upgrade in (H2C, WEBSOCKET):
        for start, status in (("POST /classify", 200), ("GET /v1/deploy", 404)):
            body = images.plain(41) if status == 200 else b""
            whole = request(start, upgrade, body).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
            with front.connect("plain", seconds=SECONDS) as connection:
                connection.send(whole + LAST)
                (answer,) = connection.answers(["POST"])
            assert answer.status_code == status


@pytest.mark.parametrize("listener", ["plain", "tls", "metrics"])
def test_connect_is_refused_and_ends_the_connection(front: Front, listener: str) -> None:
    """What follows a CONNECT may be a tunnel's, so none of it is a request."""
    for target in ("example.org:443", "/classify", "127.0.0.1:1"):
        with front.connect(listener, seconds=SECONDS) as connection:
            connection.send(request("GET /nowhere", "") + request(f"CONNECT {target}", "", SMUGGLED) + LAST)
            first, refusal = connection.answers(["GET", "CONNECT"])
        assert first.status_code == 404
        check(refusal, "bad_request")
        assert refusal.headers["connection"] == "close"


def test_websockets_still_open(front: Front) -> None:
    """The routes that are WebSockets' are reached, and refuse for their own reason."""
    for path in ("/v1/deploy", "/v1/test", "/v1/key", "//v1/run/abc", "/v1/run/ada/echo", "/v1/%72un/abc"):
        with pytest.raises(HandshakeRefusedError) as caught:
            WebSocket(front.gateway.url, path, ["cape.runtime, token"])
        assert (caught.value.status, set(json.loads(caught.value.body))) == (401, {"error", "message"})


@pytest.mark.parametrize(
    "fields",
    [
        WEBSOCKET.replace("sec-websocket-key: ", f"sec-websocket-key: {CANARY}"),
        WEBSOCKET.replace("version: 13", f"version: {CANARY}"),
        "upgrade: websocket\r\nconnection: upgrade\r\n",
        f"{WEBSOCKET}{WEBSOCKET}connection: close\r\n",
        WEBSOCKET + f"x-large: {CANARY}{'a' * 9000}\r\n",
        WEBSOCKET + "".join(f"x-{number}: {CANARY}\r\n" for number in range(200)),
        f"{WEBSOCKET}sec-websocket-protocol: a b\x80{CANARY}\r\n",
    ],
    ids=["key", "version", "no key", "twice", "large", "many", "no ascii"],
)
def test_a_handshake_that_is_none_is_answered(front: Front, fields: str) -> None:
    with front.connect("plain", seconds=SECONDS) as connection:
        connection.send(f"GET /v1/deploy HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n".encode("latin-1"))
        (answer,) = connection.answers(["GET"])
    assert answer.status_code in {400, 401, 404}
    check_no_echo(answer)
    if answer.status_code == 400:
        check(answer, "bad_request")


def test_a_websocket_behind_an_unanswered_request(front: Front) -> None:
    """Its answer may not overtake the other's."""
    photo = images.plain(43)
    with front.connect("plain", seconds=SECONDS) as connection:
        connection.send(request("POST /classify", "", photo) + request("GET /v1/deploy", WEBSOCKET) + LAST)
        first, second, last = connection.answers(["POST", "GET", "GET"])
    assert class_of(first) == 43
    assert second.status_code == 404
    assert last.json() == {"status": "alive"}


def class_in(answer: str) -> int | None:
    found = json.loads(answer).get("predictions")
    return found[0]["class_id"] if found else None


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_that_would_like_http_2(front: Front, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(images.plain(47))
    ways = (
        ["-F", f"file=@{photo}"],
        ["--data-binary", f"@{photo}", "-H", "content-type: image/png"],
        ["--data-binary", f"@{photo}", "-H", "content-type: image/png", "-H", "transfer-encoding: chunked"],
        ["--data-binary", f"@{photo}", "-H", "content-type: image/png", "-H", "expect: 100-continue"],
    )
    for url, trust in (
        (front.gateway.url, []),
        (f"https://127.0.0.1:{front.tls_port}", ["--cacert", str(front.ca)]),
    ):
        for way in ways:
            # Twice, so that the second goes over the connection that the first was answered on.
            command = ["curl", "-sS", "--http2", "--noproxy", "*", "-m", str(SECONDS), *trust, *way]
            done = subprocess.run(
                [*command, f"{url}/classify", f"{url}/classify"], capture_output=True, text=True, check=False
            )
            answers = done.stdout.replace("}{", "}\n{").splitlines()
            assert [class_in(answer) for answer in answers] == [47, 47], done.stdout
            assert done.returncode == 0, done.stderr


JAVA = """
import java.net.URI;
import java.net.http.*;
import java.nio.file.*;
import java.time.Duration;

public class Classify {
    public static void main(String[] given) throws Exception {
        var client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(20)).build();
        for (int round = 0; round < 2; round++) {
            var request = HttpRequest.newBuilder(URI.create(given[0])).timeout(Duration.ofSeconds(20))
                .header("Content-Type", "image/png")
                .POST(HttpRequest.BodyPublishers.ofFile(Path.of(given[1]))).build();
            var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.version() + " " + answer.statusCode() + " " + answer.body());
        }
    }
}
"""


@pytest.mark.skipif(shutil.which("java") is None, reason="no Java is installed")
def test_java_s_own_client(front: Front, tmp_path: Path) -> None:
    """It asks for HTTP/2 by default, and sends the body with the request that asks."""
    (tmp_path / "Classify.java").write_text(JAVA)
    photo = tmp_path / "photo.png"
    photo.write_bytes(images.plain(53))
    command = ["java", str(tmp_path / "Classify.java"), f"{front.gateway.url}/classify", str(photo)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(" ", 2)[:2] for line in lines] == [["HTTP_1_1", "200"]] * 2, done.stdout
    assert [class_in(line.split(" ", 2)[2]) for line in lines] == [53, 53]
