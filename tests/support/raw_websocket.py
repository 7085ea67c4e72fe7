"""A WebSocket by hand, with a handshake as each of Cape's clients sends it; framing is websockets' protocol."""

from __future__ import annotations

import base64
import os
import secrets
import select
import socket
import ssl
import time
from collections import deque
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SECONDS = 30.0


class HandshakeRefusedError(Exception):
    """The answer was not 101."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status} {body!r}")
        self.status = status
        self.body = body


class ClosedError(Exception):
    """The server has closed the connection; `code` is None if it only hung up."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class WebSocket:
    """One connection. `subprotocols` are the values of as many header lines; `headers` replace or follow the others."""

    def __init__(
        self,
        url: str,
        path: str,
        subprotocols: Sequence[str],
        *,
        deflate: bool = False,
        ca: Path | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        parts = urlsplit(url)
        raw = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=SECONDS)
        if parts.scheme in {"https", "wss"}:
            context = ssl.create_default_context(cafile=ca)
            raw = context.wrap_socket(raw, server_hostname=parts.hostname)
        self._socket = raw
        self._protocol = Protocol(Side.CLIENT, state=State.OPEN, max_size=None)
        self._messages: deque[str | bytes] = deque()
        self._parts: list[bytes] = []
        self._is_text = False
        self._pongs: set[bytes] = set()
        self.headers: list[tuple[str, str]] = []
        lines = [
            f"GET {path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in {"Host": parts.netloc, **(headers or {})}.items()),
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            *(f"Sec-WebSocket-Protocol: {value}" for value in subprotocols),
        ]
        if deflate:
            lines.append("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
        try:
            self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            self._read_head()
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def header(self, name: str) -> list[str]:
        """All values of a header of the handshake's answer."""
        return [value for key, value in self.headers if key == name.lower()]

    def send(self, content: str | bytes, *, fragment: int | None = None) -> None:
        """One message: text or binary, in frames of at most `fragment` bytes."""
        if isinstance(content, str):
            self._protocol.send_text(content.encode())
        elif fragment is None or len(content) <= fragment:
            self._protocol.send_binary(content)
        else:
            pieces = [content[start : start + fragment] for start in range(0, len(content), fragment)]
            self._protocol.send_binary(pieces[0], fin=False)
            for index, piece in enumerate(pieces[1:], 2):
                self._protocol.send_continuation(piece, fin=index == len(pieces))
        self._flush()

    def receive(self) -> str | bytes:
        """The next message: `str` for text frames, `bytes` for binary ones. Raises `ClosedError`."""
        while not self._messages:
            self._read()
        return self._messages.popleft()

    @property
    def waiting(self) -> bool:
        """Whether a message has arrived that `receive` has not returned."""
        return bool(self._messages)

    @property
    def is_open(self) -> bool:
        """Whether neither side has begun to close."""
        return self._protocol.state is State.OPEN

    def ping(self, *, seconds: float) -> None:
        """Send a ping, and see its pong come within `seconds`; messages before it are kept. Not over TLS."""
        payload = secrets.token_bytes(8)
        self._protocol.send_ping(payload)
        self._flush()
        deadline = time.monotonic() + seconds
        while payload not in self._pongs:
            ready, _, _ = select.select([self._socket], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no pong within {seconds:g} s"
            self._read()

    def close(self, code: int | None = 1000) -> int | None:
        """Close with `code`, or without any, as browsers do; returns the code that the server answers with."""
        self._protocol.send_close(code)
        self._flush()
        return self.wait_closed()

    def wait_closed(self) -> int | None:
        """Read on to the server's close; returns its code."""
        try:
            while True:
                self._read()
        except ClosedError as closed:
            return closed.code
        finally:
            self._socket.close()

    def _read_head(self) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            chunk = self._socket.recv(1 << 16)
            assert chunk, "the server hung up during the handshake"
            received += chunk
        head, _, rest = received.partition(b"\r\n\r\n")
        status_line, *lines = head.decode().split("\r\n")
        self.headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        status = int(status_line.split()[1])
        if status != 101:
            length = int(self.header("content-length")[0])
            while len(rest) < length:
                rest += self._socket.recv(1 << 16)
            raise HandshakeRefusedError(status, rest)
        self._take(rest)

    def _flush(self) -> None:
        for chunk in self._protocol.data_to_send():
            if chunk:
                self._socket.sendall(chunk)

    def _read(self) -> None:
        if self._protocol.close_rcvd is not None:
            raise ClosedError(self._protocol.close_rcvd.code)
        try:
            chunk = self._socket.recv(1 << 16)
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            raise ClosedError(None)
        self._take(chunk)

    def _take(self, chunk: bytes) -> None:
        self._protocol.receive_data(chunk)
        for frame in self._protocol.events_received():
            assert isinstance(frame, Frame)
            if frame.opcode is Opcode.PONG:
                self._pongs.add(bytes(frame.data))
            if frame.opcode in {Opcode.TEXT, Opcode.BINARY}:
                self._is_text, self._parts = frame.opcode is Opcode.TEXT, []
            if frame.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
                self._parts.append(bytes(frame.data))
                if frame.fin:
                    content = b"".join(self._parts)
                    self._messages.append(content.decode() if self._is_text else content)
        self._flush()
