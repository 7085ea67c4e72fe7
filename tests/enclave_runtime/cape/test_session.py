"""Sessions of Cape clients against a real listener: in order, in turn, and ended when they should be."""

from __future__ import annotations

import base64
import contextlib
import json
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.cape import envelope, ids
from blindsight.errors import TransportError
from blindsight.wire import frames
from blindsight.wire.protocol import FrameKind
from enclave_runtime.cape import session
from tests.enclave_runtime.cape.session_runtime import (
    ADA,
    ARCHIVE,
    BOB,
    CHECKSUM,
    CLASSIFIER,
    PRIVATE,
    PUBLIC,
    Peer,
    Runtime,
    deploy_token,
    handlers,
    key_of,
)
from tests.enclave_runtime.workers.fake_function import eventually
from tests.support.cape_guest import enveloped, sealed, zipped
from tests.support.fake_cape_host import rsa_key
from tests.support.refusals import refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


async def test_inputs_sent_ahead_are_answered_in_order(runtime: Runtime):
    async with runtime.running() as peer:
        values = [b"%d" % number * (1 + number * 400_000) for number in range(5)]
        for value in values:
            await peer.invoke(value)
        assert [await peer.output() for _ in values] == values
        await peer.invoke(b"")
        assert await peer.output() == b""
    await eventually(lambda: runtime.ends == [None])


async def test_the_document_names_the_function_and_each_session_has_a_key_of_its_own(runtime: Runtime):
    keys = set()
    for _ in range(2):
        async with runtime.running() as peer:
            document = await _again(peer)
            keys.add(document)
    assert len(keys) == 2
    async with runtime.open(
        route="run", token=ADA.token("run"), record=runtime.record(ADA), owner_record=runtime.record(ADA),
        function_id=PRIVATE,
    ) as peer:  # fmt: skip
        assert not await peer.wanted()  # At hand by now.
        document = await peer.attested(b"n" * 512)
        claims = json.loads(document.user_data or b"")
        assert base64.b64decode(claims["func_checksum"]) == CHECKSUM
        assert claims.keys() == {"func_checksum", "python", "signature_verification_public_key", "result_binding"}


async def _again(peer: Peer) -> bytes:
    await peer.invoke(b"x")
    assert await peer.output() == b"x"
    return peer.key


async def test_one_input_that_fails_is_one_error(runtime: Runtime, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(session, "MAX_INPUT_BYTES", 3_000_000)
    async with runtime.running() as peer:
        await peer.invoke(b"life")
        before = await peer.output()
        sent: list[tuple[bytes, str]] = [
            (sealed(peer.key, b"fail"), "function_failed"),
            (sealed(peer.key, b"cape:AAAA"), "cannot_decrypt"),
            (sealed(peer.key, envelope.encrypt(rsa_key("bob").public_key(), b"x")), "cannot_decrypt"),
            (sealed(b"\x09" + bytes(31), b"x"), "cannot_decrypt"),
            (b"", "cannot_decrypt"),
            (bytes(32), "cannot_decrypt"),
            (bytes(3_000_001), "too_large"),
        ]
        for content, code in sent:
            await peer.send_long(FrameKind.CAPE_INPUT, content)
            with refused(code) as caught:
                await peer.output()
            assert "secret" not in str(caught.value)
        await peer.invoke(b"life")
        assert await peer.output() == before


async def test_a_ciphertext_for_the_owner_is_opened_first(runtime: Runtime):
    async with runtime.running() as peer:
        await peer.invoke(envelope.encrypt(rsa_key("ada").public_key(), b"plaintext") + b"\n")
        assert await peer.output() == b"plaintext"


async def test_a_function_that_ends_itself_is_started_anew_for_the_next_input(runtime: Runtime):
    async with runtime.running() as peer:
        await peer.invoke(b"life")
        before = await peer.output()
        await peer.invoke(b"exit")
        await peer.invoke(b"life")
        with refused("function_lost"):
            await peer.output()
        assert await peer.output() not in {before, b""}


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("token_invalid", {"token": BOB.token("run", username="ada")}),
    ("token_invalid", {"token": BOB.token("run")}),
    ("token_invalid", {"token": ""}),
    ("forbidden", {"token": ADA.token("deploy")}),
    ("forbidden", {"token": ADA.token("run", function_id=PUBLIC)}),
    ("unknown_function", {"function_id": PUBLIC}),
    ("damaged_record", {"record": b"x"}),
    ("damaged_record", {"owner_record": b""}),
]


