"""What a host that has every frame can do with them again: nothing.

Each input is answered once, and each answer names what it is the answer to.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from blindsight.wire.protocol import FrameKind
from enclave_runtime.cape import inputs
from tests.enclave_runtime.cape.session_runtime import ADA, ARCHIVE, CHECKSUM, deploy_token
from tests.support.cape_guest import sealed
from tests.support.refusals import refused

if TYPE_CHECKING:
    from tests.enclave_runtime.cape.session_runtime import Peer, Runtime

LARGE = bytes(3_000_000)


async def message(peer: Peer) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(await peer.receive(FrameKind.CAPE_TEXT))["message"]
    return content


@pytest.mark.parametrize("plaintext", [b"", b"once", LARGE], ids=len)
async def test_an_input_is_taken_once(runtime: Runtime, plaintext: bytes) -> None:
    async with runtime.running() as peer:
        frame = sealed(peer.key, plaintext)
        await peer.send_long(FrameKind.CAPE_INPUT, frame)
        assert await peer.output() == plaintext
        for _ in range(2):
            await peer.send_long(FrameKind.CAPE_INPUT, frame)
            with refused("replayed"):
                await peer.output()
        # The same plaintext sealed anew is another input, and the session goes on.
        await peer.invoke(plaintext)
        assert await peer.output() == plaintext


async def test_an_input_that_failed_is_taken_no_second_time(runtime: Runtime) -> None:
    async with runtime.running() as peer:
        frame = sealed(peer.key, b"fail")
        for code in ("function_failed", "replayed"):
            await peer.send_long(FrameKind.CAPE_INPUT, frame)
            with refused(code):
                await peer.output()


async def test_what_does_not_open_uses_nothing_up(runtime: Runtime) -> None:
    """A host that damages an input on its way has not answered it."""
    async with runtime.running() as peer:
        frame = sealed(peer.key, b"whole")
        await peer.send_long(FrameKind.CAPE_INPUT, frame[:-1] + bytes([frame[-1] ^ 1]))
        with refused("cannot_decrypt"):
            await peer.output()
        await peer.send_long(FrameKind.CAPE_INPUT, frame)
        assert await peer.output() == b"whole"


async def test_anothers_sessions_inputs_do_not_open(runtime: Runtime) -> None:
    async with runtime.running() as first, runtime.running() as second:
        frame = sealed(first.key, b"of the first")
        await second.send_long(FrameKind.CAPE_INPUT, frame)
        with refused("cannot_decrypt"):
            await second.output()


async def test_a_tests_code_is_no_input_to_itself(runtime: Runtime) -> None:
    async with runtime.open(route="test", token=ADA.token("run"), record=runtime.record(ADA)) as peer:
        await peer.wanted()
        await peer.attested()
        frame = sealed(peer.key, ARCHIVE)
        for _ in range(2):
            await peer.send_long(FrameKind.CAPE_INPUT, frame)
        with refused("replayed"):
            await peer.output()


async def test_the_memory_of_a_session_has_an_end(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "MAX_INPUTS", 3)
    async with runtime.running() as peer:
        for _ in range(3):
            await peer.invoke(b"x")
            assert await peer.output() == b"x"
        await peer.invoke(b"x")
        with refused("too_large"):
            await peer.output()


def verify(document_user_data: bytes | None, content: dict[str, Any], **changes: str) -> None:
    """Check the second signature of a result, as the documentation says. Raises `InvalidSignature`."""
    claims = json.loads(document_user_data or b"")
    assert claims["result_binding"] == "blindsight-result/1"
    key: Any = serialization.load_der_public_key(base64.b64decode(claims["signature_verification_public_key"]))
    members = {"binding": claims["result_binding"], **content["bound"], **content["checksums"], **changes}
    signed = json.dumps(members, separators=(",", ":")).encode() + b"\n"
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
    key.verify(base64.b64decode(content["signed_bound"]), signed, pss, hashes.SHA256())


def b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


async def test_a_result_names_its_session_and_its_input(runtime: Runtime) -> None:
    async with runtime.running() as peer:
        frame = sealed(peer.key, b"hello")
        await peer.send_long(FrameKind.CAPE_INPUT, frame)
        content = await message(peer)
    assert content["bound"] == {"session": b64(peer.key), "sealed_input": b64(hashlib.sha256(frame).digest())}
    assert content["checksums"]["function"] == b64(CHECKSUM)
    assert peer.document is not None
    verify(peer.document.user_data, content)
    for name in ("session", "sealed_input", "output", "binding"):
        with pytest.raises(InvalidSignature):
            verify(peer.document.user_data, content, **{name: b64(bytes(32))})


async def test_a_tests_result_does_too(runtime: Runtime) -> None:
    async with runtime.open(route="test", token=deploy_token(), record=runtime.record(ADA)) as peer:
        await peer.wanted()
        document = await peer.attested()
        frame = sealed(peer.key, b"hello")
        await peer.invoke(ARCHIVE)
        await peer.send_long(FrameKind.CAPE_INPUT, frame)
        content = await message(peer)
    assert content["bound"]["sealed_input"] == b64(hashlib.sha256(frame).digest())
    verify(document.user_data, content)
