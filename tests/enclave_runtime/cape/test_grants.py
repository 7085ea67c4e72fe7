"""Whose ciphertexts the classifier opens: as long as the owner's token says, and not after its revocation."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.cape import envelope, ids
from enclave_runtime.cape import grant as grants
from tests.enclave_runtime.cape.session_runtime import ADA, BOB, CLASSIFIER, account
from tests.support.fake_cape_host import rsa_key
from tests.support.refusals import refused

if TYPE_CHECKING:
    from tests.enclave_runtime.cape.session_runtime import Runtime

VALUE = envelope.encrypt(rsa_key("ada").public_key(), b"photo")
DAY = timedelta(days=1)


def grant_token(**options: Any) -> str:
    return ADA.token("deploy", func_checksum=CLASSIFIER.hex(), function_name="classifier", public=False, **options)


async def granted(runtime: Runtime, **options: Any) -> str:
    """Let the classifier decrypt for ada; returns the token's id."""
    token_id = ids.new()
    token = grant_token(token_id=token_id, **options)
    await runtime.host.call({"op": "grant", "record": runtime.record(ADA), "token": token})
    assert runtime.host.open_classifier_input(VALUE) == b"photo"
    return token_id


@pytest.mark.parametrize("lifetime", [None, timedelta(days=32), timedelta(days=3650)])
async def test_a_grant_has_to_end_within_a_month(runtime: Runtime, lifetime: Any) -> None:
    with refused("forbidden"):
        await granted(runtime, lifetime=lifetime)
    with refused("cannot_decrypt"):
        runtime.host.open_classifier_input(VALUE)
    await granted(runtime, lifetime=timedelta(days=31))


@pytest.mark.parametrize("clock", ["wall", "monotonic"])
async def test_it_ends_when_its_token_does_by_whichever_clock(
    runtime: Runtime, clock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host sets the enclave's clock; it cannot turn back how long the enclave has been up."""

    def moved(by: timedelta) -> None:
        class Moved(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return datetime.now(tz) + by

        if clock == "wall":
            monkeypatch.setattr(grants, "datetime", Moved)
        else:
            passed = by.total_seconds()
            monkeypatch.setattr(grants, "monotonic", lambda: time.monotonic() + passed)

    await granted(runtime, lifetime=7 * DAY)
    moved(6 * DAY)
    assert runtime.host.open_classifier_input(VALUE) == b"photo"
    moved(7 * DAY)
    with refused("cannot_decrypt"):
        runtime.host.open_classifier_input(VALUE)
    await granted(runtime, lifetime=8 * DAY)


async def revoked(runtime: Runtime, token_id: str) -> bytes:
    expires = int((datetime.now(UTC) + DAY).timestamp())
    question = {"op": "revoke_token", "token": ADA.token(), "token_id": token_id, "expires": expires}
    record: bytes = (await runtime.host.call({**question, "record": runtime.record(ADA)}))["record"]
    return record


@pytest.mark.parametrize("shown", ["committed", "asked about", "run with"])
async def test_it_ends_when_a_record_is_shown_that_has_its_token_revoked(runtime: Runtime, shown: str) -> None:
    token_id = await granted(runtime)
    record = await revoked(runtime, token_id)
    # Made, but not stored yet: the enclave has been shown nothing.
    assert runtime.host.open_classifier_input(VALUE) == b"photo"
    match shown:
        case "committed":
            await runtime.host.call({"op": "commit", "record": record})
        case "asked about":
            await runtime.host.call({"op": "user_key", "record": record})
        case _:
            async with runtime.open(route="key", token=ADA.token(), record=record) as peer:
                await peer.wanted()
    with refused("cannot_decrypt"):
        runtime.host.open_classifier_input(VALUE)
    # An older record does not bring it back, and a newer token does.
    if shown == "committed":
        with refused("stale_record"):
            await granted(runtime)
    token = grant_token()
    await runtime.host.call({"op": "grant", "record": record, "token": token})
    assert runtime.host.open_classifier_input(VALUE) == b"photo"


async def test_other_records_do_not_end_it(runtime: Runtime) -> None:
    token_id = await granted(runtime)
    vault = runtime.host.vault
    for record in (
        vault.seal(account(BOB, revoked={token_id: None})),
        vault.seal(account(ADA, revoked={ids.new(): None})),
        await revoked(runtime, ids.new()),
    ):
        await runtime.host.call({"op": "commit", "record": record})
        assert runtime.host.open_classifier_input(VALUE) == b"photo"
