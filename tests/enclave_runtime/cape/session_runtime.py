"""A Cape host behind a listener in this process, and the gateway's end of its sessions."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
from cryptography.hazmat.primitives import serialization

from blindsight.attestation import cose
from blindsight.attestation.document import AttestationDocument
from blindsight.cape import ids
from blindsight.errors import TransportError
from blindsight.wire import cape, frames
from blindsight.wire.protocol import FrameKind
from enclave_runtime.cape import session
from enclave_runtime.cape.accounts import Account, FunctionEntry
from enclave_runtime.cape.host import CapeHost, SharedLimits
from enclave_runtime.cape.process import HandlerLimits
from enclave_runtime.cape.rootsecret import RootSecret
from enclave_runtime.evidence.simulated import SimulatedProducer
from tests.enclave_runtime.cape.handler_sources import within
from tests.enclave_runtime.workers.fake_function import Gate, eventually
from tests.support.cape_front import owner
from tests.support.cape_guest import enveloped, sealed, zipped
from tests.support.fake_cape_host import rsa_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from enclave_runtime.confinement.warden import Warden
    from tests.support.cape_front import Owner

OBEDIENT = """
import os, secrets, socket

life = secrets.token_hex(8)
# Where the function was unpacked: what is large is a link to there.
code = os.open(os.path.dirname(os.readlink("anchor")), os.O_PATH)

def cape_handler(data):
    if data == b"wait":
        with socket.socket(socket.AF_UNIX) as gate:
            gate.connect(f"/proc/self/fd/{code}/gate")
            gate.recv(1)
    if data == b"fail":
        raise ValueError("secret")
    if data == b"exit":
        os._exit(3)
    if data == b"pid":
        return str(os.getpid())
    if data[:6] == b"zeros ":
        return bytes(int(data[6:]))
    if data[:6] == b"length":
        return str(len(data))
    if data == b"life":
        return life
    return data
"""
ARCHIVE = zipped(OBEDIENT, anchor=bytes(300_000))
CHECKSUM = hashlib.sha256(ARCHIVE).digest()
PRIVATE, PUBLIC = ids.new(), ids.new()
ADA, BOB = owner("ada"), owner("bob")
CLASSIFIER = hashlib.sha256(b"the classifier").digest()


def account(who: Owner, **fields: Any) -> Account:
    key = rsa_key(who.username).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    functions = {PRIVATE: FunctionEntry("private", CHECKSUM, public=False)} if who is ADA else {}
    return Account(who.username, who.public, key, functions=functions, **fields)


def key_of(who: Owner) -> bytes:
    return rsa_key(who.username).public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip


def deploy_token(archive: bytes = ARCHIVE, name: str = "fn", *, public: bool = False, **options: Any) -> str:
    checksum = hashlib.sha256(archive).hexdigest()
    return ADA.token("deploy", func_checksum=checksum, function_name=name, public=public, **options)


class Peer:
    """A gateway's end of a session."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.key = b""
        self.document: AttestationDocument | None = None

    async def send(self, kind: FrameKind, payload: bytes = b"") -> None:
        self.writer.write(frames.encode(kind, payload))
        await self.writer.drain()

    async def send_long(self, kind: FrameKind, content: bytes) -> None:
        for frame in cape.pieces(kind, content):
            self.writer.write(frame)
        await self.writer.drain()

    async def receive(self, kind: FrameKind) -> bytes:
        """The next frame's payload, or a long text. Raises `CapeError`; `EOFError` when the enclave has hung up."""
        payload = await self.receive_frame(kind)
        if kind is FrameKind.CAPE_TEXT:
            return await cape.read_rest(self.reader, payload, kind=kind, limit=1 << 30)
        return payload

    async def receive_frame(self, kind: FrameKind) -> bytes:
        """The next frame's payload. Raises as `receive`."""
        frame = await within(frames.read(self.reader))
        if frame is None:
            raise EOFError
        if frame[0] is FrameKind.CAPE_ERROR:
            raise cape.error_of(frame[1])
        assert frame[0] is kind
        return frame[1]

    async def wanted(self) -> bool:
        return bool(frames.unpack(await self.receive(FrameKind.CAPE_OPENED))["need_function"])

    async def attested(self, nonce: bytes = b"nonce") -> AttestationDocument:
        await self.send(FrameKind.CAPE_NONCE, nonce)
        frame = json.loads(await self.receive(FrameKind.CAPE_TEXT))
        assert frame["message"]["type"] == "attestation_doc"
        payload = cose.parse(base64.b64decode(frame["message"]["message"])).payload
        document = AttestationDocument.parse(payload)
        assert document.nonce == nonce
        assert document.public_key is not None
        self.key, self.document = document.public_key, document
        return document

    async def invoke(self, plaintext: bytes) -> None:
        await self.send_long(FrameKind.CAPE_INPUT, sealed(self.key, plaintext))

    async def output(self) -> bytes:
        message = json.loads(await self.receive(FrameKind.CAPE_TEXT))["message"]
        assert message["type"] == "function_result"
        return base64.b64decode(message["message"])

    async def hung_up(self) -> bool:
        return await within(self.reader.read()) == b""


