"""The load generator against a real HTTP server in this process."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from python_multipart.multipart import parse_options_header

from benchmarks import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREDICTIONS = [{"rank": 1, "class_id": 207, "label": "golden retriever", "score": 0.9}]


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.connections: set[tuple[str, int]] = set()
        self.requests = 0
        self.bodies: set[bytes] = set()
        self.fail_after: int | None = None
        self.change_after: int | None = None
        self.counting = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.counting:
            self.server.requests += 1
            number = self.server.requests
            self.server.connections.add(self.client_address)
            self.server.bodies.add(body)
        failing = self.server.fail_after is not None and number > self.server.fail_after
        changed = self.server.change_after is not None and number > self.server.change_after
        predictions = [PREDICTIONS[0] | {"class_id": 208}] if changed else PREDICTIONS
        content = json.dumps({"predictions": predictions, "timings_ms": {"run": 50.0}}).encode()
        self.send_response(503 if failing else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpeg"
    path.write_bytes(b"\xff\xd8\xff photo")
    return path


def test_callers_keep_their_connections_and_only_the_counted_time_counts(server: Server, photo: Path) -> None:
    result = load.main(server.server_port, photo, callers=3, warm_up=0.2, seconds=0.3)
    assert len(server.connections) == 3
    assert 0 < len(result["latencies"]) < server.requests
    assert result["seconds"] >= 0.3
    assert result["predictions"] == PREDICTIONS
    assert result["stages"] == {"run": 0.05}


def test_a_refusal_ends_the_run(server: Server, photo: Path) -> None:
    server.fail_after = 5
    with pytest.raises(load.WrongAnswer, match="503"):
        load.main(server.server_port, photo, callers=2, warm_up=0.1, seconds=30)


def test_an_answer_unlike_the_first_is_found(server: Server, photo: Path) -> None:
    server.change_after = 5
    with pytest.raises(load.WrongAnswer, match="differ"):
        load.main(server.server_port, photo, callers=2, warm_up=0.1, seconds=0.3)


def test_scores_may_differ_by_rounding_only() -> None:
    near, far = [PREDICTIONS[0] | {"score": 0.9 + 1e-8}], [PREDICTIONS[0] | {"score": 0.901}]
    load.check_alike([PREDICTIONS, near])
    with pytest.raises(load.WrongAnswer):
        load.check_alike([PREDICTIONS, far])


def test_the_form_is_multipart_with_the_photo_as_it_is() -> None:
    body, media_type = load.multipart(b"\r\n--bytes--\r\n")
    kind, options = parse_options_header(media_type)
    boundary = b"--" + options[b"boundary"]
    before, part, after = body.split(boundary)
    head, content = part.split(b"\r\n\r\n", 1)
    assert (kind, before, after) == (b"multipart/form-data", b"", b"--\r\n")
    assert b'name="file"' in head
    assert content == b"\r\n--bytes--\r\n" + b"\r\n"
