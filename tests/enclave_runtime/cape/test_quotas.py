"""What one account's sessions can have of the enclave: counted, bounded, and given back."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import threading
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.cape import envelope, ids
from blindsight.wire.protocol import FrameKind
from enclave_runtime import archive as archives
from enclave_runtime import threads
from enclave_runtime.cape import accounts
from enclave_runtime.cape.accounts import Account, AccountVault, FunctionEntry
from enclave_runtime.cape.functions import BundleReader
from enclave_runtime.cape.host import SharedLimits
from enclave_runtime.cape.rootsecret import RootSecret
from tests.enclave_runtime.cape import session_runtime
from tests.enclave_runtime.cape.handler_sources import within
from tests.enclave_runtime.cape.session_runtime import (
    ADA,
    ARCHIVE,
    CLASSIFIER,
    account,
    content,
    deploy_token,
    key_of,
)
from tests.enclave_runtime.workers.fake_function import eventually
from tests.support.cape_front import owner
from tests.support.cape_guest import enveloped
from tests.support.fake_cape_host import rsa_key
from tests.support.refusals import refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from enclave_runtime.confinement.warden import Warden
    from tests.enclave_runtime.cape.session_runtime import Peer, Runtime

MIB = 1 << 20


@pytest.fixture
async def limited(
    warden: Warden, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Any]]:
    """Start a host with these limits."""
    monkeypatch.setattr(archives, "memory", lambda: tmp_path)
    async with contextlib.AsyncExitStack() as stack:

        async def start(**limits: int) -> Runtime:
            shared = SharedLimits(**limits)
            return await stack.enter_async_context(session_runtime.running_host(state, tmp_path, warden, shared))

        yield start


def nothing_held(runtime: Runtime) -> bool:
    host = runtime.host
    return host.sessions.taken == 0 and host.inputs.taken == 0


# Code that is not deployed.


@pytest.mark.parametrize("scope", ["run", "account"])
async def test_a_token_for_one_function_runs_no_other_code(runtime: Runtime, scope: Any) -> None:
    token = ADA.token(scope, function_id=ids.new())
    async with runtime.open(route="test", token=token, record=runtime.record(ADA)) as peer:
        with refused("forbidden"):
            await peer.wanted()


# Sessions.


async def test_sessions_are_counted_by_account_and_in_all(limited: Callable[..., Any]) -> None:
    runtime = await limited(sessions=8)
    async with contextlib.AsyncExitStack() as stack:

        async def opened(who: Any) -> Peer:
            opening = {"route": "key", "token": who.token(), "record": runtime.record(who)}
            peer: Peer = await stack.enter_async_context(runtime.open(**opening))
            await peer.wanted()
            return peer

        first = [await opened(ADA) for _ in range(2)]
        with refused("overloaded"):
            await opened(ADA)
        for name in ("bob", "carol", "dave"):
            for _ in range(2):
                await opened(owner(name))
        with refused("overloaded"):
            await opened(owner("eve"))
        first[0].writer.close()
        await eventually(lambda: runtime.host.sessions.taken == 7)
        await opened(owner("eve"))
    await eventually(lambda: nothing_held(runtime))


# Bundles.


def zipped(**files: bytes) -> bytes:
    """A function's archive; what compresses to nothing does."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        whole = {"app.py": session_runtime.OBEDIENT.encode(), "anchor": bytes(300_000), **files}
        for name, content in whole.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def padded(size: int) -> bytes:
    """One with a large file in it."""
    return zipped(filler=bytes(size))


def with_functions(who: Any, *archives: bytes) -> tuple[Account, list[str]]:
    functions = {
        ids.new(): FunctionEntry(f"f{n}", hashlib.sha256(archive).digest(), public=False)
        for n, archive in enumerate(archives)
    }
    base = account(who)
    return Account(base.username, base.owner_public_key, base.cape_key, functions=functions), list(functions)


@contextlib.asynccontextmanager
async def loaded(runtime: Runtime, who: Any, record: bytes, function_id: str, archive: bytes) -> AsyncIterator[Peer]:
    """A session of a function that was not at hand, ready for its first input."""
    opening = {"token": who.token("run"), "record": record, "owner_record": record, "function_id": function_id}
    async with runtime.open(route="run", **opening) as peer:
        if await peer.wanted():
            await peer.send_long(FrameKind.CAPE_FUNCTION, enveloped(key_of(who), archive))
            await peer.wanted()
        await peer.attested()
        yield peer


