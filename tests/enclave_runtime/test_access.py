"""Who may speak to the enclave's port: gateways that know its secret, and no other program of the machine."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import socket
import stat
import struct
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.sealing import bhttp, keyconfig, ohttp
from blindsight.wire import frames
from blindsight.wire.protocol import MAX_FRAME_BYTES, FrameKind
from tests.support import images
from tests.support.dates import dated
from tests.support.processes import Enclave, environment
from tests.support.waiting import wait_until
from tests.support.wire import Recorder, free_port, loopback

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.stack import Stack

HELLO, CHALLENGE, PROOF, ADMITTED = 7, 8, 9, 10
"""As the protocol numbers them: another language's gateway knows no names of ours."""
SECONDS = 10.0


class Line:
    """A connection to the enclave, by hand."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection

    def send(self, kind: int, payload: bytes = b"") -> None:
        self.socket.sendall(struct.pack(">IB", len(payload) + 1, kind) + payload)

    def receive(self) -> tuple[int, bytes] | None:
        """The next frame; None if the enclave has hung up."""
        head = self._read(5)
        if len(head) < 5:
            return None
        length, kind = struct.unpack(">IB", head)
        return kind, self._read(length - 1)

    def _read(self, length: int) -> bytes:
        content = b""
        while len(content) < length:
            try:
                chunk = self.socket.recv(length - len(content))
            except ConnectionResetError:
                break
            if not chunk:
                break
            content += chunk
        return content

    def refused(self) -> bool:
        """Whether the enclave says that it does not know this peer, and hangs up."""
        answer = self.receive()
        if answer is None:
            return True
        kind, payload = answer
        return (
            kind == FrameKind.REFUSAL
            and frames.unpack(payload) == {"code": "unauthenticated"}
            and self.receive() is None
        )

    def hello(self, nonce: bytes = bytes(32)) -> bytes:
        """The enclave's nonce."""
        self.send(HELLO, nonce)
        answer = self.receive()
        assert answer is not None
        assert answer[0] == CHALLENGE
        assert len(answer[1]) == 32
        return answer[1]


@contextmanager
def connected(port: int) -> Iterator[Line]:
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        yield Line(connection)


def secret_of(stack: Stack) -> bytes:
    return bytes.fromhex((stack.state / "gateway_secret").read_text())


def proof(secret: bytes, gateway_nonce: bytes, enclave_nonce: bytes) -> bytes:
    message = b"blindsight gateway access/1\0" + gateway_nonce + enclave_nonce
    return hmac.new(secret, message, hashlib.sha256).digest()


def admitted(line: Line, secret: bytes) -> bool:
    nonce = secrets.token_bytes(32)
    line.send(PROOF, proof(secret, nonce, line.hello(nonce)))
    return line.receive() == (ADMITTED, b"")


QUESTIONS: list[tuple[FrameKind, bytes]] = [
    (FrameKind.STATUS_REQUEST, b""),
    (FrameKind.EVIDENCE_REQUEST, frames.pack({"nonce": bytes(32)})),
    (FrameKind.SEALED_REQUEST, b"x" * 200),
    (FrameKind.CAPE_CALL, frames.pack({"op": "commit", "record": b"x"})),
    (FrameKind.CAPE_OPEN, frames.pack({"route": "test", "token": "x", "record": b"x"})),
    (FrameKind.REFUSAL, b""),
]


@pytest.mark.parametrize(("kind", "payload"), QUESTIONS, ids=lambda value: getattr(value, "name", ""))
def test_a_program_that_knows_no_secret_is_answered_nothing(tiny_stack: Stack, kind: FrameKind, payload: bytes) -> None:
    with connected(tiny_stack.enclave_port) as line:
        line.send(kind, payload)
        assert line.refused(), "any program of the machine may ask the enclave"


def test_no_api_token_is_walked_around(tiny_stack: Stack) -> None:
    """Evidence is public, so every program that reaches the port could seal a photo to the enclave like a gateway."""
    config = keyconfig.decode_list(tiny_stack.client.get("/.well-known/ohttp-gateway").content)[0]
    request = bhttp.Request("POST", "/classify", dated(), images.plain(5)).encode()
    message, _ = ohttp.encapsulate(config, request)
    with connected(tiny_stack.enclave_port) as line:
        line.send(FrameKind.SEALED_REQUEST, message)
        answer = line.receive()
        assert answer is None or answer[0] == FrameKind.REFUSAL, "a photo was classified without a gateway"


