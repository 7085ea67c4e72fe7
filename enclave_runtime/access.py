"""Authentication of gateways at the enclave's port: they prove that they know its secret (`blindsight.wire.access`)."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from typing import TYPE_CHECKING, Final

from blindsight.errors import ProducerError, TransportError
from blindsight.wire import access, frames
from blindsight.wire.protocol import ACCESS_NONCE_BYTES, FrameKind
from enclave_runtime.statefile import publish

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_log = logging.getLogger(__name__)

FILE: Final = "gateway_secret"
"""Default file in the state folder."""
_SECONDS: Final = 5.0
"""Time from a connection's start to the proof."""
_MAX_FRAME_BYTES: Final = 64
"""Of an unauthenticated peer: a nonce or a proof, 32 bytes, and its kind."""


def load_or_create(path: Path) -> bytes:
    """Read the secret in `path`, or create it. Raises `ProducerError` (`state_unusable`)."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        publish(path, access.new_secret().encode())
        return access.read_secret(path)
    except TransportError as error:
        raise ProducerError("state_unusable", str(error)) from error
    except OSError as error:
        raise ProducerError("state_unusable", f"{path} cannot be used: {error.strerror}.") from error


def guarded(serve: Serve, secret: bytes) -> Serve:
    """`serve`, restricted to connections whose peer has proved that it knows `secret`; others get a refusal and are
    closed.
    """

    async def admit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                admitted = await _proves(reader, writer, secret)
                if not admitted:
                    _log.warning("peer not admitted")
                    writer.write(frames.encode(FrameKind.REFUSAL, frames.pack({"code": "unauthenticated"})))
                    await writer.drain()
        except (TransportError, OSError, TimeoutError):
            admitted = False
        except asyncio.CancelledError:
            # The enclave ends. Passed on, it would be logged as a failure: nothing waits for this callback.
            admitted = False
        if admitted:
            await serve(reader, writer)
        else:
            writer.close()

    return admit


async def _proves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secret: bytes) -> bool:
    """Raises `TransportError` or `OSError` if the connection is lost or sends other frames."""
    hello = await frames.read(reader, limit=_MAX_FRAME_BYTES)
    if hello is None:
        raise TransportError("connection_lost", "The peer hung up without a word.")
    if hello[0] is not FrameKind.GATEWAY_HELLO or len(hello[1]) != ACCESS_NONCE_BYTES:
        return False
    nonce = secrets.token_bytes(ACCESS_NONCE_BYTES)
    writer.write(frames.encode(FrameKind.GATEWAY_CHALLENGE, nonce))
    await writer.drain()
    answer = await frames.read(reader, limit=_MAX_FRAME_BYTES)
    expected = access.proof(secret, hello[1], nonce)
    if answer is None or answer[0] is not FrameKind.GATEWAY_PROOF or not hmac.compare_digest(answer[1], expected):
        return False
    writer.write(frames.encode(FrameKind.GATEWAY_ADMITTED))
    await writer.drain()
    return True
