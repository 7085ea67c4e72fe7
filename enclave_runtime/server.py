"""The enclave's server: it answers frames of gateways, one at a time on each connection (`blindsight/wire`)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from blindsight.attestation.claims import Claims
from blindsight.errors import SealingError, TransportError
from blindsight.sealing import keyconfig
from blindsight.wire import frames, version
from blindsight.wire.protocol import MAX_KEY_IDS, MAX_NONCE_BYTES, FrameKind
from enclave_runtime import threads

if TYPE_CHECKING:
    from enclave_runtime.cape.service import CapeService
    from enclave_runtime.evidence.producer import EvidenceProducer
    from enclave_runtime.function import Function
    from enclave_runtime.inner import InnerApi
    from enclave_runtime.keys import LaneKeys
    from enclave_runtime.workers.pool import WorkerPool

_log = logging.getLogger(__name__)


class EnclaveServer:
    """Answers requests for evidence and status, and encrypted requests. It has the keys, and does not decode images."""

    def __init__(
        self,
        function: Function,
        keys: LaneKeys,
        producer: EvidenceProducer,
        *,
        pool: WorkerPool,
        confinement: dict[str, Any],
        api: InnerApi,
        cape: CapeService | None,
        receipt_key: bytes,
    ) -> None:
        """`cape` is None in the variant without Cape.

        `confinement` becomes part of the status. `receipt_key` is the thumbprint (RFC 7638, SHA-256, 32 bytes) of the
        key that signs receipts.
        """
        self._cape = cape
        self._keys = keys
        self._producer = producer
        self._pool = pool
        self._confinement = confinement
        self._api = api
        self._function = function
        self._receipt_key = receipt_key
        self._connections: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.Task[None]] = set()
        """Connections without an open request."""
        self._draining = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends: the callback of `asyncio.start_server`."""
        connection = asyncio.current_task()
        assert connection is not None  # noqa: S101 -- a callback always runs in a task
        self._connections.add(connection)
        self._idle.add(connection)
        answering: asyncio.Task[None] | None = None
        try:
            # Read on while a request is processed: if the peer closes the connection, the request is cancelled; if it
            # sends another one, the connection is closed.
            while not self._draining.is_set() and (head := await frames.read_head(reader)) is not None:
                if answering is not None and not answering.done():
                    break
                payload = await frames.read_payload(reader, head[1])
                await writer.drain()
                self._idle.discard(connection)
                if head[0] is FrameKind.CAPE_OPEN and self._cape is not None:
                    await self._cape.serve(bytes(payload), reader, writer, self._draining)
                    break
                answering = asyncio.create_task(self._reply(connection, head[0], payload, writer))
        except (TransportError, OSError):
            _log.info("connection dropped")
        except asyncio.CancelledError:
            if not self._draining.is_set():
                raise
        finally:
            self._connections.discard(connection)
            self._idle.discard(connection)
            if answering is not None:
                answering.cancel()
            writer.close()

    async def drain(self, seconds: float) -> None:
        """Accept no more requests, and wait at most `seconds` for the running ones; then cancel them."""
        self._draining.set()
        for connection in self._idle:
            connection.cancel()
        if self._connections:
            await asyncio.wait(set(self._connections), timeout=seconds)
        for connection in self._connections:
            connection.cancel()

    async def _reply(
        self,
        connection: asyncio.Task[None],
        kind: FrameKind,
        payload: bytes | memoryview,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Answer one request. Without an answer, or while the server drains, close the connection."""
        goes_on = False
        try:
            # `handle` waits until the peer has read the answer before it processes the next request.
            writer.write(await self._answer(kind, payload))
            goes_on = not self._draining.is_set()
        finally:
            if goes_on:
                self._idle.add(connection)
            else:
                writer.close()

    async def _answer(self, kind: FrameKind, payload: bytes | memoryview) -> bytes:
        try:
            match kind:
                case FrameKind.SEALED_REQUEST:
                    return frames.encode(FrameKind.SEALED_RESPONSE, await self._answer_sealed(payload))
                case FrameKind.EVIDENCE_REQUEST:
                    return frames.encode(FrameKind.EVIDENCE, frames.pack(self._evidence(bytes(payload))))
                case FrameKind.CAPE_CALL if self._cape is not None:
                    return await self._cape.answer(bytes(payload))
                case FrameKind.GATEWAY_HELLO:
                    # `enclave_runtime.access` has checked the proof, or the enclave requires none.
                    return frames.encode(FrameKind.GATEWAY_ADMITTED)
                case FrameKind.STATUS_REQUEST:
                    self._avoid(bytes(payload))
                    return frames.encode(FrameKind.STATUS, frames.pack(self._status()))
                case _:
                    raise TransportError("bad_frame", "This frame is not a question.")
        except (SealingError, TransportError) as error:
            return frames.encode(FrameKind.REFUSAL, frames.pack({"code": error.code}))

    async def _answer_sealed(self, payload: bytes | memoryview) -> bytes:
        opened = await threads.apart_if_long(self._keys.open, payload)
        return opened.sealer.seal(await self._api.respond(opened))

    def _evidence(self, payload: bytes) -> dict[str, Any]:
        fields = frames.unpack(payload)
        version.check(fields)
        nonce = fields.get("nonce")
        if nonce is not None and not (isinstance(nonce, bytes) and len(nonce) <= MAX_NONCE_BYTES):
            raise TransportError("bad_frame", "A nonce is at most 512 bytes.")
        # Read once, because the keys may be replaced between two reads.
        configs, public_key = self._keys.published
        claims = Claims(
            func_checksum=self._function.checksum,
            key_configs_sha256=keyconfig.digest(configs),
            model_sha256=self._function.model_digest,
            receipt_key_sha256=self._receipt_key,
        )
        document = self._producer.attest(nonce=nonce, user_data=claims.to_json(), public_key=public_key)
        answer = {"document": document, "key_configs": configs, "model": self._function.canonical_manifest}
        return {**answer, version.MEMBER: version.VERSION}

    def _avoid(self, payload: bytes) -> None:
        """Leave the key ids of other enclaves to them."""
        if not payload:
            return
        fields = frames.unpack(payload)
        known, taken = fields.get("key_configs_sha256"), fields.get("taken_key_ids")
        if not (isinstance(known, bytes) and isinstance(taken, bytes) and len(taken) <= MAX_KEY_IDS):
            raise TransportError("bad_frame", "There are at most 256 key ids, a byte each.")
        self._keys.avoid(frozenset(taken), of=known)

    def _status(self) -> dict[str, Any]:
        return {
            "ready": self._pool.alive > 0 and not self._draining.is_set(),
            "workers": self._pool.alive,
            "busy": self._pool.busy,
            "queued": self._pool.queued,
            "restarts": self._pool.restarts,
            "confinement": self._confinement,
            "key_configs_sha256": keyconfig.digest(self._keys.encoded_configs),
            "retired_key_ids": self._keys.retired_ids,
            "account_root": self._cape.root_identity if self._cape else None,
        }