def test_who_proves_the_secret_is_admitted(tiny_stack: Stack) -> None:
    with connected(tiny_stack.enclave_port) as line:
        assert admitted(line, secret_of(tiny_stack))
        for _ in range(3):  # Once for a connection.
            line.send(FrameKind.STATUS_REQUEST)
            answer = line.receive()
            assert answer is not None
            assert answer[0] == FrameKind.STATUS


@pytest.mark.parametrize(
    "fault", ["secret", "empty", "short", "long", "nonces swapped", "no label", "hello's nonce", "zeros"]
)
def test_a_wrong_proof_is_refused(tiny_stack: Stack, fault: str) -> None:
    secret, ours = secret_of(tiny_stack), secrets.token_bytes(32)
    with connected(tiny_stack.enclave_port) as line:
        theirs = line.hello(ours)
        right = proof(secret, ours, theirs)
        wrong = {
            "secret": proof(secrets.token_bytes(32), ours, theirs),
            "empty": b"",
            "short": right[:-1],
            "long": right + b"\0",
            "nonces swapped": proof(secret, theirs, ours),
            "no label": hmac.new(secret, ours + theirs, hashlib.sha256).digest(),
            "hello's nonce": proof(secret, bytes(32), theirs),
            "zeros": bytes(32),
        }[fault]
        line.send(PROOF, wrong)
        line.send(FrameKind.STATUS_REQUEST)
        assert line.refused()


def test_a_proof_is_good_for_one_connection(tiny_stack: Stack) -> None:
    """What was recorded on another one, or gathered by asking for a challenge of one's own, opens nothing."""
    secret, nonce = secret_of(tiny_stack), bytes(32)
    with connected(tiny_stack.enclave_port) as first, connected(tiny_stack.enclave_port) as second:
        challenges = first.hello(nonce), second.hello(nonce)
        assert challenges[0] != challenges[1]
        second.send(PROOF, proof(secret, nonce, challenges[0]))
        assert second.refused()
        first.send(PROOF, proof(secret, nonce, challenges[0]))
        assert first.receive() == (ADMITTED, b"")


@pytest.mark.parametrize(
    "conversation",
    [
        [(HELLO, b"")], [(HELLO, bytes(31))], [(HELLO, bytes(33))], [(HELLO, bytes(100_000))], [(PROOF, bytes(32))],
        [(CHALLENGE, bytes(32))], [(ADMITTED, b"")], [(HELLO, bytes(32)), (HELLO, bytes(32))],
        [(HELLO, bytes(32)), (FrameKind.STATUS_REQUEST, b"")], [(HELLO, bytes(32)), (ADMITTED, b"")], [(99, b"")],
    ],
    ids=str,
)  # fmt: skip
def test_out_of_turn(tiny_stack: Stack, conversation: list[tuple[int, bytes]]) -> None:
    with connected(tiny_stack.enclave_port) as line:
        for kind, payload in conversation:
            line.send(kind, payload)
        answers = []
        while (answer := line.receive()) is not None:
            answers.append(answer[0])
        assert ADMITTED not in answers
        assert set(answers) <= {CHALLENGE, FrameKind.REFUSAL}


def test_nothing_large_is_kept_for_who_is_not_admitted(tiny_stack: Stack) -> None:
    """A frame is refused by the length that it announces."""
    with connected(tiny_stack.enclave_port) as line:
        line.socket.sendall(struct.pack(">IB", MAX_FRAME_BYTES, FrameKind.SEALED_REQUEST))
        assert line.refused()


def test_a_silent_program_holds_no_connection(tiny_stack: Stack) -> None:
    with connected(tiny_stack.enclave_port) as silent, connected(tiny_stack.enclave_port) as slow:
        slow.hello()
        assert silent.receive() is None, "it may wait for ever"
        assert slow.receive() is None


def test_the_secret_is_a_file_of_the_enclaves_user_alone(tiny_stack: Stack) -> None:
    file = tiny_stack.state / "gateway_secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(secret_of(tiny_stack)) == 32
    assert file.read_text().strip() not in tiny_stack.logs()


def test_it_never_travels(tiny_stack: Stack) -> None:
    """Nor is it proven more than once on a connection."""
    with Recorder(tiny_stack.enclave_port) as recorder:
        with tiny_stack.another_gateway(enclave=loopback(recorder.port)) as gateway:
            for number in range(5):
                answer = gateway.client.post("/classify", files={"file": images.plain(number)})
                assert answer.status_code == 200
        streams = recorder.streams()
    recording = b"\n".join(streams)
    assert secret_of(tiny_stack) not in recording
    assert secret_of(tiny_stack).hex().encode() not in recording
    hellos = sum(stream.startswith(struct.pack(">IB", 33, HELLO)) for stream in streams)
    assert 1 <= hellos == len(streams) // 2 <= 3


