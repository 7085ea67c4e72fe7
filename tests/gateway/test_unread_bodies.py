"""A refusal reaches its caller also if that sends on without looking: what comes is read and dropped, within bounds."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from gateway import http1
from tests.support.inprocess import running_app
from tests.support.problems import check
from tests.support.rawhttp import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gateway.conftest import Front
    from tests.support.processes import Gateway
    from tests.support.stack import Stack

BYTES = 30_000_000
"""More than the limits of all routes here, and more than any buffers between."""
PIECE = bytes(1 << 16)


@pytest.fixture(scope="module")
def small_gateway(tiny_stack: Stack) -> Iterator[Gateway]:
    """One with low limits of size, and time enough for a busy machine to send more."""
    with tiny_stack.another_gateway(max_image_bytes=100_000, max_batch_bytes=300_000) as gateway:
        yield gateway


def pieces() -> Iterator[bytes]:
    for _ in range(BYTES // len(PIECE)):
        yield PIECE


def by_urllib(url: str, media_type: str, *, chunked: bool) -> tuple[int, dict[str, Any]]:
    """Python's own: it sends everything, with `Connection: close`, before it looks."""
    body: Any = pieces() if chunked else bytes(BYTES)
    request = urllib.request.Request(url, body, {"Content-Type": media_type}, method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError) as caught, opener.open(request, timeout=60):
        pytest.fail("it was taken")
    with caught.value as answer:
        return answer.code, json.loads(answer.read())


ROUTES = {
    "raw": ("/classify", "image/jpeg", 413),
    "json": ("/classify", "application/json", 413),
    "sealed": ("/ohttp", "message/ohttp-req", 413),
    "batch": ("/classify/batch", "multipart/form-data; boundary=x", 413),
    "another type": ("/classify", "text/html", 415),
    "no such page": ("/nowhere", "image/jpeg", 404),
    "not there": ("/livez", "image/jpeg", 405),
}


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("route", ROUTES)
def test_urllib_hears_of_it(small_gateway: Gateway, route: str, chunked: bool) -> None:
    path, media_type, expected = ROUTES[route]
    status, problem = by_urllib(f"{small_gateway.url}{path}", media_type, chunked=chunked)
    if route == "batch" and chunked:
        assert status == 400  # The form is found to be none before it is found to be too large.
        return
    assert status == problem["status"] == expected


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("path", ["/oauth/device/code", "/oauth/token"])
def test_on_capes_routes(front: Front, path: str, chunked: bool) -> None:
    status, problem = by_urllib(f"{front.gateway.url}{path}", "application/x-www-form-urlencoded", chunked=chunked)
    assert (status, "bytes" in problem["error"]) == (413, True)