@pytest.mark.parametrize(("code", "changes"), REFUSED, ids=[str(number) for number in range(len(REFUSED))])
async def test_who_may_not_run_it_gets_no_further(runtime: Runtime, code: str, changes: dict[str, Any]):
    opening = {
        "route": "run", "token": ADA.token("run"), "record": runtime.record(ADA), "owner_record": runtime.record(ADA),
        "function_id": PRIVATE, **changes,
    }  # fmt: skip
    async with runtime.open(**opening) as peer:
        with refused(code):
            await peer.wanted()
        await peer.send(FrameKind.CAPE_NONCE, b"still there?")
    await eventually(lambda: runtime.ends == [None])
    assert not handlers()


async def test_a_revoked_token_and_an_old_record_get_no_further(runtime: Runtime):
    token_id = ids.new()
    async with runtime.open(
        route="key", token=ADA.token(token_id=token_id), record=runtime.record(ADA, revoked={token_id: None})
    ) as peer:
        with refused("token_revoked"):
            await peer.wanted()
    runtime.host.vault.commit(runtime.record(ADA, version=2))
    async with runtime.open(route="key", token=ADA.token(), record=runtime.record(ADA)) as peer:
        with refused("stale_record"):
            await peer.wanted()


@pytest.mark.parametrize(
    "opening",
    [
        {},
        {"route": "run"},
        {"route": "no such", "token": "x"},
        {"route": "run", "token": ADA.token("run")},
        {"route": "key", "token": 5},
    ],
    ids=["nothing", "no token", "no such route", "no record", "no text"],
)
async def test_what_opens_no_session_ends_the_connection(runtime: Runtime, opening: dict[str, Any]):
    if "token" in opening:
        opening = {**opening, "record": runtime.record(ADA)}
    async with runtime.open(**opening) as peer:
        assert await peer.hung_up()
    (end,) = runtime.ends
    assert isinstance(end, TransportError)


@pytest.mark.parametrize(
    "frame",
    [
        (FrameKind.CAPE_INPUT, b"\x01x"),
        (FrameKind.CAPE_FUNCTION, b"\x01x"),
        (FrameKind.CAPE_OPEN, b"\xa0"),
        (FrameKind.STATUS_REQUEST, b""),
        (FrameKind.CAPE_DEPLOYMENT, b"{}"),
        (FrameKind.CAPE_NONCE, b"n" * 513),
    ],
    ids=str,
)
async def test_a_frame_out_of_turn_ends_the_session(runtime: Runtime, frame: tuple[FrameKind, bytes]):
    async with runtime.open(route="key", token=ADA.token(), record=runtime.record(ADA)) as peer:
        await peer.wanted()
        await peer.send(*frame)
        assert await peer.hung_up()
    (end,) = runtime.ends
    assert isinstance(end, TransportError)


async def test_a_frame_out_of_turn_between_inputs_ends_the_session(runtime: Runtime):
    async with runtime.running() as peer:
        await _again(peer)
        await peer.send(FrameKind.CAPE_NONCE, b"again")
        assert await peer.hung_up()
    (end,) = runtime.ends
    assert isinstance(end, TransportError)


async def test_a_piece_that_is_none_ends_the_session(runtime: Runtime):
    async with runtime.running() as peer:
        await peer.send(FrameKind.CAPE_INPUT, b"\x05")
        assert await peer.hung_up()


@pytest.mark.parametrize(
    ("bundle", "code"),
    [
        (enveloped(key_of(ADA), zipped("other = 1\n")), "checksum_mismatch"),
        (enveloped(key_of(ADA), ARCHIVE)[:-1], "cannot_decrypt"),
        (enveloped(key_of(BOB), ARCHIVE), "cannot_decrypt"),
        (ARCHIVE, "cannot_decrypt"),
        (b"", "cannot_decrypt"),
    ],
    ids=["another", "cut", "for another", "open", "empty"],
)
async def test_a_host_that_brings_another_function_is_found_out(runtime: Runtime, bundle: bytes, code: str):
    opening = {"owner_record": runtime.record(ADA), "function_id": PRIVATE}
    async with runtime.open(route="run", token=ADA.token("run"), record=runtime.record(ADA), **opening) as peer:
        assert await peer.wanted()
        await peer.send_long(FrameKind.CAPE_FUNCTION, bundle)
        with refused(code):
            await peer.wanted()
    async with runtime.running() as peer:
        await _again(peer)


