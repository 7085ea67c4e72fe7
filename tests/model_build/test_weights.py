"""Fetching, against a web server on this machine that behaves as told."""

from __future__ import annotations

import hashlib
import socket
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from model_build import weights
from model_build.errors import DownloadError, WeightsError
from model_build.weights import WeightsFile

CONTENT = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Behaviour:
    """What the server serves. `cuts` are the numbers of bytes after which successive answers break off."""

    content: bytes = CONTENT
    etag: str | None = '"version-1"'
    cuts: list[int] = field(default_factory=list)
    ignores_range: bool = False
    wrong_range: bool = False
    status: int = 200
    requests: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, *, with_body):
        behaviour = self.server.behaviour
        behaviour.requests.append(dict(self.headers))
        behaviour.paths.append(self.path)
        start = self.start_of_range(behaviour)
        if start is not None and start >= len(behaviour.content):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = behaviour.content[start or 0 :]
        self.send_response(206 if start is not None else behaviour.status)
        if start is not None:
            told = start + 1 if behaviour.wrong_range else start
            self.send_header("Content-Range", f"bytes {told}-{len(behaviour.content) - 1}/{len(behaviour.content)}")
        if behaviour.etag:
            self.send_header("ETag", behaviour.etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            cut = behaviour.cuts.pop(0) if behaviour.cuts else len(body)
            self.wfile.write(body[:cut])
            self.close_connection = cut < len(body)

    def start_of_range(self, behaviour):
        wanted = self.headers.get("Range")
        if wanted is None or behaviour.ignores_range or self.headers.get("If-Range") != behaviour.etag:
            return None
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *_arguments):
        """Keep the test's output clean."""


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that hangs up is part of these tests; anything else is told as usual."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Handler) as server:
        server.behaviour = Behaviour()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def file(server):
    return WeightsFile(f"http://127.0.0.1:{server.server_port}/models/tiny-{SHA256[:8]}.pth", SHA256, len(CONTENT))


def test_fetch_reports_progress_and_keeps_only_the_file(server, file, tmp_path):
    told = []
    path = weights.fetch(tmp_path, file, told.append)
    assert path.read_bytes() == CONTENT
    assert told == sorted(told)
    assert told[-1] == len(CONTENT)
    assert {entry.suffix for entry in tmp_path.iterdir()} == {".pth", ".lock"}


def test_cached_file_is_not_fetched_again(server, file, tmp_path):
    first = weights.fetch(tmp_path, file)
    assert weights.fetch(tmp_path, file) == weights.cached(tmp_path, file) == first
    assert len(server.behaviour.requests) == 1


def test_damaged_cached_file_is_fetched_again(server, file, tmp_path):
    (tmp_path / file.name).write_bytes(b"damaged")
    assert weights.cached(tmp_path, file) is None
    assert weights.fetch(tmp_path, file).read_bytes() == CONTENT


def test_cut_connections_are_resumed_in_the_same_call(server, file, tmp_path):
    server.behaviour.cuts = [300_000, 500_000]
    assert weights.fetch(tmp_path, file).read_bytes() == CONTENT
    first, second, third = server.behaviour.requests
    assert "Range" not in first
    assert (second["Range"], second["If-Range"]) == ("bytes=300000-", '"version-1"')
    assert third["Range"] == "bytes=800000-"


def test_interrupted_download_is_resumed_by_the_next_call(server, file, tmp_path):
    server.behaviour.cuts = [300_000, 0]
    with pytest.raises(DownloadError) as caught:
        weights.fetch(tmp_path, file)
    assert "--weights FILE" in caught.value.next_step
    assert weights.fetch(tmp_path, file).read_bytes() == CONTENT
    assert server.behaviour.requests[-1]["Range"] == "bytes=300000-"


def test_ignored_range_starts_again(server, file, tmp_path):
    server.behaviour.cuts = [300_000]
    server.behaviour.ignores_range = True
    assert weights.fetch(tmp_path, file).read_bytes() == CONTENT
    assert "Range" in server.behaviour.requests[-1]