@pytest.mark.parametrize("listener", ["tls", "metrics"])
def test_on_the_other_listeners(front: Front, listener: str) -> None:
    if listener == "tls":
        context = ssl.create_default_context(cafile=front.ca)
        connection = http.client.HTTPSConnection("127.0.0.1", front.tls_port, timeout=60, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", front.gateway.metrics_port, timeout=60)
    try:
        headers = {"content-type": "text/html", "connection": "close"}
        connection.request("POST", "/classify", body=bytes(BYTES), headers=headers)
        assert connection.getresponse().status == (415 if listener == "tls" else 404)
    finally:
        connection.close()


def test_curl_hears_of_it(small_gateway: Gateway, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    (tmp_path / "large").write_bytes(bytes(BYTES))
    for headers in (["Expect:"], ["Expect:", "Connection: close"], ["Expect:", "Transfer-Encoding: chunked"], []):
        options = [text for header in ("Content-Type: image/jpeg", *headers) for text in ("-H", header)]
        done = subprocess.run(
            [curl, "-sS", "--noproxy", "*", *options, "--data-binary", "@large", f"{small_gateway.url}/classify"],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, (headers, done.stderr)
        assert json.loads(done.stdout)["code"] == "image_too_large", headers


JAVA = """
import java.net.*; import java.net.http.*; import java.util.*; import java.io.*;

class Large {
  public static void main(String[] a) throws Exception {
    byte[] body = new byte[Integer.parseInt(a[1])];
    HttpClient client = HttpClient.newHttpClient();
    HttpRequest.BodyPublisher[] bodies = {
      HttpRequest.BodyPublishers.ofByteArray(body),
      HttpRequest.BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body)),
    };
    for (HttpRequest.BodyPublisher each : bodies) {
      HttpRequest request = HttpRequest.newBuilder(URI.create(a[0]))
        .header("Content-Type", "image/jpeg").POST(each).build();
      System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).body());
    }
    HttpURLConnection old = (HttpURLConnection) new URL(a[0]).openConnection(Proxy.NO_PROXY);
    old.setDoOutput(true);
    old.setFixedLengthStreamingMode(body.length);
    old.setRequestProperty("Content-Type", "image/jpeg");
    old.getOutputStream().write(body);
    System.out.println(old.getResponseCode());
  }
}
"""


def test_java_hears_of_it(small_gateway: Gateway, tmp_path: Path) -> None:
    """Both clients of its library; the newer one asks for HTTP/2 first."""
    java = shutil.which("java")
    if java is None or shutil.which("javac") is None:
        pytest.skip("no Java development kit is installed")
    (tmp_path / "Large.java").write_text(JAVA)
    url = f"{small_gateway.url}/classify"
    done = subprocess.run(
        [java, "-XX:+UseSerialGC", "Large.java", url, str(BYTES)],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    *answers, status = done.stdout.split("\n")[:3]
    assert [json.loads(answer)["code"] for answer in answers] == ["image_too_large"] * 2
    assert status == "413"


def test_the_next_request_on_the_connection_is_answered(small_gateway: Gateway) -> None:
    with httpx2.Client(base_url=small_gateway.url, trust_env=False, timeout=60) as client:
        for _ in range(2):
            check(
                client.post("/classify", content=bytes(BYTES), headers={"content-type": "image/jpeg"}),
                "image_too_large",
            )
        assert client.get("/livez").status_code == 200


HEAD = "POST /classify HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: image/jpeg\r\n"


def dropped(port: int, stop: threading.Event) -> int:
    """Bytes of an endless body that are taken after the refusal. The answer must be there by then."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(f"{HEAD}transfer-encoding: chunked\r\n\r\n".encode())
        sent = 0
        try:
            while not stop.is_set():
                connection.sendall(b"10000\r\n" + PIECE + b"\r\n")
                sent += len(PIECE)
        except OSError:
            return sent
    pytest.fail("an endless body was still read")


def test_the_bytes_that_are_dropped_are_bounded(tiny_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "MOST_DROPPED_BYTES", 4 << 20)
    stop = threading.Event()
    timer = threading.Timer(60, stop.set)
    timer.start()
    try:
        with running_app(tiny_stack, max_image_bytes=100_000, body_timeout=60) as running:
            sent = dropped(running.port, stop)
            assert 4 << 20 <= sent < 40 << 20
            assert running.client.get("/livez").status_code == 200
    finally:
        timer.cancel()


@pytest.mark.parametrize("alive", ["close", "keep-alive"])
def test_the_time_is_bounded(tiny_stack: Stack, alive: str) -> None:
    """A body that drips, and one that never comes, keep no connection open."""
    with tiny_stack.another_gateway(max_image_bytes=100_000, body_timeout=1) as running:
        for drips in (True, False):
            with Connection(running.port) as connection:
                connection.send(f"{HEAD.replace('close', alive)}content-length: 1000000000\r\n\r\n".encode())
                check(connection.response(), "image_too_large")
                started = time.monotonic()
                while drips and time.monotonic() < started + 10:
                    connection.send_if_open(b"x")
                    if connection.readable():
                        break
                assert connection.at_end()
                assert time.monotonic() - started < 10


def test_no_request_is_read_behind_a_last_one(small_gateway: Gateway) -> None:
    """What follows the body of a request with `Connection: close` is dropped with it."""
    behind = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx-request-id: 00000000-9999-2222-3333-444444444444\r\n\r\n"
    with Connection(small_gateway.port) as connection:
        connection.send(f"{HEAD}content-length: 200000\r\n\r\n".encode())
        check(connection.response(), "image_too_large")
        connection.send_if_open(bytes(200_000) + behind)
        assert connection.answers([]) == []


def test_a_lingering_connection_gives_way(tiny_stack: Stack) -> None:
    """It keeps none of the places for those who have a request."""
    with tiny_stack.another_gateway(max_connections=2, max_image_bytes=100_000) as gateway:
        gateway.client.close()
        head = f"{HEAD}content-length: 200000\r\n\r\n".encode()
        with Connection(gateway.port) as first, Connection(gateway.port) as second:
            for connection in (first, second):
                connection.send(head)
                check(connection.response(), "image_too_large")
            with Connection(gateway.port) as third:
                third.start("GET", "/livez", {})
                assert third.response().status_code == 200