async def test_hanging_up_ends_the_process_at_once(runtime: Runtime):
    async with runtime.running() as peer, runtime.gate() as gate:
        await peer.invoke(b"wait")
        await gate.arrived()
        await eventually(lambda: len(handlers()) == 2)
        peer.writer.close()
        await eventually(lambda: len(handlers()) == 1)
    await eventually(lambda: runtime.ends == [None])


async def test_hanging_up_is_noticed_behind_any_number_of_inputs(runtime: Runtime):
    """They are read ahead only so far while one is at work."""
    async with runtime.running() as peer, runtime.gate() as gate:
        await peer.invoke(b"wait")
        await gate.arrived()
        await eventually(lambda: len(handlers()) == 2)
        for _ in range(30):
            await peer.invoke(b"x" * 100_000)
        peer.writer.close()
        await eventually(lambda: len(handlers()) == 1)
    await eventually(lambda: runtime.ends == [None])


async def test_a_drain_ends_idle_sessions_at_once_and_running_ones_after_their_answer(runtime: Runtime):
    async with contextlib.AsyncExitStack() as stack:
        idle = await stack.enter_async_context(runtime.running())
        await _again(idle)
        told = await stack.enter_async_context(runtime.open(route="key", token="", record=b""))
        with refused("damaged_record"):
            await told.wanted()
        opened = await stack.enter_async_context(
            runtime.open(route="deploy", token=deploy_token(), record=runtime.record(ADA))
        )
        await opened.wanted()
        busy = await stack.enter_async_context(runtime.running())
        async with runtime.gate() as gate:
            await busy.invoke(b"wait")
            await gate.arrived()
            runtime.draining.set()
            for peer in (idle, told, opened):
                assert await peer.hung_up()
            assert len(runtime.ends) == 3
            await gate.open()
        assert await busy.output() == b"wait"
        assert await busy.hung_up()


@pytest.mark.parametrize("token", [ADA.token("run"), ADA.token(), deploy_token(zipped("other = 1\n"))], ids=len)
async def test_code_that_nobody_signed_runs_without_keys(runtime: Runtime, token: str):
    for value, outcome in ((b"hello", b"hello"), (envelope.encrypt(rsa_key("ada").public_key(), b"x"), "forbidden")):
        async with runtime.open(route="test", token=token, record=runtime.record(ADA)) as peer:
            assert not await peer.wanted()
            claims = json.loads((await peer.attested()).user_data or b"")
            assert "func_checksum" not in claims
            assert claims["python"] == sysconfig.get_config_var("SOABI")
            await peer.invoke(ARCHIVE)
            await peer.invoke(value)
            if isinstance(outcome, bytes):
                assert await peer.output() == outcome
            else:
                with refused(outcome):
                    await peer.output()
    assert runtime.host.functions.acquire(PRIVATE) is None


async def test_code_that_its_owner_signed_may_decrypt_in_a_test(runtime: Runtime):
    async with runtime.open(route="test", token=deploy_token(), record=runtime.record(ADA)) as peer:
        await peer.wanted()
        await peer.attested()
        await peer.invoke(ARCHIVE)
        await peer.invoke(envelope.encrypt(rsa_key("ada").public_key(), b"plaintext"))
        assert await peer.output() == b"plaintext"


async def test_a_test_of_what_is_no_bundle_is_refused(runtime: Runtime):
    async with runtime.open(route="test", token=ADA.token("run"), record=runtime.record(ADA)) as peer:
        await peer.wanted()
        await peer.attested()
        await peer.invoke(b"no zip")
        with refused("bad_bundle"):
            await peer.output()


async def deployed(runtime: Runtime, token: str, message: dict[str, Any], upload: bytes) -> dict[str, Any]:
    async with runtime.open(route="deploy", token=token, record=runtime.record(ADA)) as peer:
        await peer.wanted()
        claims = json.loads((await peer.attested()).user_data or b"")
        assert (claims["username"], base64.b64decode(claims["key"])) == ("ada", key_of(ADA))
        assert claims["python"] == sysconfig.get_config_var("SOABI")
        await peer.send(FrameKind.CAPE_DEPLOYMENT, json.dumps({"message": message}).encode())
        await peer.send_long(FrameKind.CAPE_INPUT, upload)
        return frames.unpack(await peer.receive(FrameKind.CAPE_DEPLOYED))