def test_changed_file_is_not_joined_to_the_old_part(server, file, tmp_path):
    other = WeightsFile(file.url, hashlib.sha256(b"old" * 1000).hexdigest(), 3000)
    server.behaviour.content, server.behaviour.etag, server.behaviour.cuts = b"old" * 1000, '"version-0"', [1500, 0]
    with pytest.raises(DownloadError):
        weights.fetch(tmp_path, other)
    server.behaviour.content, server.behaviour.etag = CONTENT, '"version-1"'
    assert weights.fetch(tmp_path, file).read_bytes() == CONTENT


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_strong_validator_nothing_is_joined(server, file, tmp_path, etag):
    server.behaviour.etag = etag
    server.behaviour.cuts = [300_000, 400_000]
    assert weights.fetch(tmp_path, file).read_bytes() == CONTENT
    assert not any("Range" in request for request in server.behaviour.requests)


def test_part_beyond_the_file_is_discarded(server, file, tmp_path):
    (tmp_path / f"{file.name}.part").write_bytes(b"x" * (len(CONTENT) + 5))
    (tmp_path / f"{file.name}.etag").write_text('"version-1"')
    assert weights.fetch(tmp_path, file).read_bytes() == CONTENT
    assert len(server.behaviour.requests) == 2


def test_answer_with_another_range_is_not_joined(server, file, tmp_path):
    server.behaviour.cuts = [300_000]
    server.behaviour.wrong_range = True
    assert weights.fetch(tmp_path, file).read_bytes() == CONTENT
    assert len(server.behaviour.requests) == 3


def test_complete_part_needs_no_network(server, file, tmp_path):
    (tmp_path / f"{file.name}.part").write_bytes(CONTENT)
    assert weights.fetch(tmp_path, file).read_bytes() == CONTENT
    assert server.behaviour.requests == []


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"!", CONTENT[:-1], CONTENT + b"more" * 100_000])
def test_wrong_digest_is_refused_and_removed(server, file, tmp_path, content):
    server.behaviour.content = content
    with pytest.raises(WeightsError, match=SHA256):
        weights.fetch(tmp_path, file)
    assert {entry.suffix for entry in tmp_path.iterdir()} == {".lock"}


def test_endless_cuts_end(server, file, tmp_path):
    server.behaviour.cuts = [1000] * 100
    with pytest.raises(DownloadError, match="was cut"):
        weights.fetch(tmp_path, file)
    assert len(server.behaviour.requests) == weights.MAX_ATTEMPTS


def test_server_error_is_told(server, file, tmp_path):
    server.behaviour.status = 503
    with pytest.raises(DownloadError, match="the server answered 503"):
        weights.fetch(tmp_path, file)
    assert not weights.reachable(file)


def test_offline_is_told_with_the_next_steps(tmp_path):
    file = WeightsFile(f"http://127.0.0.1:{unused_port()}/w.pth", SHA256, len(CONTENT))
    assert not weights.reachable(file)
    with pytest.raises(DownloadError) as caught:
        weights.fetch(tmp_path, file)
    assert "\n" not in str(caught.value)
    for way in ("`python -m model_build build --weights FILE --out DIR`", "`make run MODEL=FILE.onnx`"):
        assert way in caught.value.next_step


def test_reachable(server, file):
    assert weights.reachable(file)


def test_proxy_of_the_environment_is_used(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.server_port}")
    file = WeightsFile("http://weights.invalid/models/tiny.pth", SHA256, len(CONTENT))
    assert weights.fetch(tmp_path, file).read_bytes() == CONTENT
    assert server.behaviour.paths == [file.url]


def test_unusable_proxy_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "gopher://127.0.0.1:1")
    file = WeightsFile("http://weights.invalid/models/tiny.pth", SHA256, len(CONTENT))
    with pytest.raises(DownloadError, match="proxy"):
        weights.fetch(tmp_path, file)


def test_two_fetches_at_once_download_once(server, file, tmp_path):
    threads = [threading.Thread(target=weights.fetch, args=(tmp_path, file)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert weights.cached(tmp_path, file)
    assert len(server.behaviour.requests) == 1


def test_cache_dir_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("BLINDSIGHT_CACHE", str(tmp_path / "own"))
    assert weights.cache_dir() == tmp_path / "own"
    monkeypatch.delenv("BLINDSIGHT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights.cache_dir() == tmp_path / "blindsight"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.cache_dir() == tmp_path / ".cache" / "blindsight"


def test_pinned_file_is_torchvisions_default():
    from model_build.torchvision_compat import import_torchvision

    default = import_torchvision().models.ResNet50_Weights.DEFAULT
    assert weights.RESNET50.url == default.url
    assert weights.RESNET50.name == f"resnet50-{weights.RESNET50.sha256[:8]}.pth"
    assert round(weights.RESNET50.size / 2**20, 2) == default.meta["_file_size"]


def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
