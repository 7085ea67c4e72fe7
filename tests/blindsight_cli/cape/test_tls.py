"""TLS: the system's certificates, `SSL_CERT_FILE`, or none at all, for sockets and REST alike."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest

from blindsight_cli import localca

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.fake_cape_host import FakeCapeHost


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while content := await reader.read(1 << 16):
            writer.write(content)
            await writer.drain()
    writer.close()


@pytest.fixture
def certificates(tmp_path: Path) -> localca.ServerFiles:
    return localca.ensure(tmp_path / "tls", ["localhost", "127.0.0.1"])


@pytest.fixture
def url(host: FakeCapeHost, certificates: localca.ServerFiles) -> Iterator[str]:
    """The fake host behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    ready: queue.Queue[tuple[int, Callable[[], None]]] = queue.Queue()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", host.port)
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))

    async def serve() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        async with await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context) as server:
            ready.put((server.sockets[0].getsockname()[1], lambda: loop.call_soon_threadsafe(stop.set)))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    port, stop = ready.get(timeout=30)
    yield f"https://127.0.0.1:{port}"
    stop()
    thread.join(timeout=30)
    assert not thread.is_alive()


def test_an_unknown_certificate_is_refused(cape: Callable[..., Any], url: str, host: FakeCapeHost) -> None:
    outcome = cape("signup", "ada", "-u", url)
    assert outcome.status == 1
    assert outcome.err.splitlines()[-1].startswith(f"Error: {url} cannot be reached: ")
    assert "CERTIFICATE_VERIFY_FAILED" in outcome.err
    assert host.requests == []


def test_sockets_refuse_it_too(ada: Callable[..., Any], url: str, host: FakeCapeHost) -> None:
    host.sockets.clear()
    outcome = ada("get-pcrs", "-u", url)
    assert (outcome.status, "CERTIFICATE_VERIFY_FAILED" in outcome.err) == (1, True)
    assert host.sockets == []


def test_a_private_authority_is_trusted_when_named(
    cape: Callable[..., Any], url: str, certificates: localca.ServerFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    outcome = cape("signup", "ada", "-u", url)
    assert (outcome.status, outcome.out) == (0, "Congratulations, you're all set!\n")
    assert cape("get-pcrs", "-u", url.replace("https", "wss")).status == 0
    assert cape("encrypt", "x", "-u", url.replace("https", "wss")).status == 0


def test_or_nothing_is_checked(cape: Callable[..., Any], url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cape("signup", "ada", "-u", url, "--insecure").out == "Congratulations, you're all set!\n"
    monkeypatch.setenv("CAPE_DEV_DISABLE_SSL", "true")
    for argv in (["list"], ["get-pcrs"], ["encrypt", "x"]):
        assert cape(*argv, "-u", url).status == 0


def test_one_thread_reads_and_writes_a_connection(
    ada: Callable[..., Any], url: str, certificates: localca.ServerFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL permits no two at once (openssl-threads(7)): with a thread for each way, some connections broke."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    threads: dict[int, set[int]] = {}
    kept = []
    for kind in (ssl.SSLSocket, ssl.SSLObject):
        for name in ("read", "write", "recv", "recv_into", "send", "sendall"):
            if (genuine := getattr(kind, name, None)) is None:
                continue

            def seen(self: Any, *arguments: Any, _genuine: Any = genuine, **options: Any) -> Any:
                kept.append(self)  # So that its number is not another's later.
                threads.setdefault(id(self), set()).add(threading.get_ident())
                return _genuine(self, *arguments, **options)

            monkeypatch.setattr(kind, name, seen)
    assert ada("get-pcrs", "-u", url).status == 0
    assert len(threads) >= 2  # Both ends.
    assert {len(each) for each in threads.values()} == {1}