@dataclass
class Runtime:
    """A listener with a Cape host behind it. `ends` is how each session ended: None, or what was raised."""

    host: CapeHost
    port: int
    memory: Path
    draining: asyncio.Event
    ends: list[BaseException | None] = field(default_factory=list)

    def record(self, who: Owner, **fields: Any) -> bytes:
        return self.host.vault.seal(account(who, **fields))

    @contextlib.asynccontextmanager
    async def open(self, **opening: Any) -> AsyncIterator[Peer]:
        peer = Peer(*await asyncio.open_connection("127.0.0.1", self.port))
        await peer.send(FrameKind.CAPE_OPEN, frames.pack(opening))
        try:
            yield peer
        finally:
            peer.writer.close()
            await asyncio.gather(peer.writer.wait_closed(), return_exceptions=True)

    @contextlib.asynccontextmanager
    async def running(self, token: str | None = None, **changes: Any) -> AsyncIterator[Peer]:
        """A session of ada's function, ready for its first input."""
        opening = {
            "route": "run", "token": token or ADA.token("run"), "record": self.record(ADA),
            "owner_record": self.record(ADA), "function_id": PRIVATE, **changes,
        }  # fmt: skip
        async with self.open(**opening) as peer:
            if await peer.wanted():
                await peer.send_long(FrameKind.CAPE_FUNCTION, enveloped(key_of(ADA), ARCHIVE))
                assert not await peer.wanted()
            await peer.attested()
            yield peer

    def gate(self) -> Gate:
        """Where calls of `wait` wait; the function has been unpacked."""
        (code,) = self.memory.glob("*/*/function")
        return Gate(code)


@contextlib.asynccontextmanager
async def running_host(
    state: Path, memory: Path, warden: Warden, shared: SharedLimits | None = None
) -> AsyncIterator[Runtime]:
    """A host and its listener; afterwards nothing of it may be left in `memory`, where private folders are made."""
    pcrs = {index: bytes([index + 1]) * 48 for index in range(3)}
    host = CapeHost(
        RootSecret(bytes(32)),
        SimulatedProducer(state, pcrs),
        warden,
        HandlerLimits(),
        classifier_checksum=CLASSIFIER,
        shared=shared,
    )
    draining = asyncio.Event()
    sessions: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        sessions.add(task)
        frame = await frames.read(reader)
        assert frame is not None
        try:
            await session.serve(host, frames.unpack(frame[1]), reader, writer, draining)
        except (TransportError, OSError) as error:
            running.ends.append(error)
        else:
            running.ends.append(None)
        finally:
            sessions.discard(task)
            writer.close()

    listener = await asyncio.start_server(handle, "127.0.0.1", 0)
    running = Runtime(host, listener.sockets[0].getsockname()[1], memory, draining)
    yield running
    listener.close()
    await eventually(lambda: not sessions)
    await within(host.aclose())
    assert content(memory) == []
    assert not handlers()


def content(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def handlers() -> list[int]:
    found = []
    # Not those of the enclaves that other tests have started: only this process runs the host here.
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "enclave_runtime.cape.handler" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child.pid)
    return found