def gateway_state(stack: Stack, seconds: float = 10, **settings: object) -> Any:
    """Whether a gateway with these settings becomes ready, what it says of it, and its log's events."""
    with stack.another_gateway(ready=False, **settings) as gateway:
        wait_until(
            "a look at the enclave",
            lambda: gateway.client.get("/readyz").status_code == 200 or "admit" in gateway.client.get("/readyz").text,
            seconds=seconds,
        )
        response = gateway.client.get("/readyz")
        return response, gateway.events()


@pytest.mark.parametrize("kind", ["none", "another", "readable by others", "damaged", "missing"])
def test_a_gateway_without_the_secret_says_so(tiny_stack: Stack, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "secret"
    settings: dict[str, object] = {"enclave_secret_file": file}
    content = (tiny_stack.state / "gateway_secret").read_text()
    if kind == "none":
        settings = {"enclave_secret_file": None}
    elif kind == "another":
        file.write_text(secrets.token_hex(32))
    elif kind != "missing":
        file.write_text(content if kind == "readable by others" else content[:20])
    if file.exists():
        file.chmod(0o644 if kind == "readable by others" else 0o600)
    response, events = gateway_state(tiny_stack, **settings)
    assert response.status_code == 503
    assert response.json()["code"] == "enclave_unavailable"
    told = [event for event in events if event["event"] == "enclave does not admit this gateway"]
    assert len(told) == 1
    assert "secret" in told[0]["reason"]
    assert content.strip() not in str(events)


def test_a_gateway_finds_the_secret_once_it_is_there(tiny_stack: Stack, tmp_path: Path) -> None:
    """It may have started before the enclave did for the first time."""
    file = tmp_path / "secret"
    with tiny_stack.another_gateway(ready=False, enclave_secret_file=file) as gateway:
        wait_until("refused", lambda: "admit" in gateway.client.get("/readyz").text, seconds=10)
        file.touch(0o600)
        file.write_text((tiny_stack.state / "gateway_secret").read_text())
        gateway.wait_ready()


def serve(stack: Stack, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A start of an enclave that is to fail."""
    command = [
        sys.executable,
        "-m",
        "enclave_runtime",
        "serve",
        "--bundle",
        str(stack.bundle),
        "--listen",
        loopback(free_port()),
    ]
    return subprocess.run(
        [*command, "--state", str(folder / "state"), *options],
        capture_output=True, text=True, check=False, timeout=60, cwd=folder, env=environment(folder),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "mode"), [("ab" * 32, 0o644), ("ab" * 32, 0o640), ("ab" * 31, 0o600), ("", 0o600), ("x" * 64, 0o600)]
)
def test_an_enclave_does_not_start_with_a_secret_that_is_none(
    tiny_stack: Stack, tmp_path: Path, content: str, mode: int
) -> None:
    file = tmp_path / "secret"
    file.write_text(content)
    file.chmod(mode)
    done = serve(tiny_stack, tmp_path, "--gateway-secret", str(file))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"enclave_runtime: {file} ")
    assert "ab" * 31 not in done.stderr


def test_an_enclave_ends_well_while_a_peer_is_at_its_door(tiny_stack: Stack, tmp_path: Path) -> None:
    enclave = Enclave(tiny_stack.bundle, tmp_path / "state", tmp_path, port=free_port(), workers=1)
    try:
        enclave.wait_warm()
        with connected(enclave.port) as silent, connected(enclave.port) as slow:
            slow.hello()
            enclave.stop()
            assert silent.receive() is None
    finally:
        if enclave.running:
            enclave.kill()
    assert [event for event in enclave.events() if event["level"] == "error"] == []


def test_an_open_port_has_to_be_asked_for(tiny_stack: Stack, tmp_path: Path) -> None:
    """Then any program may ask, and a gateway with a secret is served like one without."""
    enclave = Enclave(
        tiny_stack.bundle, tiny_stack.state, tmp_path, port=free_port(), workers=1, insecure_open_port=True
    )
    try:
        enclave.wait_warm()
        with connected(enclave.port) as line:
            line.send(FrameKind.STATUS_REQUEST)
            answer = line.receive()
            assert answer is not None
            assert answer[0] == FrameKind.STATUS
        for settings in ({}, {"enclave_secret_file": None}):
            with tiny_stack.another_gateway(enclave=loopback(enclave.port), **settings) as gateway:
                assert gateway.client.post("/classify", files={"file": images.plain(9)}).status_code == 200
        assert "open port" in enclave.log()
    finally:
        enclave.stop()
