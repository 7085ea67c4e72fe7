"""`blindsight classify` of what is not a photo, and at what is no gateway."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.support.command import blindsight
from tests.support.images import plain

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack


def test_a_device_without_an_end_is_no_photo(tiny_stack: Stack, tmp_path: Path) -> None:
    done = blindsight(tmp_path, "classify", "--url", tiny_stack.gateway.url, "/dev/zero")
    assert done.returncode == 1
    assert "The file is not a photo. It is not a regular file." in done.stderr


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", ""])
def test_what_is_no_address_is_said(tmp_path: Path, url: str) -> None:
    (tmp_path / "photo.png").write_bytes(plain(1))
    done = blindsight(tmp_path, "classify", "--url", url, "photo.png")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "check --url" in done.stderr


@pytest.mark.parametrize("retryable", [True, False])
def test_what_may_be_sent_again_is_marked(tmp_path: Path, *, retryable: bool) -> None:
    problem = {"type": "/problems#x", "title": "Not now", "status": 503, "detail": "Busy.", "retryable": retryable}

    class Busy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            content = json.dumps(problem).encode()
            self.send_response(503)
            self.send_header("content-type", "application/problem+json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    (tmp_path / "photo.png").write_bytes(plain(1))
    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = blindsight(tmp_path, "classify", "--url", f"http://127.0.0.1:{server.server_address[1]}", "photo.png")
        server.shutdown()
    assert done.returncode == 1
    assert ("Busy. (retryable)" in done.stderr, "send those marked (retryable) again" in done.stderr) == (
        retryable,
        retryable,
    )


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize(
    "body",
    [
        [],
        "x",
        None,
        {},
        {"message": "no such route"},
        {"predictions": 1, "model": {}},
        {"predictions": [{}], "model": {}},
    ],
    ids=str,
)
def test_json_of_something_else_is_no_answer(tmp_path: Path, status: int, body: object) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    (tmp_path / "photo.png").write_bytes(plain(1))
    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = blindsight(tmp_path, "classify", "--url", f"http://127.0.0.1:{server.server_address[1]}", "photo.png")
        server.shutdown()
    assert (done.returncode, "answers, but is not a Blindsight gateway" in done.stderr) == (1, True), done.stderr