async def test_unpacked_functions_have_room_for_so_many_bytes_and_no_more(limited: Callable[..., Any]) -> None:
    runtime = await limited(bundle_bytes=20 * MIB)
    archive = padded(7 * MIB)
    ada, (first, second) = with_functions(ADA, archive, archive + b"")
    record = runtime.host.vault.seal(ada)
    async with loaded(runtime, ADA, record, first, archive) as peer:
        await peer.invoke(b"hello")
        assert await peer.output() == b"hello"
        # In use, so that it cannot make room for another of the account's.
        with refused("overloaded"):
            async with loaded(runtime, ADA, record, second, archive):
                pass
    await eventually(lambda: nothing_held(runtime))
    assert 7 * MIB < runtime.host.bundles.taken < 8 * MIB
    async with loaded(runtime, ADA, record, second, archive) as peer:
        await peer.invoke(b"hello")
        assert await peer.output() == b"hello"
    await eventually(lambda: nothing_held(runtime))
    assert 7 * MIB < runtime.host.bundles.taken < 8 * MIB
    assert len(content(runtime.memory)) == 1


async def test_bundles_on_their_way_count(limited: Callable[..., Any]) -> None:
    """An upload that never ends holds what it has sent, and no more can be held."""
    runtime = await limited(bundle_bytes=8 * MIB)
    upload = enveloped(key_of(ADA), bytes(6 * MIB))
    opening = {"route": "deploy", "token": deploy_token(), "record": runtime.record(ADA)}
    async with runtime.open(**opening) as peer:
        await peer.wanted()
        await peer.attested()
        await peer.send(FrameKind.CAPE_DEPLOYMENT, b'{"message": {"function_name": "fn"}}')
        for start in range(0, 3 * MIB, MIB):
            await peer.send(FrameKind.CAPE_INPUT, b"\x00" + upload[start : start + MIB])
        await eventually(lambda: runtime.host.bundles.taken == 3 * MIB)
        for start in range(3 * MIB, 6 * MIB, MIB):
            await peer.send(FrameKind.CAPE_INPUT, b"\x00" + upload[start : start + MIB])
        with refused("overloaded"):
            await peer.receive(FrameKind.CAPE_DEPLOYED)
        assert runtime.host.bundles.taken == 0
    await eventually(lambda: nothing_held(runtime))


async def test_a_tests_bundle_counts_by_what_it_unpacks_to(limited: Callable[..., Any]) -> None:
    runtime = await limited(bundle_bytes=20 * MIB)
    async with runtime.open(route="test", token=ADA.token(), record=runtime.record(ADA)) as peer:
        await peer.wanted()
        await peer.attested()
        archive = padded(15 * MIB)
        assert len(archive) < MIB
        await peer.invoke(archive)
        with refused("overloaded"):
            await peer.output()
    assert runtime.host.bundles.taken == 0
    assert content(runtime.memory) == []
    async with runtime.open(route="test", token=ADA.token(), record=runtime.record(ADA)) as peer:
        await peer.wanted()
        await peer.attested()
        await peer.invoke(padded(5 * MIB))
        await peer.invoke(b"hello")
        assert await peer.output() == b"hello"
        assert runtime.host.bundles.taken > 5 * MIB
    await eventually(lambda: nothing_held(runtime) and runtime.host.bundles.taken == 0)


async def test_many_small_files_count_as_the_pages_they_take_and_once_for_each_process(
    limited: Callable[..., Any],
) -> None:
    runtime = await limited(bundle_bytes=38 * MIB)
    archive = zipped(**{f"f{n}": b"x" for n in range(500)})
    ada, (function_id,) = with_functions(ADA, archive)
    record = runtime.host.vault.seal(ada)
    one = 501 * 8192  # Of the two copies of what is small.
    anchor = 75 * 4096  # Too large to be copied.
    async with loaded(runtime, ADA, record, function_id, archive) as first:
        assert runtime.host.bundles.taken == 2 * one + anchor
        await first.invoke(b"x")
        assert await first.output() == b"x"
        assert runtime.host.bundles.taken == 3 * one + anchor
        async with loaded(runtime, ADA, record, function_id, archive) as second:
            await second.invoke(b"x")
            assert await second.output() == b"x"
            assert runtime.host.bundles.taken == 4 * one + anchor
            async with loaded(runtime, ADA, record, function_id, archive) as third:
                await third.invoke(b"x")
                with refused("overloaded"):
                    await third.output()
    await eventually(lambda: runtime.host.bundles.taken == 2 * one + anchor)


