"""The HTTPS port follows its certificate: the files are replaced by others' tools, in their order and at their time."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from blindsight.attestation import Policy, Release
from blindsight_cli import localca
from gateway import certificates
from gateway.audit.log import Audit
from gateway.certificates import CertificateFiles
from gateway.metrics import Metrics
from tests.support.processes import environment
from tests.support.rawhttp import Connection
from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.support.stack import Stack


def pair(folder: Path, *, days: int = 0) -> tuple[bytes, bytes]:
    """A new certificate and its key, as if made `days` from now."""
    files = localca.ensure(folder, ["127.0.0.1"], now=datetime.now(UTC) + timedelta(days=days))
    return files.certificate.read_bytes(), files.key.read_bytes()


def fingerprint(pem: bytes) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).hexdigest()


def presented(port: int) -> str:
    return fingerprint(ssl.get_server_certificate(("127.0.0.1", port)).encode())


def reasons(caplog: pytest.LogCaptureFixture) -> str:
    return " ".join(str(getattr(record, "reason", "")) for record in caplog.records)


@contextlib.asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[CertificateFiles]:
    files = CertificateFiles(folder / "tls.crt", folder / "tls.key", Audit(), Metrics().certificate_end)
    task = asyncio.create_task(files.watch())
    try:
        yield files
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a pair that can be used."""
    monkeypatch.setattr(certificates, "_LOOK_SECONDS", 0.01)
    certificate, key = pair(tmp_path / "first")
    folder = tmp_path / "tls"
    folder.mkdir()
    (folder / "tls.crt").write_bytes(certificate)
    (folder / "tls.key").write_bytes(key)
    return folder


def test_new_connections_get_the_new_certificate(tiny_stack: Stack, tmp_path: Path) -> None:
    """The one that is open goes on; the audit log names both."""
    files = localca.ensure(tmp_path / "tls", ["127.0.0.1"])
    first = files.certificate.read_bytes()
    port, audit = free_port(), tmp_path / "audit.log"
    settings = {"tls_port": port, "tls_certificate": files.certificate, "tls_key": files.key, "audit_log": audit}
    with (
        tiny_stack.another_gateway(**settings, keepalive_timeout=60) as gateway,
        Connection(port, ca=files.ca) as kept,
    ):
        assert presented(port) == fingerprint(first)
        second, key = pair(tmp_path / "new")
        files.key.write_bytes(key)
        files.certificate.write_bytes(second)
        wait_until("the new certificate", lambda: presented(port) == fingerprint(second), seconds=30)
        kept.start("GET", "/livez", {})
        assert kept.response().status_code == 200
        (end,) = [event["not_after"] for event in gateway.events() if event["event"] == "TLS certificate in use"][1:]
        assert gateway.metric("tls_certificate_expiration_timestamp_seconds") == datetime.fromisoformat(end).timestamp()
        said = [event for event in gateway.events() if event["event"] == "TLS certificate in use"]
    entries = [json.loads(line) for line in audit.read_text().splitlines()]
    loaded = [entry for entry in entries if entry["act"] == "certificate.loaded"]
    assert [entry["subject"] for entry in loaded] == [fingerprint(first), fingerprint(second)]
    assert all(entry["not_after"] > entry["time"] for entry in loaded)
    assert [event["not_after"] for event in said] == [entry["not_after"] for entry in loaded]
    assert entries[0]["act"] == "gateway.started"


