"""Connections to the enclave's server: out of turn, hung up, cut, drained, many at once."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import socket
import struct
from typing import TYPE_CHECKING

from blindsight.wire import frames
from blindsight.wire.protocol import MAX_FRAME_BYTES, FrameKind
from tests.enclave_runtime.workers.fake_function import Gate, eventually, within

if TYPE_CHECKING:
    import pytest

    from tests.enclave_runtime.running import Enclave


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
    sealed = enclave.seal(gate=gate.name)
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
    sealed = enclave.seal(gate=gate.name)
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
    sealed = enclave.seal(gate=gate.name)
    async with enclave.connection() as impatient:
        await impatient.send(FrameKind.SEALED_REQUEST, sealed)
        await gate.arrived()
    await eventually(lambda: not enclave.server._connections)
    await gate.open()
    async with enclave.connection() as peer:
        assert json.loads((await enclave.classify(peer)).content)["calls"] == 2
    assert enclave.pool.restarts == 0


async def test_a_connection_reset_is_no_error_of_ours(enclave: Enclave, gate: Gate, caplog: pytest.LogCaptureFixture):
    sealed = enclave.seal(gate=gate.name)
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
    sealed = enclave.seal(gate=gate.name)
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