async def test_a_client_that_leaves_while_its_function_is_unpacked_leaves_nothing(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = threading.Event(), threading.Event()
    genuine = BundleReader.unpack

    def unpack(reader: BundleReader) -> Any:
        unpacked = genuine(reader)
        begun.set()
        assert go.wait(30)
        return unpacked

    monkeypatch.setattr(BundleReader, "unpack", unpack)
    record = runtime.record(ADA)
    opening = {
        "token": ADA.token("run"),
        "record": record,
        "owner_record": record,
        "function_id": session_runtime.PRIVATE,
    }
    async with runtime.open(route="run", **opening) as peer:
        await peer.wanted()
        await peer.send_long(FrameKind.CAPE_FUNCTION, enveloped(key_of(ADA), ARCHIVE))
        await eventually(begun.is_set)
    await eventually(lambda: runtime.host.sessions.taken == 0)
    assert len(content(runtime.memory)) == 1
    go.set()
    await eventually(lambda: content(runtime.memory) == [])
    assert runtime.host.bundles.taken == 0


# Inputs.


async def test_large_inputs_have_room_for_so_many_bytes(limited: Callable[..., Any]) -> None:
    runtime = await limited(input_bytes=40 * MIB)
    async with runtime.running() as peer:
        await peer.invoke(bytes(6 * MIB))
        with refused("overloaded"):
            await peer.output()
        await eventually(lambda: runtime.host.inputs.taken == 0)
        await peer.invoke(bytes(4 * MIB)[:-100])
        with refused("overloaded"):  # The result has no room beside it.
            await peer.output()
        await peer.invoke(b"length" + bytes(4 * MIB)[:-100])
        assert await peer.output() == b"%d" % (4 * MIB - 94)
        await eventually(lambda: runtime.host.inputs.taken == 0)
        await peer.invoke(b"hello")
        assert await peer.output() == b"hello"


async def test_an_input_that_never_ends_holds_its_part_and_no_more(limited: Callable[..., Any]) -> None:
    runtime = await limited(input_bytes=40 * MIB)
    async with contextlib.AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(runtime.running()) for _ in range(3)]
        for peer in peers:
            for _ in range(4):
                await peer.send(FrameKind.CAPE_INPUT, b"\x00" + bytes(MIB))
        await eventually(lambda: runtime.host.inputs.taken == 10 * MIB)
    await eventually(lambda: nothing_held(runtime))


# Accounts.


async def test_the_accounts_that_are_remembered_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "MAX_ACCOUNTS", 3)
    vault = AccountVault(RootSecret(bytes(32)))
    people = [owner(f"person{number}") for number in range(4)]
    for person in people[:3]:
        vault.commit(vault.seal(account(person)))
    with refused("overloaded"):
        vault.commit(vault.seal(account(people[3])))
    with refused("overloaded"):
        vault.check_new("person3", people[3].public)
    # Those who are known are known still.
    vault.commit(vault.seal(account(people[0], version=2)))
    with refused("stale_record"):
        vault.open(vault.seal(account(people[0])))
    with refused("refused"):
        vault.check_new("PERSON0", people[0].public)


# Threads.


@pytest.fixture
def stuck() -> Any:
    """Work that takes until the test lets it end."""
    go = threading.Event()
    yield lambda *_: go.wait(60)
    go.set()


async def test_a_hundred_signups_and_uploads_delay_no_decryption(
    runtime: Runtime, stuck: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant = ADA.token("deploy", func_checksum=CLASSIFIER.hex(), function_name="classifier", public=False)
    await runtime.host.call({"op": "grant", "record": runtime.record(ADA), "token": grant})
    value = envelope.encrypt(rsa_key("ada").public_key(), bytes(200_000))
    async with runtime.running() as peer, contextlib.AsyncExitStack() as uploads:
        await peer.invoke(b"hello")
        assert await peer.output() == b"hello"
        monkeypatch.setattr(accounts, "create", stuck)
        monkeypatch.setattr(BundleReader, "update", stuck)
        signups = [
            asyncio.ensure_future(
                runtime.host.call(
                    {"op": "create_account", "username": who.username, "owner_public_key": who.public, "proof": "x"}
                )
            )
            for who in (owner(f"person{number}") for number in range(100))
        ]
        for _ in range(8):
            opening = {"route": "deploy", "token": deploy_token(), "record": runtime.record(ADA)}
            upload = await uploads.enter_async_context(runtime.open(**opening))
            await upload.wanted()
            await upload.attested()
            await upload.send(FrameKind.CAPE_DEPLOYMENT, b'{"message": {"function_name": "fn"}}')
            await upload.send(FrameKind.CAPE_INPUT, b"\x00cape:")
        # A large input, one that is encrypted for the function's owner, and one for the classifier.
        await peer.invoke(bytes(200_000))
        assert await peer.output() == bytes(200_000)
        await peer.invoke(value)
        assert await peer.output() == bytes(200_000)
        decrypting = threads.OPENING.run(runtime.host.open_classifier_input, value)
        assert await within(decrypting) == bytes(200_000)
        for signup in signups:
            signup.cancel()
        outcomes = await asyncio.gather(*signups, return_exceptions=True)
    # They wait for a minute at the most: who comes after is told so.
    assert sum(getattr(outcome, "code", None) == "overloaded" for outcome in outcomes) >= 60
