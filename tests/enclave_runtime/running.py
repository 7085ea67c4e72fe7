"""A running enclave server over loopback sockets, with workers on a fake function and simulated evidence."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blindsight.sealing import bhttp, keyconfig, ohttp
from blindsight.wire import frames
from blindsight.wire.protocol import FrameKind
from tests.enclave_runtime.workers.fake_function import call, within
from tests.support.dates import dated
from tests.support.policies import simulated_policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from blindsight.attestation import Policy
    from blindsight.sealing.keyconfig import KeyConfig
    from enclave_runtime.evidence.simulated import SimulatedProducer
    from enclave_runtime.function import Function
    from enclave_runtime.keys import LaneKeys
    from enclave_runtime.server import EnclaveServer
    from enclave_runtime.workers.pool import WorkerPool

MANIFEST = {
    "name": "tiny",
    "version": "7",
    "trained": False,
    "onnx": {"sha256": "ab" * 32},
    "labels": {"count": 1000, "file": "labels.txt"},
}
PCRS = {index: bytes([index + 1]) * 48 for index in range(3)}


class Peer:
    """A gateway's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, kind: FrameKind, payload: bytes = b"") -> None:
        self.writer.write(frames.encode(kind, payload))
        await self.writer.drain()

    async def receive(self) -> tuple[FrameKind, bytes] | None:
        return await within(frames.read(self.reader))

    async def ask(self, kind: FrameKind, payload: bytes = b"") -> tuple[FrameKind, dict[str, Any]]:
        """Ask for what is answered in CBOR."""
        await self.send(kind, payload)
        answer = await self.receive()
        assert answer is not None
        return answer[0], frames.unpack(answer[1])

    async def ended(self) -> bool:
        """Wait for the server to close without another byte."""
        return await within(self.reader.read()) == b""


@dataclass
class Enclave:
    """A running enclave, and the parts that a test looks at."""

    server: EnclaveServer
    function: Function
    producer: SimulatedProducer
    pool: WorkerPool
    keys: LaneKeys
    port: int

    @property
    def config(self) -> KeyConfig:
        return keyconfig.decode_list(self.keys.encoded_configs)[0]

    @property
    def policy(self) -> Policy:
        return simulated_policy(self.producer, PCRS, self.function.checksum, self.function.model_digest)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Peer]:
        peer = Peer(*await asyncio.open_connection("127.0.0.1", self.port))
        try:
            yield peer
        finally:
            peer.writer.close()
            await asyncio.gather(peer.writer.wait_closed(), return_exceptions=True)

    def seal(self, **members: Any) -> bytes:
        request = bhttp.Request("POST", "/classify", dated(), call(**members)).encode()
        return ohttp.encapsulate(self.config, request)[0]

    async def classify(self, peer: Peer, path: str = "/classify", **members: Any) -> bhttp.Response:
        sealed, opener = ohttp.encapsulate(self.config, bhttp.Request("POST", path, dated(), call(**members)).encode())
        await peer.send(FrameKind.SEALED_REQUEST, sealed)
        answer = await peer.receive()
        assert answer is not None
        assert answer[0] is FrameKind.SEALED_RESPONSE
        return bhttp.decode_response(opener.open(answer[1]))