async def test_a_deployment_is_accepted(runtime: Runtime):
    message = {"function_name": "fn", "public": True}
    accepted = await deployed(runtime, deploy_token(public=True), message, enveloped(key_of(ADA), ARCHIVE))
    assert accepted == {"name": "fn", "public": True, "checksum": CHECKSUM}


NO_APP = b"PK\x05\x06" + bytes(18)


@pytest.mark.parametrize(
    ("token", "message", "archive", "code"),
    [
        (deploy_token(), {"function_name": "other"}, ARCHIVE, "checksum_mismatch"),
        (deploy_token(), {"function_name": "fn", "public": True}, ARCHIVE, "checksum_mismatch"),
        (deploy_token(), {"function_name": "fn"}, zipped(), "checksum_mismatch"),
        (deploy_token(NO_APP), {"function_name": "fn"}, NO_APP, "bad_bundle"),
        (deploy_token(name="a/b"), {"function_name": "a/b"}, ARCHIVE, "bad_bundle"),
        (deploy_token(), {}, ARCHIVE, "malformed_frame"),
        (ADA.token("deploy"), {"function_name": "fn"}, ARCHIVE, "token_invalid"),
        (ADA.token(), {"function_name": "fn"}, ARCHIVE, "forbidden"),
        (ADA.token("run"), {"function_name": "fn"}, ARCHIVE, "forbidden"),
    ],
    ids=["name", "public", "archive", "no app", "bad name", "no name", "for nothing", "login", "run"],
)
async def test_a_deployment_is_what_its_token_says(
    runtime: Runtime, token: str, message: dict[str, Any], archive: bytes, code: str
):
    with refused(code):
        await deployed(runtime, token, message, enveloped(key_of(ADA), archive))


async def test_questions_about_accounts(runtime: Runtime):
    call = runtime.host.call
    token_id = ids.new()
    added = await call({"op": "add_function", "record": runtime.record(ADA), "token": deploy_token(token_id=token_id)})
    with refused("token_revoked"):
        await call({"op": "add_function", "record": added["record"], "token": deploy_token(token_id=token_id)})
    gone = await call(
        {"op": "delete_function", "record": added["record"], "token": ADA.token(), "function_id": added["id"]}
    )
    login_id = ids.new()
    revoked = await call(
        {"op": "revoke_token", "record": gone["record"], "token": ADA.token(), "token_id": login_id, "expires": None}
    )
    assert await call({"op": "commit", "record": revoked["record"]}) == {}
    for old in (runtime.record(ADA), added["record"], gone["record"]):
        with refused("stale_record"):
            await call({"op": "user_key", "record": old})
    newest = runtime.host.vault.open(revoked["record"])
    assert newest.functions.keys() == {PRIVATE}
    assert newest.revoked.keys() == {token_id, login_id}
    for op in ("delete_function", "revoke_token"):
        fields = {"record": revoked["record"], "function_id": PRIVATE, "token_id": ids.new(), "expires": None}
        for token, code in (
            (ADA.token("run"), "forbidden"), (deploy_token(), "forbidden"), (BOB.token(), "token_invalid"),
            (ADA.token(token_id=login_id), "token_revoked"),
        ):  # fmt: skip
            with refused(code):
                await call({"op": op, "token": token, **fields})


async def test_the_classifier_decrypts_for_whose_owner_signed_that(runtime: Runtime):
    host = runtime.host
    value = envelope.encrypt(rsa_key("ada").public_key(), b"photo")
    with refused("cannot_decrypt"):
        host.open_classifier_input(value)
    granting = {"op": "grant", "record": runtime.record(ADA)}
    for token, code in (
        (deploy_token(), "checksum_mismatch"), (ADA.token(), "forbidden"), (BOB.token("deploy"), "token_invalid"),
    ):  # fmt: skip
        with refused(code):
            await host.call({**granting, "token": token})
    with refused("cannot_decrypt"):
        host.open_classifier_input(value)
    grant = ADA.token("deploy", func_checksum=CLASSIFIER.hex(), function_name="classifier", public=False)
    assert await host.call({**granting, "token": grant}) == {}
    assert host.open_classifier_input(value) == b"photo"
    with refused("cannot_decrypt"):
        host.open_classifier_input(envelope.encrypt(rsa_key("bob").public_key(), b"photo"))


@pytest.fixture(autouse=True)
def _no_function_left(state: Path) -> Iterator[None]:
    yield
    assert not handlers()