async def test_files_that_do_not_belong_together_change_nothing(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As while one of them was replaced and the other will be."""
    second, key = pair(tmp_path / "second")
    async with watched(folder) as files:
        before = files.context
        await asyncio.to_thread((folder / "tls.crt").write_bytes, second)
        await asyncio.to_thread(wait_until, "the refusal", lambda: "not read again" in caplog.text)
        await asyncio.sleep(0.1)
        assert files.context is before
        assert caplog.text.count("not read again") == 1
        await asyncio.to_thread((folder / "tls.key").write_bytes, key)
        await asyncio.to_thread(wait_until, "the new pair", lambda: files.context is not before)


@pytest.mark.parametrize("days", [-1000, 30], ids=["expired", "not valid yet"])
async def test_a_certificate_that_is_not_valid_now_does_not_replace_one_that_is(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, days: int
) -> None:
    """Callers would refuse it, and the one in use serves."""
    second, key = pair(tmp_path / "second", days=days)
    good, good_key = pair(tmp_path / "third")
    async with watched(folder) as files:
        before = files.context
        await asyncio.to_thread((folder / "tls.key").write_bytes, key)
        await asyncio.to_thread((folder / "tls.crt").write_bytes, second)
        await asyncio.to_thread(wait_until, "the refusal", lambda: "the one in use is valid now" in reasons(caplog))
        assert files.context is before
        await asyncio.to_thread((folder / "tls.key").write_bytes, good_key)
        await asyncio.to_thread((folder / "tls.crt").write_bytes, good)
        await asyncio.to_thread(wait_until, "the good pair", lambda: files.context is not before)


async def test_an_expired_certificate_is_replaced_by_whatever_comes(folder: Path, tmp_path: Path) -> None:
    """It serves as well as another expired one; a start takes one too, because the clock may be wrong."""
    for name, content in zip(("tls.crt", "tls.key"), pair(tmp_path / "old", days=-1000), strict=True):
        (folder / name).write_bytes(content)
    second, key = pair(tmp_path / "second", days=-900)
    async with watched(folder) as files:
        before = files.context
        await asyncio.to_thread((folder / "tls.key").write_bytes, key)
        await asyncio.to_thread((folder / "tls.crt").write_bytes, second)
        await asyncio.to_thread(wait_until, "the new pair", lambda: files.context is not before)


async def test_a_folder_that_is_replaced_as_a_whole(folder: Path, tmp_path: Path) -> None:
    """As by Kubernetes and certbot: a link then leads elsewhere."""
    for name in ("one", "two"):
        certificate, key = pair(tmp_path / "pairs" / name)
        (tmp_path / name).mkdir()
        (tmp_path / name / "tls.crt").write_bytes(certificate)
        (tmp_path / name / "tls.key").write_bytes(key)
    link = tmp_path / "live"
    link.symlink_to("one")
    async with watched(link) as files:
        before = files.context
        (tmp_path / "next").symlink_to("two")
        await asyncio.to_thread(os.replace, tmp_path / "next", link)
        await asyncio.to_thread(wait_until, "the new pair", lambda: files.context is not before)


async def test_a_mistake_does_not_end_the_watching(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    second, key = pair(tmp_path / "second")
    async with watched(folder) as files:
        before = files.context
        with monkeypatch.context() as broken:
            broken.setattr(files, "_read", lambda: 1 // 0)
            await asyncio.to_thread(wait_until, "the mistake", lambda: "not read again" in caplog.text)
        await asyncio.to_thread((folder / "tls.key").write_bytes, key)
        await asyncio.to_thread((folder / "tls.crt").write_bytes, second)
        await asyncio.to_thread(wait_until, "the new pair", lambda: files.context is not before)


def no_key(folder: Path) -> None:
    (folder / "tls.key").unlink()


def encrypted(folder: Path) -> None:
    """A password would be asked for on a terminal."""
    made = ec.generate_private_key(ec.SECP256R1())
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    (folder / "tls.key").write_bytes(pem)


def another_key(folder: Path) -> None:
    (folder / "tls.key").write_bytes(pair(folder / "other")[1])


def no_certificate(folder: Path) -> None:
    (folder / "tls.crt").write_text("this is no certificate")


def trusted(folder: Path) -> None:
    """A form of OpenSSL's own, which it loads; its authority behind it would be taken for the certificate."""
    first = (folder / "tls.crt").read_bytes()
    form = [b"openssl", b"x509", b"-trustout"]
    (folder / "tls.crt").write_bytes(subprocess.run(form, input=first, capture_output=True, check=True).stdout + first)


def empty(folder: Path) -> None:
    (folder / "tls.crt").write_text("")


def no_file(folder: Path) -> None:
    (folder / "tls.crt").unlink()
    (folder / "tls.crt").mkdir()


@pytest.mark.parametrize("broken", [no_key, encrypted, another_key, no_certificate, trusted, empty, no_file])
async def test_files_that_cannot_be_used(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: Callable[[Path], None]
) -> None:
    """At the start one line, and while it runs one log line."""
    async with watched(folder) as files:
        before = files.context
        await asyncio.to_thread(broken, folder)
        await asyncio.to_thread(wait_until, "the refusal", lambda: "not read again" in caplog.text)
        assert files.context is before
    policy = tmp_path / "policy.json"
    release = Release(kind="nitro", name="one", pcrs={0: frozenset({"aa" * 48})}, any_function=True)
    policy.write_text(Policy(releases=(release,)).to_json())
    settings = {"tls_port": free_port(), "tls_certificate": folder / "tls.crt", "tls_key": folder / "tls.key"}
    settings |= {"port": free_port(), "metrics_port": 0, "policy": policy}
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "gateway", "serve"], cwd=tmp_path,
        env=environment(tmp_path, settings), capture_output=True, text=True, check=False, timeout=60,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 1
    assert str(folder / "tls.") in done.stderr
    assert "TLS" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
