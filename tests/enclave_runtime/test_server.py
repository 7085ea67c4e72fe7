"""The enclave's server over loopback sockets, with workers on a fake function and simulated evidence."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import logging
import secrets
import socket
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import rfc8785

from blindsight.attestation import Policy, Release, check_key_configs, check_model, pcr16_extension, verify
from blindsight.errors import EvidenceError
from blindsight.receipts import ReceiptKey
from blindsight.sealing import bhttp, keyconfig, ohttp
from blindsight.wire import frames
from blindsight.wire.protocol import MAX_FRAME_BYTES, FrameKind
from enclave_runtime.cape.rootsecret import RootSecret
from enclave_runtime.cape.service import CapeService
from enclave_runtime.evidence.simulated import SimulatedProducer
from enclave_runtime.inner import InnerApi
from enclave_runtime.keys import LaneKeys
from enclave_runtime.server import EnclaveServer
from enclave_runtime.workers.pool import PoolLimits, WorkerPool
from tests.enclave_runtime.workers import fake_function
from tests.enclave_runtime.workers.fake_function import Gate, call, eventually, within
from tests.support.dates import dated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from blindsight.sealing.keyconfig import KeyConfig
    from enclave_runtime.confinement.warden import Warden
    from enclave_runtime.function import Function

MANIFEST = {
    "name": "tiny",
    "version": "7",
    "trained": False,
    "onnx": {"sha256": "ab" * 32},
    "labels": {"count": 1000, "file": "labels.txt"},
}
PCRS = {index: bytes([index + 1]) * 48 for index in range(3)}
SECRET = "passport-number-4711"


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
        release = Release(
            kind="simulated",
            roots=frozenset({self.producer.root_fingerprint}),
            pcrs={index: frozenset({value.hex()}) for index, value in PCRS.items()},
            function_checksums=frozenset({self.function.checksum.hex()}),
            model_digests=frozenset({self.function.model_digest.hex()}),
        )
        return Policy(releases=(release,))

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


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    async with Gate(fake_function.write(tmp_path).folder) as opened:
        yield opened


@pytest.fixture
async def enclave(tmp_path: Path, state: Path, warden: Warden) -> AsyncIterator[Enclave]:
    written = fake_function.write(tmp_path)
    (written.folder / "labels.txt").write_text("cat\ndog\n")
    function = replace(written, checksum=b"\x07" * 32, manifest=MANIFEST, canonical_manifest=rfc8785.dumps(MANIFEST))
    producer = SimulatedProducer(state, PCRS)
    producer.extend_pcr(16, pcr16_extension(function.checksum, function.model_digest))
    producer.lock_pcr(16)
    keys = LaneKeys()
    async with WorkerPool(function, warden, PoolLimits(workers=1, processors=1)) as pool:
        await within(pool.wait_started())
        cape = CapeService(
            RootSecret.load_or_create(state),
            producer,
            warden,
            call_seconds=60,
            memory_bytes=1 << 30,
            bundle_bytes=1 << 30,
            classifier_checksum=function.checksum,
        )
        receipt_key = ReceiptKey()
        api = InnerApi(function, pool, cape, receipt_key)
        server = EnclaveServer(
            function,
            keys,
            producer,
            pool=pool,
            confinement=warden.summary(),
            api=api,
            cape=cape,
            receipt_key=receipt_key.thumbprint,
        )
        listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
        try:
            yield Enclave(server, function, producer, pool, keys, listener.sockets[0].getsockname()[1])
        finally:
            listener.close()
            await server.drain(5)
            await listener.wait_closed()
            await cape.aclose()


async def test_the_evidence_verifies_and_covers_what_comes_with_it(enclave: Enclave):
    nonce = secrets.token_bytes(32)
    async with enclave.connection() as peer:
        kind, fields = await peer.ask(FrameKind.EVIDENCE_REQUEST, frames.pack({"nonce": nonce}))
    assert kind is FrameKind.EVIDENCE
    assert fields.keys() == {"version", "document", "key_configs", "model"}
    verified = verify(fields["document"], policy=enclave.policy, nonce=nonce, now=datetime.now(UTC))
    assert verified.kind == "simulated"
    check_key_configs(verified, fields["key_configs"])
    check_model(verified, fields["model"])
    assert verified.claims is not None
    assert verified.claims.func_checksum == enclave.function.checksum
    assert verified.claims.key_configs_sha256 == keyconfig.digest(fields["key_configs"])
    assert verified.document.public_key == keyconfig.decode_list(fields["key_configs"])[1].public_key
    assert json.loads(fields["model"]) == MANIFEST
    with pytest.raises(EvidenceError):
        verify(fields["document"], policy=enclave.policy, nonce=secrets.token_bytes(32), now=datetime.now(UTC))
    with pytest.raises(EvidenceError):
        check_key_configs(verified, LaneKeys().encoded_configs)


async def test_every_permitted_nonce_is_taken(enclave: Enclave):
    async with enclave.connection() as peer:
        for fields in ({"nonce": None}, {}, {"nonce": b""}, {"nonce": b"n" * 512}):
            kind, answer = await peer.ask(FrameKind.EVIDENCE_REQUEST, frames.pack(fields))
            assert kind is FrameKind.EVIDENCE
            assert isinstance(answer["document"], bytes)


async def test_a_bad_evidence_request_is_refused_and_the_next_is_answered(enclave: Enclave):
    async with enclave.connection() as peer:
        for payload in (
            frames.pack({"nonce": b"n" * 513}),
            frames.pack({"nonce": "text"}),
            frames.pack({"nonce": 5}),
            frames.pack({"nonce": b"n"}) + b"\0",
            b"",
            b"\xff",
        ):
            assert await peer.ask(FrameKind.EVIDENCE_REQUEST, payload) == (FrameKind.REFUSAL, {"code": "bad_frame"})
        assert (await peer.ask(FrameKind.EVIDENCE_REQUEST, frames.pack({"nonce": None})))[0] is FrameKind.EVIDENCE


async def test_a_sealed_request_is_answered_sealed(enclave: Enclave):
    async with enclave.connection() as peer:
        for value in ("first", "second"):
            response = await enclave.classify(peer, "/classify?top_k=2", value=value)
            assert response.status == 200
            body = json.loads(response.content)
            assert (body["value"], body["top_k"]) == (value, 2)
            assert body["model"]["digest"] == enclave.function.model_digest.hex()


async def test_every_offered_cipher_is_served(enclave: Enclave):
    async with enclave.connection() as peer:
        for suite in enclave.config.suites:
            request = bhttp.Request("POST", "/classify", dated(), call(value=suite.aead_id)).encode()
            sealed, opener = ohttp.encapsulate(enclave.config, request, suite=suite)
            await peer.send(FrameKind.SEALED_REQUEST, sealed)
            answer = await peer.receive()
            assert answer is not None
            content = bhttp.decode_response(opener.open(answer[1])).content
            assert json.loads(content)["value"] == suite.aead_id


async def test_what_cannot_be_opened_is_refused_in_the_open(enclave: Enclave):
    """RFC 9458, 5.2: before decapsulation there is nothing to seal an answer with."""
    sealed, _ = ohttp.encapsulate(enclave.config, bhttp.Request("POST", "/classify", dated()).encode())
    other_id = bytes([sealed[0] ^ 1]) + sealed[1:]
    for payload, code in (
        (other_id, "unknown_key"),
        (sealed[:5] + b"\xff\xff" + sealed[7:], "unknown_key"),
        (sealed[:-1] + bytes([sealed[-1] ^ 1]), "cannot_open"),
        (sealed[:7] + bytes(1120) + sealed[1127:], "cannot_open"),
        (sealed[:1] + secrets.token_bytes(100), "unknown_key"),
        (sealed[:20], "malformed_message"),
        (b"", "malformed_message"),
    ):
        async with enclave.connection() as peer:
            assert await peer.ask(FrameKind.SEALED_REQUEST, payload) == (FrameKind.REFUSAL, {"code": code})
            assert (await enclave.classify(peer, value=1)).status == 200


async def test_what_is_wrong_inside_is_said_inside(enclave: Enclave):
    cut = bhttp.Request("POST", "/", dated()).encode()[:-4]
    async with enclave.connection() as peer:
        for inner in (b"", b"\x05", b"not binary HTTP", bhttp.Response(200).encode(), cut):
            sealed, opener = ohttp.encapsulate(enclave.config, inner)
            await peer.send(FrameKind.SEALED_REQUEST, sealed)
            answer = await peer.receive()
            assert answer is not None
            assert answer[0] is FrameKind.SEALED_RESPONSE
            response = bhttp.decode_response(opener.open(answer[1]))
            assert (response.status, json.loads(response.content)["code"]) == (400, "bad_request")
            assert response.header("content-type") == "application/problem+json"


async def test_problems_are_sealed_too(enclave: Enclave):
    async with enclave.connection() as peer:
        for path, members, code in (
            ("/", {}, "not_found"),
            ("//[", {}, "not_found"),
            ("/classify?top_k=x", {}, "invalid_top_k"),
            ("/classify", {"do": "refuse", "code": "not_an_image", "detail": "No.", "limits": {}}, "not_an_image"),
            ("/classify", {"do": "fail"}, "internal"),
            ("/classify", {"do": "crash"}, "worker_lost"),
        ):
            response = await enclave.classify(peer, path, **members)
            assert json.loads(response.content)["code"] == code


async def test_the_status_counts(enclave: Enclave, gate: Gate, warden: Warden):
    async with enclave.connection() as peer, enclave.connection() as busy, enclave.connection() as queued:
        _, quiet = await peer.ask(FrameKind.STATUS_REQUEST)
        _, evidence = await peer.ask(FrameKind.EVIDENCE_REQUEST, frames.pack({"nonce": None}))
        keys = hashlib.sha256(evidence["key_configs"]).digest()
        counts: dict[str, Any] = {"ready": True, "workers": 1, "busy": 0, "queued": 0, "restarts": 0}
        counts["confinement"] = warden.summary()
        assert quiet == {**counts, "key_configs_sha256": keys}
        first = asyncio.create_task(enclave.classify(busy, gate=gate.name))
        await gate.arrived()
        second = asyncio.create_task(enclave.classify(queued))
        await eventually(lambda: enclave.pool.queued == 1)
        assert await peer.ask(FrameKind.STATUS_REQUEST) == (FrameKind.STATUS, {**quiet, "busy": 1, "queued": 1})
        await gate.open()
        await within(asyncio.gather(first, second))
        await enclave.classify(peer, do="crash")
        await eventually(lambda: enclave.pool.alive == 1)
        assert await peer.ask(FrameKind.STATUS_REQUEST) == (FrameKind.STATUS, {**quiet, "restarts": 1})


async def test_a_cape_question_is_answered_or_its_error_reported(enclave: Enclave):
    async with enclave.connection() as peer:
        kind, fields = await peer.ask(FrameKind.CAPE_CALL, frames.pack({"op": "user_key", "record": b"no record"}))
        assert (kind, fields["code"]) == (FrameKind.CAPE_ERROR, "damaged_record")
        for payload in (frames.pack({"op": "user_key"}), frames.pack({}), frames.pack({"op": SECRET}), b"\xff"):
            assert await peer.ask(FrameKind.CAPE_CALL, payload) == (FrameKind.REFUSAL, {"code": "bad_frame"})


async def test_a_cape_session_has_its_connection_to_itself(enclave: Enclave):
    """Refused or not, it is no connection for questions any more."""
    async with enclave.connection() as peer:
        kind, fields = await peer.ask(FrameKind.CAPE_OPEN, frames.pack({"route": "key", "token": "", "record": b""}))
        assert (kind, fields["code"]) == (FrameKind.CAPE_ERROR, "damaged_record")
        await peer.send(FrameKind.STATUS_REQUEST)
        await enclave.server.drain(5)
        assert await peer.ended()


async def test_an_answer_is_no_question(enclave: Enclave):
    async with enclave.connection() as peer:
        for kind in (
            FrameKind.EVIDENCE,
            FrameKind.SEALED_RESPONSE,
            FrameKind.STATUS,
            FrameKind.REFUSAL,
            FrameKind.CAPE_ANSWER,
            FrameKind.CAPE_INPUT,
        ):
            assert await peer.ask(kind, b"\xa0") == (FrameKind.REFUSAL, {"code": "bad_frame"})


async def test_a_question_out_of_turn_ends_the_connection(enclave: Enclave, gate: Gate):
    sealed, _ = ohttp.encapsulate(
        enclave.config, bhttp.Request("POST", "/classify", dated(), call(gate=gate.name)).encode()
    )
    async with enclave.connection() as peer, enclave.connection() as other:
        await peer.send(FrameKind.SEALED_REQUEST, sealed)
        await gate.arrived()
        await peer.send(FrameKind.STATUS_REQUEST)
        assert await peer.ended()
        await gate.open()
        assert (await enclave.classify(other, value="still served")).status == 200


async def test_two_questions_at_once_end_the_connection_however_quick_the_answer(enclave: Enclave):
    """The server has read into the second by then: to go on would be to read frames from their middle."""
    async with enclave.connection() as peer:
        peer.writer.write(frames.encode(FrameKind.STATUS_REQUEST) * 2)
        assert await peer.ended()


async def test_the_beginning_of_a_second_question_ends_the_connection_too(enclave: Enclave, gate: Gate):
    sealed, _ = ohttp.encapsulate(
        enclave.config, bhttp.Request("POST", "/classify", dated(), call(gate=gate.name)).encode()
    )
    async with enclave.connection() as peer:
        await peer.send(FrameKind.SEALED_REQUEST, sealed)
        await gate.arrived()
        # Its head alone: a peer must not have the enclave keep a second message beside the first.
        peer.writer.write(struct.pack(">IB", MAX_FRAME_BYTES, FrameKind.SEALED_REQUEST))
        assert await peer.ended()
        await gate.open()


async def test_a_question_that_fails_for_want_of_memory_ends_its_connection_alone(
    enclave: Enclave, monkeypatch: pytest.MonkeyPatch
):
    def no_memory(*_: object) -> bytes:
        raise MemoryError

    async with enclave.connection() as peer, enclave.connection() as other:
        with monkeypatch.context() as patched:
            patched.setattr(enclave.keys, "open", no_memory)
            await peer.send(FrameKind.SEALED_REQUEST, enclave.seal())
            assert await peer.ended()
        assert (await enclave.classify(other, value="still served")).status == 200


async def test_who_hangs_up_gives_a_waiting_question_up(enclave: Enclave, gate: Gate):
    async with enclave.connection() as busy:
        running = asyncio.create_task(enclave.classify(busy, gate=gate.name, value="mine"))
        await gate.arrived()
        sealed = enclave.seal()
        async with enclave.connection() as impatient:
            await impatient.send(FrameKind.SEALED_REQUEST, sealed)
            await eventually(lambda: enclave.pool.queued == 1)
        await eventually(lambda: enclave.pool.queued == 0)
        await gate.open()
        assert json.loads((await within(running)).content)["calls"] == 1
        assert json.loads((await enclave.classify(busy)).content)["calls"] == 2


async def test_who_hangs_up_during_the_call_costs_no_worker(enclave: Enclave, gate: Gate):
    sealed, _ = ohttp.encapsulate(
        enclave.config, bhttp.Request("POST", "/classify", dated(), call(gate=gate.name)).encode()
    )
    async with enclave.connection() as impatient:
        await impatient.send(FrameKind.SEALED_REQUEST, sealed)
        await gate.arrived()
    await eventually(lambda: not enclave.server._connections)
    await gate.open()
    async with enclave.connection() as peer:
        assert json.loads((await enclave.classify(peer)).content)["calls"] == 2
    assert enclave.pool.restarts == 0


async def test_a_connection_reset_is_no_error_of_ours(enclave: Enclave, gate: Gate, caplog: pytest.LogCaptureFixture):
    sealed, _ = ohttp.encapsulate(
        enclave.config, bhttp.Request("POST", "/classify", dated(), call(gate=gate.name)).encode()
    )
    async with enclave.connection() as peer:
        await peer.send(FrameKind.SEALED_REQUEST, sealed)
        await gate.arrived()
        # A zero linger time makes closing a reset (socket(7)).
        peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.writer.transport.abort()
        await eventually(lambda: not enclave.server._connections)
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.INFO] == []


async def test_what_is_no_frame_ends_the_connection_unanswered(enclave: Enclave):
    for sent in (
        struct.pack(">IB", MAX_FRAME_BYTES + 1, FrameKind.SEALED_REQUEST),
        struct.pack(">IB", 0, FrameKind.SEALED_REQUEST),
        struct.pack(">IB", 1, 99),
        b"GET / HTTP/1.1\r\nHost: enclave\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS ClientHello
    ):
        async with enclave.connection() as peer:
            peer.writer.write(sent)
            assert await peer.ended()


async def test_a_frame_cut_short_ends_the_connection_unanswered(enclave: Enclave):
    async with enclave.connection() as peer:
        peer.writer.write(frames.encode(FrameKind.STATUS_REQUEST, b"12345678")[:-1])
        peer.writer.write_eof()
        assert await peer.ended()


async def test_a_drain_lets_answers_finish_and_takes_nothing_new(enclave: Enclave, gate: Gate):
    async with enclave.connection() as busy, enclave.connection() as idle:
        running = asyncio.create_task(enclave.classify(busy, gate=gate.name, value="finished"))
        await gate.arrived()
        assert (await idle.ask(FrameKind.STATUS_REQUEST))[1]["ready"] is True
        draining = asyncio.create_task(enclave.server.drain(20))
        assert await idle.ended()
        async with enclave.connection() as late:
            # Asked or not, a connection that comes now is closed.
            assert await late.ended()
        assert not draining.done()
        assert enclave.server._status()["ready"] is False
        await gate.open()
        assert json.loads((await within(running)).content)["value"] == "finished"
        assert await busy.ended()
        await within(draining)


async def test_a_drain_waits_only_so_long(enclave: Enclave, gate: Gate):
    sealed, _ = ohttp.encapsulate(
        enclave.config, bhttp.Request("POST", "/classify", dated(), call(gate=gate.name)).encode()
    )
    async with enclave.connection() as peer:
        await peer.send(FrameKind.SEALED_REQUEST, sealed)
        await gate.arrived()
        await within(enclave.server.drain(0.05), 5)
        assert await peer.ended()


async def test_fifty_connections_get_their_own_answers(enclave: Enclave):
    async def exchange(number: int) -> None:
        async with enclave.connection() as peer:
            for turn in range(2):
                response = await enclave.classify(peer, value=[number, turn])
                assert json.loads(response.content)["value"] == [number, turn]

    await within(asyncio.gather(*(exchange(number) for number in range(50))), 60)
    await eventually(lambda: not enclave.server._connections)
    assert (enclave.pool.busy, enclave.pool.queued, enclave.pool.restarts) == (0, 0, 0)


async def test_nothing_of_a_request_is_logged(enclave: Enclave, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG):
        async with enclave.connection() as peer:
            for members in ({}, {"do": "fail"}, {"do": "crash"}, {"do": "fail strangely", "name": SECRET}):
                await enclave.classify(peer, f"/classify?{SECRET}", secret=SECRET, **members)
            await enclave.classify(peer, f"/{SECRET}")
            peer.writer.write(SECRET.encode())
            assert await peer.ended()
    assert caplog.records
    assert SECRET not in "".join(str(vars(record)) for record in caplog.records)
