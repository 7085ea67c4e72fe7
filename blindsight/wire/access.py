"""Authentication of a gateway at the enclave's port, with a shared secret that other programs do not know.

    gateway                       enclave
    GATEWAY_HELLO nonce    ──►
                           ◄──    GATEWAY_CHALLENGE nonce
    GATEWAY_PROOF mac      ──►                                mac = HMAC-SHA256(secret, label ‖ both nonces)
                           ◄──    GATEWAY_ADMITTED, or REFUSAL (`unauthenticated`) and the end

It takes place once for each connection, before anything else. It only restricts who can send requests: requests and
answers are encrypted and attested on any connection, and a program between the two can use an authenticated one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Final

from blindsight.errors import TransportError
from blindsight.wire import frames
from blindsight.wire.protocol import ACCESS_NONCE_BYTES, FrameKind

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

SECRET_BYTES: Final = 32
_LABEL: Final = b"blindsight gateway access/1\x00"
_SECRET: Final = re.compile(r"[0-9a-f]{64}")


def new_secret() -> str:
    """A new secret in the form of its file: hexadecimal, and a line feed."""
    return f"{secrets.token_hex(SECRET_BYTES)}\n"


def read_secret(path: Path) -> bytes:
    """Read the secret in `path` (32 bytes). Raises `TransportError` (`access_refused`); `FileNotFoundError`."""
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise TransportError("access_refused", f"{path} cannot be read.") from error
    if mode & 0o077:
        raise TransportError("access_refused", f"{path} can be read by others; its mode must be 0600.")
    if not _SECRET.fullmatch(text):
        raise TransportError("access_refused", f"{path} holds no secret of 64 hexadecimal digits.")
    return bytes.fromhex(text)


def proof(secret: bytes, gateway_nonce: bytes, enclave_nonce: bytes) -> bytes:
    """The proof of knowing `secret` for these two nonces: 32 bytes."""
    return hmac.new(secret, _LABEL + gateway_nonce + enclave_nonce, hashlib.sha256).digest()


async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secret: bytes) -> None:
    """Authenticate on a new connection. Raises `TransportError`; `access_refused` if the enclave has another secret."""
    nonce = secrets.token_bytes(ACCESS_NONCE_BYTES)
    kind, payload = await _ask(reader, writer, frames.encode(FrameKind.GATEWAY_HELLO, nonce))
    if kind is FrameKind.GATEWAY_CHALLENGE:
        answer = proof(secret, nonce, payload)
        kind, payload = await _ask(reader, writer, frames.encode(FrameKind.GATEWAY_PROOF, answer))
    if kind is not FrameKind.GATEWAY_ADMITTED:
        raise unauthenticated() if kind is FrameKind.REFUSAL else _unexpected()


def unauthenticated() -> TransportError:
    """The error for a peer that did not prove knowledge of the secret."""
    return TransportError("access_refused", "The enclave has another secret than this gateway.")


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frame: bytes) -> tuple[FrameKind, bytes]:
    writer.write(frame)
    await writer.drain()
    answer = await frames.read(reader)
    if answer is None:
        raise TransportError("connection_lost", "The enclave hung up.")
    return answer


def _unexpected() -> TransportError:
    return TransportError("unexpected_answer", "The enclave did not answer as the protocol says.")
