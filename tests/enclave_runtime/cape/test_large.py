"""Large inputs and results: whole, and in steps that are short for all others in the event loop.

A step may take what the test's own end of a connection takes, which is in the same loop.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from blindsight.cape import envelope
from blindsight.wire import cape
from blindsight.wire.protocol import FrameKind
from tests.enclave_runtime.cape.session_runtime import ADA
from tests.support.cape_guest import sealed
from tests.support.fake_cape_host import rsa_key
from tests.support.loopwatch import watched
from tests.support.refusals import refused

if TYPE_CHECKING:
    from tests.enclave_runtime.cape.session_runtime import Peer, Runtime

MIB = 1 << 20
LONGEST_STEP = 0.05
"""Seconds of processor time, several times what any takes; the old ones took half a second and more."""


async def pieces(peer: Peer) -> list[bytes]:
    """The next text, as it comes."""
    received, last = [], False
    while not last:
        content, last = cape.split(await peer.receive_frame(FrameKind.CAPE_TEXT))
        received.append(content)
    return received


async def test_a_result_of_64_mib_comes_in_short_steps(runtime: Runtime) -> None:
    async with runtime.running() as peer:
        await peer.invoke(b"warm")
        await peer.output()
        with watched() as watch:
            await peer.invoke(b"zeros %d" % (64 * MIB))
            received = await pieces(peer)
        assert watch.longest < LONGEST_STEP, watch
        assert max(map(len, received)) <= MIB
        message = json.loads(b"".join(received))["message"]
        assert base64.b64decode(message["message"]) == bytes(64 * MIB)


@pytest.mark.parametrize("encrypted", [False, True])
async def test_an_input_of_60_mib_is_taken_in_short_steps(runtime: Runtime, *, encrypted: bool) -> None:
    size = (40 if encrypted else 60) * MIB
    plaintext = b"length" + bytes(size)
    value = envelope.encrypt(rsa_key("ada").public_key(), plaintext) if encrypted else plaintext
    async with runtime.running() as peer:
        await peer.invoke(b"warm")
        await peer.output()
        frames = list(cape.pieces(FrameKind.CAPE_INPUT, sealed(peer.key, value)))
        with watched() as watch:
            for frame in frames:
                peer.writer.write(frame)
                await peer.writer.drain()
            assert await peer.output() == b"%d" % len(plaintext)
        assert watch.longest < LONGEST_STEP, watch


async def test_a_large_input_for_another_key_is_refused(runtime: Runtime) -> None:
    async with runtime.running() as peer:
        key = peer.key
        peer.key = bytes(31) + b"\x09"
        await peer.invoke(bytes(3 * MIB))
        with refused("cannot_decrypt"):
            await peer.output()
        peer.key = key
        await peer.invoke(b"hello")
        assert await peer.output() == b"hello"


async def test_a_deployments_long_text_is_refused_in_a_short_step(runtime: Runtime) -> None:
    token = ADA.token("deploy", func_checksum="00" * 32, function_name="fn", public=False)
    async with runtime.open(route="deploy", token=token, record=runtime.record(ADA)) as peer:
        await peer.wanted()
        await peer.attested()
        text = b'{"message": {"function_name": [' + b"1," * (7 * MIB // 4) + b"1]}}"
        with watched() as watch:
            await peer.send(FrameKind.CAPE_DEPLOYMENT, text)
            with refused("malformed_frame"):
                await peer.receive(FrameKind.CAPE_DEPLOYED)
        assert watch.longest < LONGEST_STEP, watch
