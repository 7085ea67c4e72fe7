"""Requests that never get as far as the application."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from gateway import http1
from tests.support import images
from tests.support.inprocess import running_app
from tests.support.problems import CANARY, check
from tests.support.rawhttp import Connection

if TYPE_CHECKING:
    from tests.support.stack import Stack


@pytest.mark.parametrize(
    "head",
    [
        f"{CANARY}\r\n\r\n",
        f"GET /{CANARY} HTTP/1.1\r\n{CANARY}\r\n\r\n",
        f"GET /{CANARY} HTTP/1.1\r\ncontent-length: {CANARY}\r\n\r\n",
        f"POST /classify HTTP/1.1\r\ncontent-length: {'9' * 5000}\r\n\r\n",
        "POST /classify HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
)
def test_malformed_head(tiny_stack: Stack, head: str) -> None:
    with Connection(tiny_stack.gateway.port) as connection:
        connection.send(head.encode())
        check(connection.response(), "bad_request")
        assert connection.at_end()
    assert CANARY.lower() not in tiny_stack.logs().lower()


def test_head_is_bounded_in_bytes(tiny_stack: Stack) -> None:
    """A header that never ends is refused, in however small pieces it comes."""
    with Connection(tiny_stack.gateway.port) as connection:
        connection.send(f"GET /livez HTTP/1.1\r\nhost: localhost\r\nx-{CANARY}: ".encode())
        for _ in range(http1.MAX_HEAD_BYTES // 1024 + 1):
            connection.send(b"a" * 1024)
        check(connection.response(), "bad_request")


@pytest.mark.parametrize("size", [http1.MAX_HEAD_BYTES + 500, 4 * http1.MAX_HEAD_BYTES - 500])
def test_so_is_one_that_comes_whole(tiny_stack: Stack, size: int) -> None:
    for head in (
        f"GET /livez HTTP/1.1\r\nhost: localhost\r\nx: {'a' * size}\r\n\r\n",
        f"GET /livez?{'a' * size} HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ):
        with Connection(tiny_stack.gateway.port) as connection:
            connection.send(head.encode())
            check(connection.response(), "bad_request")


def test_a_large_head_within_the_bound_is_served(tiny_stack: Stack) -> None:
    response = tiny_stack.client.get("/livez", headers={"x-large": "a" * (http1.MAX_HEAD_BYTES - 1000)})
    assert response.status_code == 200


def test_a_body_that_comes_with_its_head_is_not_counted(tiny_stack: Stack) -> None:
    """Several requests on one connection, each with far more bytes than a head may have, in one piece."""
    photo = images.padded(12, 40_000)
    with Connection(tiny_stack.gateway.port) as connection:
        for _ in range(3):
            fields = f"host: localhost\r\ncontent-type: image/jpeg\r\ncontent-length: {len(photo)}\r\n\r\n"
            connection.send(b"POST /classify HTTP/1.1\r\n" + fields.encode() + photo)
            assert connection.response().json()["predictions"][0]["class_id"] == 12


def test_head_is_bounded_in_time(tiny_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "HEAD_SECONDS", 0.5)
    with running_app(tiny_stack) as running:
        started = time.monotonic()
        with Connection(running.port) as silent, Connection(running.port) as slow:
            slow.send(b"GET /livez HTTP/1.1\r\n")
            check(slow.response(), "request_timeout")
            assert silent.at_end()
        assert time.monotonic() - started < 10
        with Connection(running.port) as again:
            again.start("GET", "/livez", {})
            assert again.response().status_code == 200
            again.send(b"GET /livez")  # The second request of a connection is held to the same.
            check(again.response(), "request_timeout")
