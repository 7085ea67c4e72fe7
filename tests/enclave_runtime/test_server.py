"""The enclave's server over loopback sockets, with workers on a fake function and simulated evidence."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.attestation import check_key_configs, check_model, verify
from blindsight.errors import EvidenceError
from blindsight.sealing import bhttp, keyconfig, ohttp
from blindsight.wire import frames
from blindsight.wire.protocol import FrameKind
from enclave_runtime.keys import LaneKeys
from tests.enclave_runtime.running import MANIFEST, Enclave
from tests.enclave_runtime.workers.fake_function import Gate, call, eventually, within
from tests.support.dates import dated

if TYPE_CHECKING:
    from enclave_runtime.confinement.warden import Warden

SECRET = "passport-number-4711"


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
        counts["account_root"] = quiet["account_root"]
        assert re.fullmatch("[0-9a-f]{32}", quiet["account_root"])
        assert quiet == {**counts, "key_configs_sha256": keys, "retired_key_ids": b""}
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


async def test_key_ids_of_others_are_left_to_them(enclave: Enclave):
    async with enclave.connection() as peer:
        _, evidence = await peer.ask(FrameKind.EVIDENCE_REQUEST, frames.pack({"nonce": None}))
        ids = bytes(config.key_id for config in keyconfig.decode_list(evidence["key_configs"]))
        digest = keyconfig.digest(evidence["key_configs"])
        free = bytes(set(range(256)) - set(ids))
        for question in (
            {"taken_key_ids": free, "key_configs_sha256": digest},
            {"taken_key_ids": ids, "key_configs_sha256": b""},
        ):
            _, status = await peer.ask(FrameKind.STATUS_REQUEST, frames.pack(question))
            assert status["key_configs_sha256"] == digest
        question = {"taken_key_ids": ids[:1], "key_configs_sha256": digest}
        _, status = await peer.ask(FrameKind.STATUS_REQUEST, frames.pack(question))
        _, evidence = await peer.ask(FrameKind.EVIDENCE_REQUEST, frames.pack({"nonce": None}))
        assert status["key_configs_sha256"] == keyconfig.digest(evidence["key_configs"]) != digest
        assert status["retired_key_ids"] == ids
        assert not {config.key_id for config in keyconfig.decode_list(evidence["key_configs"])} & set(ids)


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff",
        frames.pack({}),
        frames.pack({"taken_key_ids": b"\1"}),
        frames.pack({"taken_key_ids": [1], "key_configs_sha256": b""}),
        frames.pack({"taken_key_ids": "1", "key_configs_sha256": b""}),
        frames.pack({"taken_key_ids": b"\1", "key_configs_sha256": 1}),
        frames.pack({"taken_key_ids": bytes(257), "key_configs_sha256": b""}),
    ],
    ids=lambda payload: payload[:40].hex(),
)
async def test_a_status_request_of_another_form_is_refused(enclave: Enclave, payload: bytes):
    async with enclave.connection() as peer:
        _, before = await peer.ask(FrameKind.STATUS_REQUEST)
        assert await peer.ask(FrameKind.STATUS_REQUEST, payload) == (FrameKind.REFUSAL, {"code": "bad_frame"})
        assert await peer.ask(FrameKind.STATUS_REQUEST) == (FrameKind.STATUS, before)


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
