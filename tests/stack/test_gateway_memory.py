"""The gateway never holds what its callers seal: not in its memory, its logs, its metrics, its files, nor on the wire.

Canaries are planted where secrets are: in the pixels, in the labels, in what each exchange derives its keys from. The
enclave's private keys cannot be had from outside; what they would give, the shared secrets of all exchanges, can.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import secrets
import socket
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from PIL import Image

from blindsight import Client
from blindsight.sealing import hpke, ohttp
from tests.support.canaries import Search, dump, forms
from tests.support.models import colour_of
from tests.support.processes import Gateway, Server
from tests.support.waiting import wait_until
from tests.support.wire import Recorder, loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from blindsight import Classification
    from tests.stack.conftest import TellingStack
    from tests.support.stack import Stack

ROUNDS, REQUESTS, TOGETHER = 2, 50, 8
"""Rounds, the requests of each, and how many of them are sent at once."""

WIDTH, CANARY_ROWS, COLOUR_ROWS = 64, 4, 40


class _Verbosely(Server):
    def __init__(self, arguments: Any, *others: Any) -> None:
        super().__init__(["tests.support.verbosely", *arguments], *others)


class VerboseGateway(Gateway, _Verbosely):
    """`Gateway`, whose every logger is wide open."""


def picture(canary: bytes, class_id: int) -> bytes:
    """A PNG of about `class_id`'s colour; beside that its pixels are `canary` (32 bytes), unpacked, in the file."""
    rows = [canary * (3 * WIDTH // len(canary))] * CANARY_ROWS
    rows += [bytes(colour_of(class_id)) * WIDTH] * COLOUR_ROWS
    # No filter, stored blocks: Pillow would write the difference between rows.
    pixels = zlib.compress(b"".join(b"\x00" + row for row in rows), level=0)
    header = struct.pack(">IIBBBBB", WIDTH, len(rows), 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


class Watched:
    """A verbose gateway before the stack's enclave, with its traffic on both sides recorded."""

    def __init__(self, stack: Stack, gateway: Gateway, near: Recorder, far: Recorder) -> None:
        self.stack = stack
        self.gateway = gateway
        self.near = near
        self._far = far
        self.url = f"http://127.0.0.1:{near.port}"

    def dump(self) -> bytes:
        return dump(self.gateway.pid, self.gateway.folder.parent)

    def left_behind(self) -> dict[str, bytes]:
        """What it has written and sent so far, by where that is."""
        metrics = httpx2.get(f"http://127.0.0.1:{self.gateway.metrics_port}/metrics", trust_env=False)
        files = {str(file): file.read_bytes() for file in self.gateway.folder.rglob("*") if file.is_file()}
        return {
            **files,
            "metrics": metrics.content,
            "traffic with callers": b"\n".join(self.near.streams()),
            "traffic with the enclave": b"\n".join(self._far.streams()),
        }

    @contextlib.contextmanager
    def at_a_standstill(self) -> Iterator[None]:
        """The enclave's workers stand still."""
        workers = self.stack.enclave.workers()
        try:
            for worker in workers:
                worker.suspend()
            yield
        finally:
            for worker in workers:
                worker.resume()

    def wait_busy(self, count: int) -> None:
        """Until `count` of the enclave's workers have what one request to the gateway brought them."""
        wait_until("request in flight", lambda: self.stack.enclave.status()["busy"] == count)
        assert self.gateway.metric("requests_in_progress") == 1


@pytest.fixture
def watched(telling_stack: TellingStack, tmp_path: Path) -> Iterator[Watched]:
    stack = telling_stack.stack
    with Recorder(stack.enclave_port) as far:
        settings = {"policy": stack.policy_file, "enclave": loopback(far.port)}
        settings |= {"enclave_secret_file": stack.enclave.secret_file}
        gateway = VerboseGateway(tmp_path / "gateway", settings)
        try:
            gateway.wait_ready()
            with Recorder(gateway.port) as near:
                yield Watched(stack, gateway, near, far)
        except BaseException:
            gateway.kill()
            raise
        gateway.stop()  # It checks that no temporary file was left, too.


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What every exchange of this process's clients is secret by, from the shared secret on, as it is made."""
    found: dict[str, bytes] = {}
    numbers = itertools.count()  # Several threads take them.

    def note(what: str, value: bytes) -> None:
        found[f"{what} {next(numbers)}"] = value

    def watch(owner: type, name: str, take: Callable[..., None]) -> None:
        real = getattr(owner, name)

        def watching(self: Any, *arguments: Any, **options: Any) -> Any:
            result = real(self, *arguments, **options)
            take(self, *arguments)
            return result

        monkeypatch.setattr(owner, name, watching)

    watch(hpke._Context, "__init__", lambda _, __, shared, ___: note("shared secret", shared))
    watch(hpke._Context, "__init__", lambda context, *_: note("exporter secret", context._exporter_secret))
    watch(hpke.Suite, "aead", lambda _, key: note("AEAD key", key))
    watch(ohttp.ResponseOpener, "__init__", lambda opener, *_: note("response secret", opener._secret))
    return found


def test_the_search_finds_every_form_at_every_place() -> None:
    secret, other = secrets.token_bytes(32), secrets.token_bytes(32)
    search = Search({"canary": secret, "other": other})
    assert not search.found(bytes(100_000) + secrets.token_bytes(100_000) + secret[:-1] + other[1:])
    assert not search.found(b"")
    for how, form in forms(secret):
        assert len(form) >= 16, how
        for before in range(5):
            for around in (b"", bytes(40)):
                found = search.found(around + b"x" * before + form + around)
                assert found
                assert all(name.startswith("canary ") for name in found)
    # Across the border of two blocks that are searched one after the other.
    for start in range((1 << 24) - 40, (1 << 24) + 2, 13):
        assert search.found(bytes(start) + secret) == {"canary as it is"}


def test_the_picture_holds_its_canary_in_the_open(telling_stack: TellingStack) -> None:
    canary = secrets.token_bytes(32)
    image = picture(canary, 427)
    assert image.count(canary) == CANARY_ROWS * 6
    pixels = Image.open(io.BytesIO(image)).convert("RGB").tobytes()
    assert pixels.count(canary) == CANARY_ROWS * 6
    assert all(telling_stack.canary in label for label in telling_stack.labels)


def test_nothing_of_what_callers_seal_is_in_the_gateway(
    telling_stack: TellingStack, watched: Watched, keys: dict[str, bytes]
) -> None:
    pixels, label = secrets.token_bytes(32), telling_stack.canary
    images = [picture(pixels, 9 * number) for number in range(ROUNDS * REQUESTS)]

    def holds_nothing(memory: bytes) -> None:
        planted = {
            "pixels": pixels,
            "labels": label.encode(),
            "what the labels hold": bytes.fromhex(label),
            **{f"digest of image {number}": hashlib.sha256(image).digest() for number, image in enumerate(images)},
            **keys,
        }
        search = Search(planted)
        for where, content in {"memory": memory, **watched.left_behind()}.items():
            found = search.found(content)
            assert not found, where

    with Client(watched.url, policy=watched.stack.policy) as client, ThreadPoolExecutor(TOGETHER) as threads:

        def ask(number: int) -> Classification:
            return client.classify(images[number], with_receipt=bool(number % 2))

        client.verify()
        # One while it is in flight: the gateway holds all of the request then.
        with watched.at_a_standstill():
            first = threads.submit(ask, 0)
            watched.wait_busy(1)
            memory = watched.dump()
            assert not first.done()
            sent = max(watched.near.streams(), key=len)[-1000:-968]
        held = sent in memory
        assert held, "the dump lacks even the ciphertext that the gateway waits for an answer to"
        answers = [first.result(30)]
        holds_nothing(memory)
        for begin in range(0, len(images), REQUESTS):
            answers += threads.map(ask, range(max(begin, 1), begin + REQUESTS))
            holds_nothing(watched.dump())
    # It was all there to be found.
    assert len(answers) == ROUNDS * REQUESTS
    assert len({answer.predictions[0].label for answer in answers}) > REQUESTS
    assert all(label in prediction.label for answer in answers for prediction in answer.predictions)
    assert [answer.archive is not None for answer in answers] == [bool(number % 2) for number in range(len(answers))]
    assert len(keys) == len(set(keys.values())) == 5 * len(answers)
    assert watched.gateway.metric("sealed_requests_relayed_total") == len(answers)
    written = watched.gateway.log()
    assert '"level": "trace"' in written, "the log is not at its most verbose"
    assert written.count('"event": "answered"') > len(answers)


def test_the_same_search_finds_what_is_sent_in_the_open(telling_stack: TellingStack, watched: Watched) -> None:
    """One plain request, of several images so that its answer is too long to leave the gateway unread."""
    pixels, label = secrets.token_bytes(32), telling_stack.canary
    search = Search({"pixels": pixels, "labels": label.encode()})
    files = [("files", picture(pixels, 9 * number)) for number in range(64)]
    with httpx2.Client() as builder:
        request = builder.build_request("POST", f"{watched.url}/classify/batch?top_k=1000", files=files)
    head = f"POST {request.url.raw_path.decode()} HTTP/1.1\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in request.headers.items()
    )
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # Not through the recorder, which would read on.
        caller.connect(("127.0.0.1", watched.gateway.port))
        with watched.at_a_standstill():
            caller.sendall(head.encode() + b"\r\n" + request.read())
            watched.wait_busy(2)
            found = search.found(watched.dump())
            assert "pixels as it is" in found
        caller.settimeout(60)
        assert caller.recv(12) == b"HTTP/1.1 200"
        found = search.found(watched.dump())
        assert "labels as it is" in found
    # The gateway sees them in this lane, and writes them down nowhere.
    for where, content in watched.left_behind().items():
        found = search.found(content)
        assert not found, where
