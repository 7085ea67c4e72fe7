"""The classifier's grant is presented to each new enclave, and said once if it is refused."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from blindsight.errors import CapeError
from gateway.audit.log import Audit
from gateway.cape import grant as module
from gateway.cape.grant import ClassifierGrant
from gateway.cape.store import Store
from tests.support.cape_front import owner
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ADA = owner("ada")


@dataclass(eq=False)
class Enclave:
    """What the grant asks of the enclave; `known` is its keys."""

    known: Any = None
    granted: list[tuple[bytes, str]] = field(default_factory=list)
    refusal: CapeError | None = None
    asked: int = 0

    @property
    def id(self) -> str:
        return "of the test"

    @property
    def enclave(self) -> Enclave:
        return self

    @property
    def members(self) -> list[Enclave]:
        return [self] if self.known else []

    async def grant(self, member: Enclave, record: bytes, token: str) -> None:
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal
        self.granted.append((record, token))

    def has_keys(self, keys: bytes) -> None:
        self.known = SimpleNamespace(key_configs=keys)


@pytest.fixture
def enclave() -> Enclave:
    return Enclave()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(f"sqlite:///{tmp_path}/store.db")
    await store.upgrade()
    await store.add_account("ada", ADA.public, b"the record")
    yield store
    await store.close()


@pytest.fixture
async def file(tmp_path: Path, enclave: Enclave, store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """Where the grant is put; it is watched."""
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.01)
    path = tmp_path / "grant"
    watched: Any = ClassifierGrant(path, cast("Any", enclave), store, Audit())
    task = asyncio.create_task(watched.watch())
    yield path
    assert not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def until(condition: Any) -> None:
    await asyncio.to_thread(wait_until, "the grant's watcher", condition)


def put(file: Path, content: str | bytes) -> None:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())


async def looks(enclave: Enclave, count: int = 3) -> None:
    """Wait until the enclave has been asked so many times more."""
    before = enclave.asked
    await until(lambda: enclave.asked >= before + count)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.reason for record in caplog.records if record.levelno == logging.WARNING]


async def test_it_is_presented_once_to_each_enclave(file: Path, enclave: Enclave):
    token = ADA.token("deploy")
    put(file, token + "\n")
    assert enclave.granted == []  # No enclave, no grant.
    enclave.has_keys(b"first")
    await until(lambda: enclave.granted)
    assert enclave.granted == [(b"the record", token)]
    enclave.has_keys(b"second")
    await until(lambda: len(enclave.granted) == 2)
    enclave.known = None
    enclave.has_keys(b"second")
    enclave.has_keys(b"third")
    await until(lambda: len(enclave.granted) == 3)
    assert enclave.asked == 3


async def test_a_changed_account_is_presented_again(file: Path, enclave: Enclave, store: Store):
    """An enclave that was not told of a revocation sees it in the record."""
    token = ADA.token("deploy")
    put(file, token)
    enclave.has_keys(b"first")
    await until(lambda: enclave.granted)
    await store.update_record("ada", b"with a token revoked", 1)
    await until(lambda: len(enclave.granted) == 2)
    assert enclave.granted[-1] == (b"with a token revoked", token)


async def test_the_file_may_come_later(file: Path, enclave: Enclave, caplog: pytest.LogCaptureFixture):
    enclave.has_keys(b"first")
    await until(lambda: warnings(caplog))
    assert warnings(caplog) == ["FileNotFoundError"]
    put(file, ADA.token("deploy"))
    await until(lambda: enclave.granted)
    assert warnings(caplog) == ["FileNotFoundError"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "token_invalid"), ("no token", "token_invalid"), (owner("eve").token("deploy"), "unknown_account")],
    ids=["empty", "text", "stranger"],
)
async def test_what_is_no_grant_is_not_presented(
    file: Path, enclave: Enclave, caplog: pytest.LogCaptureFixture, content: str, reason: str
):
    put(file, content)
    enclave.has_keys(b"first")
    await until(lambda: warnings(caplog))
    assert warnings(caplog) == [reason]
    assert enclave.asked == 0
    assert not content or content not in caplog.text


async def test_a_refusal_is_said_once_and_asked_for_again(
    file: Path, enclave: Enclave, caplog: pytest.LogCaptureFixture
):
    put(file, ADA.token("deploy"))
    enclave.refusal = CapeError("checksum_mismatch", "another function")
    enclave.has_keys(b"first")
    await looks(enclave)
    assert warnings(caplog) == ["checksum_mismatch"]
    enclave.refusal = CapeError("enclave_unavailable", "gone")
    await looks(enclave)
    assert warnings(caplog) == ["checksum_mismatch", "enclave_unavailable"]
    enclave.refusal = None
    await until(lambda: enclave.granted)
    assert len(warnings(caplog)) == 2


async def test_a_file_that_is_no_text_does_not_end_the_watching(
    file: Path, enclave: Enclave, caplog: pytest.LogCaptureFixture
):
    put(file, b"\xff\xfe")
    enclave.has_keys(b"first")
    await until(lambda: warnings(caplog))
    put(file, ADA.token("deploy"))
    await until(lambda: enclave.granted)


async def test_a_mistake_does_not_end_the_watching(
    file: Path, enclave: Enclave, store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """An enclave that missed a revocation sees it here only."""
    original = store.account

    async def broken(_: str) -> None:
        raise RuntimeError

    monkeypatch.setattr(store, "account", broken)
    put(file, ADA.token("deploy"))
    enclave.has_keys(b"first")
    await until(lambda: "not presented" in caplog.text)
    monkeypatch.setattr(store, "account", original)
    await until(lambda: enclave.granted)
